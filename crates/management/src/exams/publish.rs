//! Publication: builds an exam file from a composition, checks the whole file and
//! freezes it as a version.

mod repository;

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value, json};

use self::repository::PlacedDefinition;
use super::{
    ExamResource,
    composition::{
        self,
        model::{ComposedQuestion, ExamComposition},
    },
    model::{ExamDraft, ExamRecord},
    repository::{lock_by_code, raise_revision, read_password, write_title},
};
use crate::{
    FieldFault, ManagementError, UnitOfWork,
    bank::QuestionStatus,
    ids::{CourseId, ExamId, OrganizationId},
    resource,
};
use invigil_domain::{
    exam::definition::{self, FileFormat, ParsedExam},
    fault::FileFault,
};
use invigil_store::StoredExam;
use invigil_store_sql::postgres::catalog;

/// Result of checking an exam before publication.
#[derive(Debug)]
pub struct PublicationCheck {
    /// Errors that prevent publication.
    pub errors: Vec<FieldFault>,
    /// Valid settings that may not be intended.
    pub notes: Vec<FieldFault>,
}

/// Converts errors of an exam file to errors of fields.
pub fn field_faults(faults: &[FileFault]) -> Vec<FieldFault> {
    faults
        .iter()
        .map(|fault| FieldFault::new(fault.path.clone(), fault.message.clone()))
        .collect()
}

/// Builds the exam file of a composition and checks the whole file.
async fn build_exam(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Result<ParsedExam, Vec<FieldFault>>, ManagementError> {
    let row = resource::get_row::<ExamResource>(work, exam).await?;
    let password = read_password(work, exam).await?;
    let definitions = repository::placed_definitions(work, exam).await?;
    let composition = composition::read_composition(work, exam).await?;
    let mut faults = inactive_questions(&composition, &definitions);
    let sections = file_sections(&composition, &definitions)?;
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

/// Returns an error for each placed question that the bank does not call active.
fn inactive_questions(
    composition: &ExamComposition,
    definitions: &[PlacedDefinition],
) -> Vec<FieldFault> {
    let places = composition.places();
    let faults = places.filter_map(|(section, position, placed)| {
        let status = definition_of(definitions, placed)?.status;
        (status != QuestionStatus::Active).then(|| {
            FieldFault::new(
                format!("sections[{section}].questions[{position}]"),
                format!("the question is {status}, not active"),
            )
        })
    });
    faults.collect()
}

fn definition_of<'a>(
    definitions: &'a [PlacedDefinition],
    placed: &ComposedQuestion,
) -> Option<&'a PlacedDefinition> {
    definitions
        .iter()
        .find(|definition| definition.id == placed.question_id)
}

/// Returns the sections of an exam file, with the questions' definitions.
fn file_sections(
    composition: &ExamComposition,
    definitions: &[PlacedDefinition],
) -> Result<Vec<Value>, ManagementError> {
    let mut sections = Vec::new();
    for section in &composition.sections {
        let mut questions = Vec::new();
        for placed in &section.questions {
            if let Some(found) = definition_of(definitions, placed) {
                questions.push(file_question(placed, &found.definition)?);
            }
        }
        sections.push(json!({
            "id": section.id, "title": section.title,
            "time_limit_minutes": section.time_limit_minutes, "questions": questions,
        }));
    }
    Ok(sections)
}

/// Returns a question of an exam file: its definition, with the id and the points that it
/// has in the exam.
fn file_question(placed: &ComposedQuestion, definition: &str) -> Result<Value, ManagementError> {
    let mut question: Map<String, Value> =
        serde_json::from_str(definition).map_err(ManagementError::internal)?;
    question.insert("id".to_owned(), json!(placed.id));
    let points = placed.points.unwrap_or(Decimal::ONE).normalize();
    let points: Number = points
        .to_string()
        .parse()
        .map_err(ManagementError::internal)?;
    question.insert("points".to_owned(), Value::Number(points));
    Ok(Value::Object(question))
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
    exam: ExamId,
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

/// Owner of an imported exam.
#[derive(Debug, Clone, Copy)]
pub struct ImportTarget {
    /// Owning organisation; none: the person's own.
    pub organization_id: Option<OrganizationId>,
    /// Course whose students take the exam.
    pub course_id: Option<CourseId>,
}

/// Imports and publishes an exam file, as a new exam or as the next version of the
/// exam with its code. Its questions join the bank.
///
/// # Errors
/// If the code belongs to another organisation, or the person may not write to the target.
pub async fn import_exam(
    work: &mut UnitOfWork,
    parsed: &ParsedExam,
    target: ImportTarget,
) -> Result<ExamRecord, ManagementError> {
    let code = parsed.exam.code.as_str();
    let exam = if let Some(exam) = lock_by_code(work, code).await? {
        exam
    } else {
        let organization = target.organization_id.unwrap_or(work.organization_id);
        let title = &parsed.exam.title;
        let draft = ExamDraft::for_import(code, title, organization, target.course_id);
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
    catalog::freeze_version(&mut work.tx, exam.0, &stored).await?;
    write_title(work, exam, &parsed.exam.title).await?;
    resource::get_row::<ExamResource>(work, exam).await
}

/// Freezes the composition of an exam as a version and opens it to candidates.
///
/// # Errors
/// [`ManagementError::Invalid`] with all errors that prevent publication.
pub async fn publish_exam(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: i32,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let parsed = build_exam(work, exam)
        .await?
        .map_err(ManagementError::Invalid)?;
    repository::insert_version(work, exam, &parsed.exam, &parsed.definition).await?;
    repository::open_version(work, exam, &parsed.exam).await?;
    resource::get_row::<ExamResource>(work, exam).await
}
