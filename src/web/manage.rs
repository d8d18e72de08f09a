//! Routes of the management side: `/api/v1/manage`, for staff, with PostgreSQL.
//!
//! Every numbered row has an `ETag`, its revision. A change sends the revision that
//! it is based on in `If-Match`; after another change it is refused with 412. Lists
//! come in pages: `?after=&limit=`, where `next` of a page is `after` of the
//! following one.

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
use invigil_management::{
    Management, ManagementError, RequestContext, UnitOfWork, resource::PageCursor,
};
use invigil_secrets::sealed::SealingKeys;

pub(super) fn routes(file_bytes_max: usize) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(people::routes())
        .merge(bank::routes())
        .merge(media::routes(file_bytes_max))
        .merge(exams::routes())
        .merge(marking::routes())
}

/// The management side, as the caller of a request uses it.
pub struct ManagementAccess {
    management: Management,
    caller: RequestContext,
}

impl FromRequestParts<AppState> for ManagementAccess {
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
            caller: RequestContext {
                token_hash: token::login_token_hash(&token),
                at: at.unwrap_or_default(),
                address,
                user_agent: user_agent(&parts.headers),
            },
        })
    }
}

impl ManagementAccess {
    /// Returns the keys that seal personal data.
    pub(super) fn keys(&self) -> Result<SealingKeys, Problem> {
        Ok(self.management.read_keys()?)
    }

    /// Runs `work` in one transaction.
    pub(super) async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, Problem> {
        Ok(self.management.run_as_staff(&self.caller, work).await?)
    }

    /// Runs an import in one transaction, with a longer time limit.
    pub(super) async fn import_work<T>(
        &self,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, Problem> {
        Ok(self.management.run_import(&self.caller, work).await?)
    }

    /// Runs `work` on the caller's own data, for people of every role, in one transaction.
    pub(super) async fn own_work<T>(
        &self,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, Problem> {
        Ok(self.management.run_as_self(&self.caller, work).await?)
    }

    /// Returns the instant of the request.
    pub(super) const fn requested_at(&self) -> DateTime<Utc> {
        self.caller.at
    }
}

/// Selection of a page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the previous page.
    #[serde(default)]
    after: i64,
    /// Most rows in the page, 1 to 500.
    #[serde(default = "page")]
    limit: i64,
}

const fn page() -> i64 {
    50
}

impl From<&PageQuery> for PageCursor {
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
    /// Rows of the page.
    items: Vec<T>,
    /// `after` of the next page; null on the last page.
    next: Option<i64>,
}

impl<T> From<invigil_management::resource::ListPage<T>> for PageOf<T> {
    fn from(page: invigil_management::resource::ListPage<T>) -> Self {
        Self {
            items: page.items,
            next: page.next,
        }
    }
}

/// The revision on which a change is based.
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
        // An ETag of another form is not that of any row here.
        revision.map(Self).ok_or(Problem::Stale)
    }
}

/// A row with its revision as `ETag`.
pub struct TaggedRow<T> {
    status: StatusCode,
    revision: i32,
    row: T,
}

impl<T> TaggedRow<T> {
    /// Returns a row that was read or changed.
    pub const fn ok(revision: i32, row: T) -> Self {
        Self {
            status: StatusCode::OK,
            revision,
            row,
        }
    }

    /// Returns a row that was created.
    pub const fn created(revision: i32, row: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            revision,
            row,
        }
    }
}

impl<T: Serialize> IntoResponse for TaggedRow<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.revision));
        headers.insert(header::ETAG, tag.expect("digits are a header"));
        (self.status, headers, Json(self.row)).into_response()
    }
}

/// Makes the five routes of a [`Resource`](invigil_management::resource::Resource):
/// list, create, read, change and delete.
macro_rules! resource_routes {
    (
        $module:ident, $resource:ty, $row:ty, $draft:ty, $query:ty,
        $tag:literal, $many:literal, $one:literal
    ) => {
        mod $module {
            use super::*;
            use invigil_management::resource;
            use crate::web::{
                AppState,
                extract::{Json, Path, Query},
                manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
                problem::{self, Problem},
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
                                            (status = 403, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                        ),
                                        security(("token" = []), ("cookie" = [])),
                                    )]
            async fn list(
                manager: ManagementAccess,
                Query(page): Query<PageQuery>,
                Query(query): Query<$query>,
            ) -> Result<Json<PageOf<$row>>, Problem> {
                let filters = query.filters();
                let page = manager
                    .work(async |work| {
                        resource::list_rows::<$resource>(work, (&page).into(), &filters).await
                    })
                    .await?;
                Ok(Json(page.into()))
            }

            #[utoipa::path(
                                        post, path = $many, tag = $tag, request_body = $draft,
                                        responses(
                                            (status = 201, body = $row),
                                            (status = 409, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                            (status = 422, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                        ),
                                        security(("token" = []), ("cookie" = [])),
                                    )]
            async fn create(
                manager: ManagementAccess,
                Json(body): Json<Value>,
            ) -> Result<TaggedRow<$row>, Problem> {
                let row = manager
                    .work(async |work| {
                        let draft = resource::parse_draft(body)?;
                        resource::create_row::<$resource>(work, &draft).await
                    })
                    .await?;
                Ok(TaggedRow::created(row.revision, row))
            }

            #[utoipa::path(
                                        get, path = $one, tag = $tag,
                                        params(("id" = i64, Path, description = "Its number")),
                                        responses(
                                            (status = 200, body = $row),
                                            (status = 404, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                        ),
                                        security(("token" = []), ("cookie" = [])),
                                    )]
            async fn read(
                manager: ManagementAccess,
                Path(id): Path<i64>,
            ) -> Result<TaggedRow<$row>, Problem> {
                let row = manager
                    .work(async |work| resource::get_row::<$resource>(work, id).await)
                    .await?;
                Ok(TaggedRow::ok(row.revision, row))
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
                                            (status = 412, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                            (status = 422, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                        ),
                                        security(("token" = []), ("cookie" = [])),
                                    )]
            async fn change(
                manager: ManagementAccess,
                Path(id): Path<i64>,
                IfMatch(revision): IfMatch,
                Json(patch): Json<Value>,
            ) -> Result<TaggedRow<$row>, Problem> {
                let row = manager
                    .work(async |work| {
                        resource::patch_row::<$resource>(work, id, revision, &patch).await
                    })
                    .await?;
                Ok(TaggedRow::ok(row.revision, row))
            }

            #[utoipa::path(
                                        delete, path = $one, tag = $tag,
                                        params(
                                            ("id" = i64, Path, description = "Its number"),
                                            ("If-Match" = String, Header, description = "The ETag"),
                                        ),
                                        responses(
                                            (status = 204, description = "Gone"),
                                            (status = 409, description = "`in_use`",
                                                body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                            (status = 412, body = problem::ProblemDetails,
                                                content_type = problem::MEDIA_TYPE),
                                        ),
                                        security(("token" = []), ("cookie" = [])),
                                    )]
            async fn delete(
                manager: ManagementAccess,
                Path(id): Path<i64>,
                IfMatch(revision): IfMatch,
            ) -> Result<StatusCode, Problem> {
                manager
                    .work(async |work| resource::delete_row::<$resource>(work, id, revision).await)
                    .await?;
                Ok(StatusCode::NO_CONTENT)
            }
        }
    };
}
pub(in crate::web) use resource_routes;
