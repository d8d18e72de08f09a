//! The route of media files, open to every client that knows a file's name.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use axum_extra::{TypedHeader, headers::Range};
use utoipa_axum::routes;

use super::{
    AppState,
    extract::Path,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_objects::media::{self, FileContent};
use invigil_telemetry::error_chain;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new().add(RouteAccess::Link, routes!(read))
}

/// A picture, sound, film or document of a question. The name alone suffices: it is a keyed hash
/// that only the paper holds. Byte ranges let players seek in films.
#[utoipa::path(
    get, path = "/api/v1/media/{name}", tag = "attempts",
    params(("name" = String, Path, description = "As the question names it")),
    responses(
        (status = 200, description = "The whole"),
        (status = 206, description = "The range that was asked for"),
        (status = 304, description = "The client has it"),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
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
    let size = media.file_size(&name).await.map_err(log_unavailable)?;
    let size = size.ok_or(Problem::NotFound)?;
    let tag = HeaderValue::from_str(&format!("\"{name}\"")).map_err(|_odd| Problem::NotFound)?;
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let part = match requested_range(range, size) {
        Ok(part) => part,
        Err(none) => return Ok(none.into_response()),
    };
    let found = media
        .read_file(&name, part.clone())
        .await
        .map_err(log_unavailable)?;
    let mut response = file_response(found.ok_or(Problem::NotFound)?, part.map(|_| size));
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    Ok(response)
}

/// A range that a file of this size does not have.
#[derive(Debug)]
pub(super) struct UnsatisfiableRange {
    size: u64,
}

impl IntoResponse for UnsatisfiableRange {
    fn into_response(self) -> Response {
        let whole = [(header::CONTENT_RANGE, format!("bytes */{}", self.size))];
        (StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response()
    }
}

/// Returns the range of a file that a request asks for; none: the whole file.
///
/// # Errors
/// Fails if the file does not have the range.
pub(super) fn requested_range(
    range: Option<TypedHeader<Range>>,
    size: u64,
) -> Result<Option<std::ops::Range<u64>>, UnsatisfiableRange> {
    let Some(TypedHeader(range)) = range else {
        return Ok(None);
    };
    match satisfiable_ranges(&range, size).as_slice() {
        [] => Err(UnsatisfiableRange { size }),
        [one] => Ok(Some(one.clone())),
        // For several ranges the whole file is sent, as RFC 9110 permits.
        _ => Ok(None),
    }
}

/// Returns a file, or a part of one of size `part_of`, so that scripts in it cannot run.
pub(super) fn file_response(found: FileContent, part_of: Option<u64>) -> Response {
    let sent = found.byte_range();
    // Documents open in a program of their own: a viewer in the page could run their scripts.
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

/// Returns the requested ranges that a file of this size has.
fn satisfiable_ranges(range: &Range, size: u64) -> Vec<std::ops::Range<u64>> {
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
fn log_unavailable(error: media::Error) -> Problem {
    tracing::warn!(error = error_chain(&error), "cannot read a media file");
    Problem::Unavailable
}
