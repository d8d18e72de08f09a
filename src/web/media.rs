//! Files that questions show, for whoever knows their name.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use axum_extra::{TypedHeader, headers::Range};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    extract::Path,
    problem::{self, Problem},
};
use crate::{
    media::{self, Found},
    telemetry::chain,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// A picture, sound, film or document of a question. The name is enough: it is a keyed hash that
/// only the paper tells. Byte ranges are served, so that films can be wound.
#[utoipa::path(
    get, path = "/api/v1/media/{name}", tag = "attempts",
    params(("name" = String, Path, description = "As the question names it")),
    responses(
        (status = 200, description = "The whole"),
        (status = 206, description = "The range that was asked for"),
        (status = 304, description = "The client has it"),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 416, description = "No such range"),
    ),
)]
async fn read(
    State(app): State<AppState>,
    Path(name): Path<String>,
    range: Option<TypedHeader<Range>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let management = app.management.as_ref().ok_or(Problem::NotFound)?;
    let media = management.media();
    let size = media.size(&name).await.map_err(unavailable)?;
    let size = size.ok_or(Problem::NotFound)?;
    let tag = HeaderValue::from_str(&format!("\"{name}\"")).map_err(|_odd| Problem::NotFound)?;
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let part = match wanted(range, size) {
        Ok(part) => part,
        Err(none) => return Ok(none.into_response()),
    };
    let found = media.read(&name, part.clone()).await.map_err(unavailable)?;
    let mut response = respond(found.ok_or(Problem::NotFound)?, part.map(|_| size));
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    Ok(response)
}

/// A request for a part that a file of this size does not have.
#[derive(Debug)]
pub(super) struct NoSuchPart {
    size: u64,
}

impl IntoResponse for NoSuchPart {
    fn into_response(self) -> Response {
        let whole = [(header::CONTENT_RANGE, format!("bytes */{}", self.size))];
        (StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response()
    }
}

/// Which part of a file of this size a request wants; none: the whole.
///
/// # Errors
/// Where the file has no such part.
pub(super) fn wanted(
    range: Option<TypedHeader<Range>>,
    size: u64,
) -> Result<Option<std::ops::Range<u64>>, NoSuchPart> {
    let Some(TypedHeader(range)) = range else {
        return Ok(None);
    };
    match ranges(&range, size).as_slice() {
        [] => Err(NoSuchPart { size }),
        [one] => Ok(Some(one.clone())),
        // Of several ranges the whole is sent, as RFC 9110 lets one.
        _ => Ok(None),
    }
}

/// Sends a file, or a part of one of the size `part_of`, so that nothing in it can run.
pub(super) fn respond(found: Found, part_of: Option<u64>) -> Response {
    let sent = found.part();
    // A document is for its own program: what shows one here could run what is in it.
    let shown_as = match found.kind {
        "application/pdf" => "attachment",
        _ => "inline",
    };
    let fixed = [
        (header::CONTENT_TYPE, found.kind),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
        (header::CONTENT_DISPOSITION, shown_as),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    let mut response = (fixed, Body::from_stream(found.into_stream())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (sent.end - sent.start).into());
    if let Some(size) = part_of {
        let shown = format!("bytes {}-{}/{size}", sent.start, sent.end.saturating_sub(1));
        let shown = HeaderValue::from_str(&shown).expect("digits are a header");
        headers.insert(header::CONTENT_RANGE, shown);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// The ranges that a file of this size has.
fn ranges(range: &Range, size: u64) -> Vec<std::ops::Range<u64>> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    range
        .satisfiable_ranges(size)
        .filter_map(|(from, to)| {
            let start = match from {
                Included(start) => start,
                Excluded(start) => start + 1,
                Unbounded => 0,
            };
            let end = match to {
                Included(end) => end.saturating_add(1),
                Excluded(end) => end,
                Unbounded => size,
            };
            (start < end.min(size)).then(|| start..end.min(size))
        })
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn unavailable(error: media::Error) -> Problem {
    tracing::warn!(error = chain(&error), "a media file cannot be read");
    Problem::Unavailable
}
