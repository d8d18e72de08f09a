//! Import of a roster.

use std::collections::HashSet;

use serde_json::json;
use sqlx::types::Json;

use super::{ImportSummary, PersonImportRow, log_activity};
use crate::{
    FieldFault, ManagementError, UnitOfWork,
    courses::{EnrolmentStatus, NewEnrolments, enrol_people},
    ids::{CourseId, OrganizationId},
};

const IMPORT: &str = "
WITH p AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1) AS p (
        username text, name text, email text, code text, exams text[], groups text[],
        time_factor numeric, extra_time_ms bigint)
),
put AS (
    INSERT INTO users (username, name, email, organization_id, exam_codes, groups, time_factor,
                       extra_time_ms, access_code_hmac)
    SELECT p.username, p.name, p.email, $2, p.exams, p.groups, p.time_factor, p.extra_time_ms,
           decode(p.code, 'hex')
    FROM p
    ORDER BY p.username
    ON CONFLICT (username) DO UPDATE
    SET name = excluded.name,
        email = excluded.email,
        exam_codes = excluded.exam_codes,
        groups = excluded.groups,
        time_factor = excluded.time_factor,
        extra_time_ms = excluded.extra_time_ms,
        access_code_hmac = coalesce(excluded.access_code_hmac, users.access_code_hmac),
        revision = users.revision + 1,
        updated_at = now()
    WHERE users.organization_id = excluded.organization_id
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), count(*) FROM put";

/// A separate statement: roles are granted to visible people, and a statement does not see the
/// people that it inserts itself.
const IMPORT_ROLES: &str = "
INSERT INTO user_roles (user_id, organization_id, role, granted_by)
SELECT u.id, $2, p.role, $3
FROM jsonb_to_recordset($1) AS p (username text, role text)
JOIN users AS u ON u.username = p.username
ON CONFLICT (user_id, organization_id, role) DO UPDATE SET is_active = true, expires_at = NULL";

/// Adds or replaces people of one organisation, all or none, and enrols them.
///
/// # Errors
/// [`ManagementError::Invalid`] with every row whose name belongs to another organisation.
pub async fn import_people(
    work: &mut UnitOfWork,
    organization: OrganizationId,
    course: Option<CourseId>,
    rows: &[PersonImportRow],
) -> Result<ImportSummary, ManagementError> {
    work.require_admin()?;
    let people = serde_json::to_value(rows).map_err(ManagementError::internal)?;
    let (created, updated, put): (i64, i64, i64) = sqlx::query_as(IMPORT)
        .bind(Json(&people))
        .bind(organization)
        .fetch_one(&mut *work.tx)
        .await?;
    if usize::try_from(put) != Ok(rows.len()) {
        return Err(foreign_names(work, organization, rows).await?);
    }
    sqlx::query(IMPORT_ROLES)
        .bind(Json(&people))
        .bind(organization)
        .bind(work.user_id)
        .execute(&mut *work.tx)
        .await?;
    let enrolled = match course {
        Some(course) => {
            let enrolment = NewEnrolments {
                people: rows.iter().map(|row| row.username.clone()).collect(),
                status: EnrolmentStatus::Active,
            };
            enrol_people(work, course, &enrolment).await?
        }
        None => 0,
    };
    log_activity(work, "people_imported", json!({ "people": rows.len() })).await?;
    Ok(ImportSummary {
        created,
        updated,
        enrolled,
    })
}

/// Returns the error that lists the rows with a name of another organisation's person.
async fn foreign_names(
    work: &mut UnitOfWork,
    organization: OrganizationId,
    rows: &[PersonImportRow],
) -> Result<ManagementError, ManagementError> {
    let names: Vec<&str> = rows.iter().map(|row| row.username.as_str()).collect();
    let own: Vec<String> = sqlx::query_scalar(
        "SELECT username FROM users WHERE username = ANY ($1) AND organization_id = $2",
    )
    .bind(&names)
    .bind(organization)
    .fetch_all(&mut *work.tx)
    .await?;
    let own: HashSet<String> = own.into_iter().collect();
    let faults = rows.iter().enumerate();
    Ok(ManagementError::Invalid(
        faults
            .filter(|(_, row)| !own.contains(&row.username))
            .map(|(index, _)| FieldFault::new(format!("[{index}].id"), "is taken"))
            .collect(),
    ))
}
