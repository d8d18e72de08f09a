//! Publication: builds an exam file from a composition, checks the whole file and
//! freezes it as a version.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{ExamDraft, ExamRecord, ExamResource, raise_revision, read_composition};
use crate::{FieldFault, ManagementError, UnitOfWork, resource};
use invigil_domain::{
    exam::definition::{self, FileFormat},
    fault,
};
use invigil_store::StoredExam;
use invigil_store_sql::postgres::catalog;

/// Result of checking an exam before publication.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checked)]
pub struct PublicationCheck {
    /// Errors that prevent publication.
    pub errors: Vec<FieldFault>,
    /// Valid settings that may not be intended.
    pub notes: Vec<FieldFault>,
}

/// Converts errors of an exam file to errors of fields.
pub fn field_faults(faults: &[fault::FileFault]) -> Vec<FieldFault> {
    faults
        .iter()
        .map(|fault| FieldFault::new(fault.path.clone(), fault.message.clone()))
        .collect()
}

/// Builds the exam file of a composition and checks the whole file.
async fn build_exam(
    work: &mut UnitOfWork,
    exam: i64,
) -> Result<Result<definition::ParsedExam, Vec<FieldFault>>, ManagementError> {
    let row = resource::get_row::<ExamResource>(work, exam).await?;
    let password: Option<String> =
        sqlx::query_scalar("SELECT exam_password FROM exams WHERE id = $1")
            .bind(exam)
            .fetch_one(&mut *work.tx)
            .await?;
    let definitions: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT q.id, q.definition::text, q.status
         FROM exam_questions AS x
         JOIN questions AS q ON q.id = x.question_id
         WHERE x.exam_id = $1",
    )
    .bind(exam)
    .fetch_all(&mut *work.tx)
    .await?;
    let composition = read_composition(work, exam).await?;
    let mut faults = Vec::new();
    let mut sections = Vec::new();
    for (index, section) in composition.sections.iter().enumerate() {
        let mut questions = Vec::new();
        for (position, placed) in section.questions.iter().enumerate() {
            let found = definitions
                .iter()
                .find(|(id, ..)| *id == placed.question_id);
            let Some((_, text, status)) = found else {
                continue;
            };
            if status != "active" {
                faults.push(FieldFault::new(
                    format!("sections[{index}].questions[{position}]"),
                    format!("the question is {status}, not active"),
                ));
            }
            let mut question: Map<String, Value> =
                serde_json::from_str(text).map_err(ManagementError::internal)?;
            question.insert("id".to_owned(), json!(placed.id));
            let points = placed
                .points
                .unwrap_or(Decimal::ONE)
                .normalize()
                .to_string();
            let points: serde_json::Number = points.parse().map_err(ManagementError::internal)?;
            question.insert("points".to_owned(), Value::Number(points));
            questions.push(Value::Object(question));
        }
        sections.push(json!({
            "id": section.id, "title": section.title,
            "time_limit_minutes": section.time_limit_minutes, "questions": questions,
        }));
    }
    let file = exam_file(&row.draft, password.as_deref(), sections)?;
    Ok(
        match definition::parse_exam(&file.to_string(), FileFormat::Json) {
            Ok(parsed) if faults.is_empty() => Ok(parsed),
            Ok(_) => Err(faults),
            Err(found) => {
                faults.extend(field_faults(&found));
                Err(faults)
            }
        },
    )
}

fn exam_file(
    draft: &ExamDraft,
    password: Option<&str>,
    sections: Vec<Value>,
) -> Result<Value, ManagementError> {
    let mut file = serde_json::to_value(draft).map_err(ManagementError::internal)?;
    let keys = file.as_object_mut().ok_or(ManagementError::NotFound)?;
    for ours in [
        "organization_id",
        "course_id",
        "description",
        "second_marking",
        "second_marking_tolerance",
    ] {
        keys.remove(ours);
    }
    for (ours, theirs) in [
        ("proctoring_config", "proctoring"),
        ("grading_config", "grading"),
    ] {
        if let Some(Value::Object(value)) = keys.remove(ours)
            && !value.is_empty()
        {
            keys.insert(theirs.to_owned(), Value::Object(value));
        }
    }
    if let Some(Value::Object(settings)) = keys.remove("settings") {
        keys.extend(settings);
    }
    keys.insert("password".to_owned(), json!(password));
    keys.insert("sections".to_owned(), Value::Array(sections));
    Ok(file)
}

/// Checks an exam without publishing it.
///
/// # Errors
/// [`ManagementError::NotFound`] if the exam is not visible to the person.
pub async fn check_exam(
    work: &mut UnitOfWork,
    exam: i64,
) -> Result<PublicationCheck, ManagementError> {
    Ok(match build_exam(work, exam).await? {
        Ok(parsed) => PublicationCheck {
            errors: Vec::new(),
            notes: field_faults(&parsed.notes),
        },
        Err(errors) => PublicationCheck {
            errors,
            notes: Vec::new(),
        },
    })
}

/// A statement apart from the version's own: the row policy has to see the version.
const NUMBER: &str = "
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT $2, q.question_id, q.question_key, row_number() OVER (ORDER BY s.position, q.position), q.points
FROM exam_questions AS q
JOIN exam_sections AS s ON s.exam_id = q.exam_id AND s.section_key = q.section_key
WHERE q.exam_id = $1";

/// Owner of an imported exam.
#[derive(Debug, Clone, Copy)]
pub struct ImportTarget {
    /// Number of the owning organisation; none: the person's own.
    pub organization_id: Option<i64>,
    /// Number of the course.
    pub course_id: Option<i64>,
}

/// Imports and publishes an exam file, as a new exam or as the next version of the
/// exam with its code. Its questions join the bank.
///
/// # Errors
/// If the code belongs to another organisation, or the person may not write to the target.
pub async fn import_exam(
    work: &mut UnitOfWork,
    parsed: &definition::ParsedExam,
    target: ImportTarget,
) -> Result<ExamRecord, ManagementError> {
    let code = parsed.exam.code.as_str();
    let known: Option<i64> = sqlx::query_scalar("SELECT id FROM exams WHERE code = $1 FOR UPDATE")
        .bind(code)
        .fetch_optional(&mut *work.tx)
        .await?;
    let exam = if let Some(exam) = known {
        exam
    } else {
        let draft = json!({
            "code": code,
            "title": parsed.exam.title,
            "organization_id": target.organization_id.unwrap_or(work.organization_id.0),
            "course_id": target.course_id,
            "duration_minutes": 1,
        });
        let draft: ExamDraft = resource::parse_draft(draft)?;
        super::create_exam(work, &draft).await?.id
    };
    raise_revision(work, exam, None).await?;
    let stored = StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: Arc::clone(&parsed.definition),
        corrections: Vec::new(),
    };
    catalog::freeze_version(&mut work.tx, exam, &stored).await?;
    sqlx::query("UPDATE exams SET title = $2 WHERE id = $1")
        .bind(exam)
        .bind(&parsed.exam.title)
        .execute(&mut *work.tx)
        .await?;
    resource::get_row::<ExamResource>(work, exam).await
}

/// Freezes the composition of an exam as a version and opens it to candidates.
///
/// # Errors
/// [`ManagementError::Invalid`] with all errors that prevent publication.
pub async fn publish_exam(
    work: &mut UnitOfWork,
    exam: i64,
    revision: i32,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let parsed = build_exam(work, exam)
        .await?
        .map_err(ManagementError::Invalid)?;
    let fresh: Option<i64> = sqlx::query_scalar(
        "INSERT INTO exam_versions (exam_id, version, title, definition)
         VALUES ($1, $2, $3, $4::json)
         ON CONFLICT (version) DO NOTHING
         RETURNING id",
    )
    .bind(exam)
    .bind(parsed.exam.version.as_str())
    .bind(&parsed.exam.title)
    .bind(&*parsed.definition)
    .fetch_optional(&mut *work.tx)
    .await?;
    if let Some(version) = fresh {
        sqlx::query(NUMBER)
            .bind(exam)
            .bind(version)
            .execute(&mut *work.tx)
            .await?;
    }
    sqlx::query(
        "UPDATE exams AS e
         SET current_version_id = v.id, status = 'published', published_at = now()
         FROM exam_versions AS v
         WHERE e.id = $1 AND v.version = $2 AND v.exam_id = e.id",
    )
    .bind(exam)
    .bind(parsed.exam.version.as_str())
    .execute(&mut *work.tx)
    .await?;
    resource::get_row::<ExamResource>(work, exam).await
}
