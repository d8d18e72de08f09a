//! The route that imports a roster.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use std::fmt::Write as _;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::ImportView;
use crate::web::{
    AppState,
    extract::{Json, Query},
    manage::ManagementAccess,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
    token,
};
use invigil_domain::{person::ExamScope, roster};
use invigil_management::{
    FieldFault,
    ids::{CourseId, OrganizationId},
    people::{self, PersonImportRow},
};

/// Largest roster: 50,000 people with long names.
const ROSTER_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Administrator, routes!(import))
        .limit_bodies(ROSTER_BYTES_MAX)
}

/// Organisation and course of imported people.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeopleImportQuery {
    /// Organisation of the people; none: the caller's.
    organization_id: Option<i64>,
    /// Course in which all of them are enrolled.
    course_id: Option<i64>,
}

/// Imports people from a roster (CSV), all or none.
#[utoipa::path(
    post, path = "/api/v1/manage/people/import", tag = "people", params(PeopleImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, body = ImportView),
        (status = 422, description = "Every line with a fault", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn import(
    State(app): State<AppState>,
    manager: ManagementAccess,
    Query(query): Query<PeopleImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ImportView>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv")) {
        return Err(Problem::UnsupportedMediaType);
    }
    let text = String::from_utf8(body.into())
        .map_err(|_not_text| Problem::BadRequest("the roster is not UTF-8".to_owned()))?;
    let rows = read_roster(&text, &app.access_code_key)?;
    let imported = manager
        .import_work(async |work| {
            let organization = query.organization_id.map(OrganizationId);
            let organization = organization.unwrap_or(work.organization_id);
            let course = query.course_id.map(CourseId);
            people::import_people(work, organization, course, &rows).await
        })
        .await?;
    Ok(Json(imported.into()))
}

fn read_roster(text: &str, key: &[u8; 32]) -> Result<Vec<PersonImportRow>, Problem> {
    let entries = roster::parse_roster(text).map_err(|faults| {
        let faults = faults.iter().map(|fault| {
            let field = match fault.line {
                Some(line) => format!("line {line}: {}", fault.path),
                None => fault.path.clone(),
            };
            FieldFault::new(field, fault.message.clone())
        });
        Problem::Invalid(faults.collect())
    })?;
    let rows = entries.into_iter().map(|entry| {
        let code = token::access_code_hash(key, &entry.person.id, &entry.code);
        PersonImportRow {
            username: entry.person.id.to_string(),
            name: entry.person.name,
            email: entry.person.email,
            role: entry.person.role.into(),
            code: Some(hex_text(&code)),
            exams: match entry.person.exams {
                ExamScope::All => None,
                ExamScope::Some(codes) => Some(codes.iter().map(ToString::to_string).collect()),
            },
            groups: entry.person.groups,
            time_factor: entry.person.time_factor,
            extra_time_ms: invigil_domain::time::duration_ms(entry.person.extra_time),
        }
    });
    Ok(rows.collect())
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
