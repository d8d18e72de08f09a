//! The address of a request's client.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

/// The client's address: the peer's, or the one that a trusted proxy names.
/// [`super::layers`] sets it for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get().copied();
        Ok(address.unwrap_or_else(|| Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// Reads `X-Forwarded-For` from its end, as far as trusted proxies wrote it.
pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> ClientAddress {
    let mut address = peer.to_canonical();
    let hops = headers.get_all("x-forwarded-for");
    let mut hops: Vec<&str> = hops
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    while trusted.iter().any(|network| network.contains(&address)) {
        let Some(hop) = hops.pop().and_then(|hop| hop.trim().parse::<IpAddr>().ok()) else {
            break;
        };
        address = hop.to_canonical();
    }
    ClientAddress(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_address(peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let ClientAddress(address) = client_address(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check_address("192.0.2.1", &[], "192.0.2.1");
        check_address("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check_address("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check_address("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check_address("::1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check_address("10.0.0.1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1");
        check_address("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1");
        check_address("10.0.0.1", &["nonsense"], "10.0.0.1");
        check_address("10.0.0.1", &[], "10.0.0.1");
    }
}
