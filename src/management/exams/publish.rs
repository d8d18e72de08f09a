//! From a composition to a frozen version: an exam file is made of it, checked
//! whole, and kept.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Exam, ExamDraft, Exams, composition, touch};
use crate::{
    domain::{
        exam::definition::{self, Format},
        fault,
    },
    management::{Fault, FieldFault, Work, resource},
    store::{StoredExam, postgres::catalog},
};

/// Whether an exam could be published.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checked {
    /// What stands against it; empty: nothing.
    pub errors: Vec<FieldFault>,
    /// What is right but may not be meant.
    pub notes: Vec<FieldFault>,
}

/// Faults of a file as faults of fields.
pub fn field_faults(faults: &[fault::Fault]) -> Vec<FieldFault> {
    faults
        .iter()
        .map(|fault| FieldFault::new(fault.path.clone(), fault.message.clone()))
        .collect()
}

/// Builds the exam file and checks it whole.
async fn built(
    work: &mut Work,
    exam: i64,
) -> Result<Result<definition::Parsed, Vec<FieldFault>>, Fault> {
    let row = resource::get::<Exams>(work, exam).await?;
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
    let composition = composition(work, exam).await?;
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
                serde_json::from_str(text).map_err(Fault::internal)?;
            question.insert("id".to_owned(), json!(placed.id));
            let points = placed
                .points
                .unwrap_or(Decimal::ONE)
                .normalize()
                .to_string();
            let points: serde_json::Number = points.parse().map_err(Fault::internal)?;
            question.insert("points".to_owned(), Value::Number(points));
            questions.push(Value::Object(question));
        }
        sections.push(json!({
            "id": section.id, "title": section.title,
            "time_limit_minutes": section.time_limit_minutes, "questions": questions,
        }));
    }
    let file = exam_file(&row.draft, password.as_deref(), sections)?;
    Ok(match definition::parse(&file.to_string(), Format::Json) {
        Ok(parsed) if faults.is_empty() => Ok(parsed),
        Ok(_) => Err(faults),
        Err(found) => {
            faults.extend(field_faults(&found));
            Err(faults)
        }
    })
}

fn exam_file(
    draft: &ExamDraft,
    password: Option<&str>,
    sections: Vec<Value>,
) -> Result<Value, Fault> {
    let mut file = serde_json::to_value(draft).map_err(Fault::internal)?;
    let keys = file.as_object_mut().ok_or(Fault::NotFound)?;
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

/// Says what stands against publishing an exam.
///
/// # Errors
/// Where the exam is not there.
pub async fn check(work: &mut Work, exam: i64) -> Result<Checked, Fault> {
    Ok(match built(work, exam).await? {
        Ok(parsed) => Checked {
            errors: Vec::new(),
            notes: field_faults(&parsed.notes),
        },
        Err(errors) => Checked {
            errors,
            notes: Vec::new(),
        },
    })
}

/// Apart from the version itself: the row policy has to see that.
const NUMBER: &str = "
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT $2, q.question_id, q.question_key, row_number() OVER (ORDER BY s.position, q.position), q.points
FROM exam_questions AS q
JOIN exam_sections AS s ON s.exam_id = q.exam_id AND s.section_key = q.section_key
WHERE q.exam_id = $1";

/// Where an exam file goes.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Whose exam it is; none: the actor's organisation.
    pub organization_id: Option<i64>,
    /// Of which course.
    pub course_id: Option<i64>,
}

/// Makes an exam of a file, or the next version of the one with its code, and
/// publishes it. Its questions go into the bank.
///
/// # Errors
/// Where the code is another one's, or the place is not the actor's.
pub async fn import(
    work: &mut Work,
    parsed: &definition::Parsed,
    place: Place,
) -> Result<Exam, Fault> {
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
            "organization_id": place.organization_id.unwrap_or(work.actor.organization_id),
            "course_id": place.course_id,
            "duration_minutes": 1,
        });
        let draft: ExamDraft = resource::draft(draft)?;
        super::create(work, &draft).await?.id
    };
    touch(work, exam, None).await?;
    let stored = StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: Arc::clone(&parsed.definition),
        corrections: Vec::new(),
    };
    catalog::freeze(&mut work.tx, exam, &stored).await?;
    sqlx::query("UPDATE exams SET title = $2 WHERE id = $1")
        .bind(exam)
        .bind(&parsed.exam.title)
        .execute(&mut *work.tx)
        .await?;
    resource::get::<Exams>(work, exam).await
}

/// Freezes an exam as it stands and opens it to its candidates.
///
/// # Errors
/// With everything that stands against it.
pub async fn publish(work: &mut Work, exam: i64, revision: i32) -> Result<Exam, Fault> {
    touch(work, exam, Some(revision)).await?;
    let parsed = built(work, exam).await?.map_err(Fault::Invalid)?;
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
    resource::get::<Exams>(work, exam).await
}
