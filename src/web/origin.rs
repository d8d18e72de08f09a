//! Origins of pages that may use the engine.
//!
//! Same origin means the host and port of the `Host` header. The scheme is not
//! compared: behind a TLS proxy the engine does not know it. A request without
//! `Origin` comes from this origin, or not from a page.

use std::fmt;

use axum::http::{HeaderMap, header, uri::Authority};

/// The origin of a page: scheme, host, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin {
    https: bool,
    host: String,
    port: u16,
}

impl WebOrigin {
    /// Parses the `Origin` of a browser. Returns none for other texts, and for `null`.
    pub fn parse(text: &str) -> Option<Self> {
        let (https, authority) = match text.split_once("://")? {
            ("https", authority) => (true, authority),
            ("http", authority) => (false, authority),
            _ => return None,
        };
        let (host, port) = host_and_port(authority)?;
        Some(Self {
            https,
            host,
            port: port.unwrap_or_else(|| default_port(https)),
        })
    }

    /// Returns true if the page's host and port are those of the `Host` header.
    fn is_of_host(&self, host: &str) -> bool {
        host_and_port(host).is_some_and(|(host, port)| {
            host == self.host && port.unwrap_or_else(|| default_port(self.https)) == self.port
        })
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host)?;
        if self.port == default_port(self.https) {
            return Ok(());
        }
        write!(formatter, ":{}", self.port)
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let is_host = !host.contains('@') && host.parse::<Authority>().is_ok();
    is_host.then(|| (host.to_ascii_lowercase(), port))
}

/// Returns true if the headers are from a page of this origin or an `allowed`
/// one, or not from a page.
pub fn is_allowed(headers: &HeaderMap, allowed: &[WebOrigin]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Some(origin) = origin.to_str().ok().and_then(WebOrigin::parse) else {
        return false;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    allowed.contains(&origin) || host.is_some_and(|host| origin.is_of_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_allowed(origin: &str, host: &str, expected: bool) {
        let allowed = [WebOrigin::parse("https://Other.example").unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        assert_eq!(
            is_allowed(&headers, &allowed),
            expected,
            "{origin} at {host}"
        );
    }

    #[test]
    fn same_origin_is_host_and_port_of_the_host_header() {
        check_allowed("http://exam.example", "exam.example", true);
        check_allowed("https://exam.example", "exam.example", true);
        check_allowed("https://exam.example", "exam.example:443", true);
        check_allowed("https://EXAM.example:8443", "exam.example:8443", true);
        check_allowed("http://[::1]:8080", "[::1]:8080", true);
        check_allowed("http://exam.example:8080", "exam.example", false);
        check_allowed("http://exam.example", "exam.example:8080", false);
        check_allowed("https://exam.example", "exam.example:80", false);
        check_allowed("https://evil.example", "exam.example", false);
        check_allowed("https://exam.example.evil", "exam.example", false);
    }

    #[test]
    fn configured_origins_are_allowed_exactly() {
        check_allowed("https://other.example", "exam.example", true);
        check_allowed("https://other.example:443", "exam.example", true);
        check_allowed("http://other.example", "exam.example", false);
        check_allowed("https://other.example:444", "exam.example", false);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origin in [
            "null",
            "",
            "exam.example",
            "file://exam.example",
            "http://",
            "http://exam.example/",
            "http://a@exam.example",
            "http://exam.example:",
            "http://exam.example:99999",
            "http://exam.example, http://exam.example",
        ] {
            check_allowed(origin, "exam.example", false);
        }
    }

    #[test]
    fn no_origin_is_no_page_of_another_site() {
        assert!(is_allowed(&HeaderMap::new(), &[]));
    }

    #[test]
    fn an_origin_is_shown_as_browsers_send_it() {
        for text in ["https://exam.example", "http://[::1]:8080"] {
            assert_eq!(WebOrigin::parse(text).unwrap().to_string(), text);
        }
    }
}
