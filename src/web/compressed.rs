//! Cache of compressed documents, which thousands request in the same second.

use std::{collections::HashMap, io::Write as _};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;

/// Most documents in the cache: the pages' files and the papers of some exams.
/// A full cache is cleared, and its documents are compressed again on request.
const KEPT_MAX: usize = 256;

/// Compressed documents by a name that changes with their content.
#[derive(Default)]
pub struct GzipCache {
    documents: Mutex<HashMap<String, Bytes>>,
}

impl GzipCache {
    /// Returns the document as a response, compressed if the client accepts gzip.
    /// `name` is its `ETag` too.
    pub fn respond(
        &self,
        request: &HeaderMap,
        name: &str,
        media_type: &'static str,
        plain: &[u8],
    ) -> Response {
        let tag = format!("W/\"{name}\"");
        let mut response = if is_current(request, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if takes_gzip(request) {
            let headers = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            (headers, self.gzip_once(name, plain)).into_response()
        } else {
            Bytes::copy_from_slice(plain).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Ok(tag) = tag.try_into() {
            headers.insert(header::ETAG, tag);
        }
        headers.append(
            header::VARY,
            HeaderValue::from_name(header::ACCEPT_ENCODING),
        );
        response
    }

    fn gzip_once(&self, name: &str, plain: &[u8]) -> Bytes {
        if let Some(kept) = self.documents.lock().get(name) {
            return kept.clone();
        }
        // Two first requests may both compress: cheaper than one waiting for the other.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder
            .write_all(plain)
            .expect("writing to a vector cannot fail");
        let compressed = Bytes::from(encoder.finish().expect("writing to a vector cannot fail"));
        let mut kept = self.documents.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(name.to_owned(), compressed.clone());
        compressed
    }
}

fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT_ENCODING);
    accepted
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !is_zero(weight)
        })
}

/// Returns true for a weight such as `q=0`, which refuses a coding.
fn is_zero(weight: &str) -> bool {
    weight
        .trim()
        .strip_prefix("q=")
        .and_then(|q| q.parse::<f32>().ok())
        == Some(0.0)
}

fn is_current(request: &HeaderMap, tag: &str) -> bool {
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::body::to_bytes;

    use super::*;

    async fn respond_to(accepted: &str, known: &str) -> (Response<()>, Bytes) {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
        request.insert(header::IF_NONE_MATCH, known.parse().unwrap());
        let plain = "paper ".repeat(100);
        let response = GzipCache::default().respond(&request, "v1", "text/plain", plain.as_bytes());
        let (parts, body) = response.into_parts();
        (
            Response::from_parts(parts, ()),
            to_bytes(body, 10_000).await.unwrap(),
        )
    }

    #[tokio::test]
    async fn clients_that_take_gzip_get_it() {
        for accepted in ["gzip", "br, GZIP;q=0.5", "gzip, deflate"] {
            let (response, body) = respond_to(accepted, "").await;
            assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
            let mut plain = String::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_string(&mut plain)
                .unwrap();
            assert_eq!(plain, "paper ".repeat(100));
        }
    }

    #[tokio::test]
    async fn others_get_the_plain_document() {
        for accepted in ["", "br", "gzip;q=0", "gzip; q=0.0"] {
            let (response, body) = respond_to(accepted, "").await;
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
            assert_eq!(body.len(), 600);
        }
    }

    #[tokio::test]
    async fn what_the_client_holds_is_not_sent_again() {
        let (response, body) = respond_to("gzip", "W/\"v0\", W/\"v1\"").await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert!(body.is_empty());
        assert_eq!(
            respond_to("gzip", "W/\"v0\"").await.0.status(),
            StatusCode::OK
        );
    }

    #[test]
    fn memory_is_bounded() {
        let compressed = GzipCache::default();
        for name in 0..=KEPT_MAX * 2 {
            compressed.gzip_once(&name.to_string(), b"paper");
        }
        assert!(compressed.documents.lock().len() <= KEPT_MAX);
    }
}
