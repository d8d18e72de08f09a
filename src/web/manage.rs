//! Routes of the management side: `/api/v1/manage`, for staff, with PostgreSQL.
//!
//! Every numbered row has an `ETag`, its revision. A change sends the revision that
//! it is based on in `If-Match`; after another change it is refused with 412. Lists
//! come in pages: `?after=&limit=`, where `next` of a page is `after` of the
//! following one.

mod audit;
pub mod bank;
mod courses;
pub mod exams;
pub mod marking;
mod media;
mod organizations;
pub mod people;
mod security;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    auth::{shown_token, user_agent},
    client::ClientAddress,
    extract::Json,
    problem::Problem,
    routes::GuardedRoutes,
    token,
};
use invigil_management::{
    Management, ManagementError, RequestContext, UnitOfWork,
    resource::{self, ColumnFilter, ListPage, PageCursor, Resource},
};
use invigil_secrets::sealed::SealingKeys;

pub(super) fn routes(file_bytes_max: usize) -> GuardedRoutes {
    GuardedRoutes::new()
        .merge(organizations::routes())
        .merge(people::routes())
        .merge(courses::routes())
        .merge(bank::routes())
        .merge(media::routes(file_bytes_max))
        .merge(exams::routes())
        .merge(marking::routes())
        .merge(audit::routes())
        .merge(security::routes())
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

    /// Returns a page of the rows of a resource.
    pub(super) async fn list_rows<R: WireResource>(
        &self,
        page: &PageQuery,
        filters: &[ColumnFilter],
    ) -> Result<Json<PageOf<R::View>>, Problem> {
        let page = self
            .work(async |work| resource::list_rows::<R>(work, page.into(), filters).await)
            .await?;
        Ok(Json(page.into()))
    }

    /// Creates a row of a resource.
    pub(super) async fn create_row<R: WireResource>(
        &self,
        body: Value,
    ) -> Result<TaggedRow<R::View>, Problem> {
        let row = self
            .work(async |work| {
                let draft = R::into_draft(resource::parse_draft(body)?)?;
                resource::create_row::<R>(work, &draft).await
            })
            .await?;
        Ok(TaggedRow::created(R::revision(&row), row.into()))
    }

    /// Returns a row of a resource.
    pub(super) async fn read_row<R: WireResource>(
        &self,
        id: R::Id,
    ) -> Result<TaggedRow<R::View>, Problem> {
        let row = self
            .work(async |work| resource::get_row::<R>(work, id).await)
            .await?;
        Ok(TaggedRow::ok(R::revision(&row), row.into()))
    }

    /// Changes a row of a resource by a merge patch (RFC 7396).
    pub(super) async fn change_row<R: WireResource>(
        &self,
        id: R::Id,
        IfMatch(revision): IfMatch,
        patch: &Value,
    ) -> Result<TaggedRow<R::View>, Problem> {
        let row = self
            .work(async |work| {
                let draft = patched_draft::<R>(work, id, patch).await?;
                resource::update_row::<R>(work, id, revision, &draft).await
            })
            .await?;
        Ok(TaggedRow::ok(R::revision(&row), row.into()))
    }

    /// Deletes a row of a resource that no other row refers to.
    pub(super) async fn delete_row<R: WireResource>(
        &self,
        id: R::Id,
        IfMatch(revision): IfMatch,
    ) -> Result<StatusCode, Problem> {
        self.work(async |work| resource::delete_row::<R>(work, id, revision).await)
            .await?;
        Ok(StatusCode::NO_CONTENT)
    }

    /// Returns the instant of the request.
    pub(super) const fn requested_at(&self) -> DateTime<Utc> {
        self.caller.at
    }
}

/// A resource with its form on the wire.
pub(super) trait WireResource: Resource {
    /// Editable fields in the body of a request. It must deny unknown fields.
    type Body: DeserializeOwned;
    /// Row in a response.
    type View: From<Self::Row>;

    /// Returns the draft in a body.
    fn into_draft(body: Self::Body) -> Result<Self::Draft, ManagementError>;
}

/// Returns the draft of a row with a merge patch (RFC 7396) applied.
pub(super) async fn patched_draft<R: WireResource>(
    work: &mut UnitOfWork,
    id: R::Id,
    patch: &Value,
) -> Result<R::Draft, ManagementError> {
    let mut fields = resource::editable_fields::<R>(work, id).await?;
    if !patch.is_object() {
        return Err(ManagementError::invalid_field("", "must be an object"));
    }
    resource::merge_patch(&mut fields, patch);
    let body = serde_json::from_value(fields)
        .map_err(|error| ManagementError::invalid_field("", error.to_string()))?;
    R::into_draft(body)
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

pub(super) const fn page() -> i64 {
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

impl<R, T: From<R>> From<ListPage<R>> for PageOf<T> {
    fn from(page: ListPage<R>) -> Self {
        Self {
            items: page.items.into_iter().map(T::from).collect(),
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
