//! The management side over HTTP: `/api/v1/manage`, for staff, with PostgreSQL.
//!
//! Everything under a number has an `ETag`, its revision; a change names the one
//! that it is a change of in `If-Match`, and is refused with 412 where somebody
//! was quicker. Lists come in pages: `?after=&limit=`, `next` is the next
//! `after`.

pub mod bank;
pub mod exams;
pub mod marking;
mod media;
pub mod people;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::{
    AppState,
    auth::{shown_token, user_agent},
    client::ClientAddress,
    extract::Json,
    problem::Problem,
    token,
};
use crate::{
    management::{Caller, Fault, Management, Work, resource::Cursor},
    secrets::sealed::Keys,
};

pub(super) fn routes(file_bytes_max: usize) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(people::routes())
        .merge(bank::routes())
        .merge(media::routes(file_bytes_max))
        .merge(exams::routes())
        .merge(marking::routes())
}

/// Somebody who manages.
pub struct Manager {
    management: Management,
    caller: Caller,
}

impl FromRequestParts<AppState> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let management = app.management.clone().ok_or(Problem::ServersOnly)?;
        let token = shown_token(parts).ok_or(Problem::Unauthorized)?;
        if token::is_attempt_token(&token) {
            return Err(Problem::Forbidden);
        }
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        let at = DateTime::from_timestamp_millis(app.engine.now().as_ms());
        Ok(Self {
            management,
            caller: Caller {
                token: token::login_token_hash(&token),
                at: at.unwrap_or_default(),
                address,
                user_agent: user_agent(&parts.headers),
            },
        })
    }
}

impl Manager {
    /// What personal data is sealed with.
    pub(super) fn keys(&self) -> Result<Keys, Problem> {
        Ok(self.management.keys()?)
    }

    /// Does one piece of work, whole or not at all.
    pub(super) async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Problem> {
        Ok(self.management.work(&self.caller, work).await?)
    }

    /// Does one import, whole or not at all, and with patience.
    pub(super) async fn import_work<T>(
        &self,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Problem> {
        Ok(self.management.import_work(&self.caller, work).await?)
    }

    /// Does one piece of work on what is the person's own, whoever it is.
    pub(super) async fn own_work<T>(
        &self,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Problem> {
        Ok(self.management.own_work(&self.caller, work).await?)
    }

    /// When the request came.
    pub(super) const fn at(&self) -> DateTime<Utc> {
        self.caller.at
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the page before.
    #[serde(default)]
    after: i64,
    /// At most so many rows, 1 to 500.
    #[serde(default = "page")]
    limit: i64,
}

const fn page() -> i64 {
    50
}

impl From<&PageQuery> for Cursor {
    fn from(query: &PageQuery) -> Self {
        Self {
            after: query.after,
            limit: query.limit,
        }
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct PageOf<T> {
    /// The rows.
    items: Vec<T>,
    /// `after` of the next page; null: this was the last.
    next: Option<i64>,
}

impl<T> From<crate::management::resource::Page<T>> for PageOf<T> {
    fn from(page: crate::management::resource::Page<T>) -> Self {
        Self {
            items: page.items,
            next: page.next,
        }
    }
}

/// The revision that a change is a change of.
pub struct IfMatch(pub i32);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let value = parts.headers.get(header::IF_MATCH);
        let value = value.ok_or(Problem::PreconditionRequired)?;
        let tag = value.to_str().unwrap_or_default().trim();
        let revision = tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| tag.parse().ok());
        // Another ETag than ours was never that of this thing.
        revision.map(Self).ok_or(Problem::Stale)
    }
}

/// A row with its revision as `ETag`.
pub struct Tagged<T> {
    status: StatusCode,
    revision: i32,
    row: T,
}

impl<T> Tagged<T> {
    /// What was read or changed.
    pub const fn ok(revision: i32, row: T) -> Self {
        Self {
            status: StatusCode::OK,
            revision,
            row,
        }
    }

    /// What was made.
    pub const fn created(revision: i32, row: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            revision,
            row,
        }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.revision));
        headers.insert(header::ETAG, tag.expect("digits are a header"));
        (self.status, headers, Json(self.row)).into_response()
    }
}

/// The five routes of a [`Resource`](crate::management::resource::Resource):
/// list, make, read, change and delete.
macro_rules! resource_routes {
    (
        $module:ident, $resource:ty, $row:ty, $draft:ty, $query:ty,
        $tag:literal, $many:literal, $one:literal
    ) => {
        mod $module {
            use super::*;
            use crate::{
                management::resource,
                web::{
                    AppState,
                    extract::{Json, Path, Query},
                    manage::{IfMatch, Manager, PageOf, PageQuery, Tagged},
                    problem::{self, Problem},
                },
            };
            use axum::http::StatusCode;
            use serde_json::Value;
            use utoipa_axum::{router::OpenApiRouter, routes};

            pub(in crate::web::manage) fn routes() -> OpenApiRouter<AppState> {
                OpenApiRouter::new()
                    .routes(routes!(list, create))
                    .routes(routes!(read, change, delete))
            }

            #[utoipa::path(
                                get, path = $many, tag = $tag, params(PageQuery, $query),
                                responses(
                                    (status = 200, body = PageOf<$row>),
                                    (status = 403, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                ),
                                security(("token" = []), ("cookie" = [])),
                            )]
            async fn list(
                manager: Manager,
                Query(page): Query<PageQuery>,
                Query(query): Query<$query>,
            ) -> Result<Json<PageOf<$row>>, Problem> {
                let filters = query.filters();
                let page = manager
                    .work(async |work| {
                        resource::list::<$resource>(work, (&page).into(), &filters).await
                    })
                    .await?;
                Ok(Json(page.into()))
            }

            #[utoipa::path(
                                post, path = $many, tag = $tag, request_body = $draft,
                                responses(
                                    (status = 201, body = $row),
                                    (status = 409, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                    (status = 422, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                ),
                                security(("token" = []), ("cookie" = [])),
                            )]
            async fn create(
                manager: Manager,
                Json(body): Json<Value>,
            ) -> Result<Tagged<$row>, Problem> {
                let row = manager
                    .work(async |work| {
                        let draft = resource::draft(body)?;
                        resource::create::<$resource>(work, &draft).await
                    })
                    .await?;
                Ok(Tagged::created(row.revision, row))
            }

            #[utoipa::path(
                                get, path = $one, tag = $tag,
                                params(("id" = i64, Path, description = "Its number")),
                                responses(
                                    (status = 200, body = $row),
                                    (status = 404, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                ),
                                security(("token" = []), ("cookie" = [])),
                            )]
            async fn read(
                manager: Manager,
                Path(id): Path<i64>,
            ) -> Result<Tagged<$row>, Problem> {
                let row = manager
                    .work(async |work| resource::get::<$resource>(work, id).await)
                    .await?;
                Ok(Tagged::ok(row.revision, row))
            }

            /// Changes by a merge patch (RFC 7396).
            #[utoipa::path(
                                patch, path = $one, tag = $tag, request_body = Object,
                                params(
                                    ("id" = i64, Path, description = "Its number"),
                                    ("If-Match" = String, Header, description = "The ETag"),
                                ),
                                responses(
                                    (status = 200, body = $row),
                                    (status = 412, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                    (status = 422, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                ),
                                security(("token" = []), ("cookie" = [])),
                            )]
            async fn change(
                manager: Manager,
                Path(id): Path<i64>,
                IfMatch(revision): IfMatch,
                Json(patch): Json<Value>,
            ) -> Result<Tagged<$row>, Problem> {
                let row = manager
                    .work(async |work| {
                        resource::change::<$resource>(work, id, revision, &patch).await
                    })
                    .await?;
                Ok(Tagged::ok(row.revision, row))
            }

            #[utoipa::path(
                                delete, path = $one, tag = $tag,
                                params(
                                    ("id" = i64, Path, description = "Its number"),
                                    ("If-Match" = String, Header, description = "The ETag"),
                                ),
                                responses(
                                    (status = 204, description = "Gone"),
                                    (status = 409, description = "`in_use`", body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                    (status = 412, body = problem::Body,
                                        content_type = problem::MEDIA_TYPE),
                                ),
                                security(("token" = []), ("cookie" = [])),
                            )]
            async fn delete(
                manager: Manager,
                Path(id): Path<i64>,
                IfMatch(revision): IfMatch,
            ) -> Result<StatusCode, Problem> {
                manager
                    .work(async |work| resource::delete::<$resource>(work, id, revision).await)
                    .await?;
                Ok(StatusCode::NO_CONTENT)
            }
        }
    };
}
pub(in crate::web) use resource_routes;
