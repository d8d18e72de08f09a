//! From an exam file to an [`Exam`], validated whole.
//!
//! Two passes over the same tree, both to the end, so that one call reports
//! every fault with its place: the [shape](super::shape) of each value, then
//! what only the whole can tell (ids that repeat, answers that name what is not
//! there, the order of the window). An exam comes out only where neither found
//! anything.
//!
//! The file's content, without the format's accidents, is the *definition*: its
//! canonical JSON (keys sorted, no blanks) is what is stored and hashed. Reading
//! it again gives the same exam with the same version.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rust_decimal::Decimal;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use super::tree::Format;
use super::{
    Exam, ExamKind, IntegrityRule, Proctoring, QUESTIONS_MAX, SCORE_HUNDREDTHS_MAX, Section,
    SessionPolicy, Severity, lines,
    shape::whole,
    table,
    tree::{self, decimal},
};
use crate::domain::{
    admission,
    exam::Consequence,
    fault::{Fault, Walk},
    id::{ExamVersion, OptionId, QuestionId},
};

mod question;
#[cfg(test)]
mod tests;

/// How early candidates may enter where the file does not say.
const LOBBY: Duration = Duration::from_mins(15);

/// How often a client reports where the file does not say.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The letters that hold where the file names none.
const GRADES: [(i64, &str); 5] = [(90, "A"), (80, "B"), (70, "C"), (60, "D"), (0, "F")];

/// An exam file that is right.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says.
    pub exam: Exam,
    /// The same as canonical JSON: to be stored, and read by [`from_definition`].
    pub definition: Arc<str>,
    /// What is right but may not be meant.
    pub notes: Vec<Fault>,
}

/// Reads an exam file.
///
/// # Errors
/// Everything that is wrong with it, at least one fault.
pub fn parse(text: &str, format: Format) -> Result<Parsed, Vec<Fault>> {
    let mut tree = tree::read(text, format).map_err(|fault| vec![fault])?;
    let mut walk = Walk::default();
    table::EXAM.check(&tree, &mut walk);
    hide_password(&mut tree);
    let definition: Arc<str> = canonical(&tree).into();
    let exam = read_exam(&tree, version(&definition), &mut walk);
    let faults = walk.into_faults();
    match exam {
        Some(exam) if faults.is_empty() => Ok(Parsed {
            notes: notes(&exam),
            exam,
            definition,
        }),
        _ => {
            let mut faults = faults.into_list();
            lines::add(text, &mut faults);
            Err(faults)
        }
    }
}

/// Reads a stored definition.
///
/// # Errors
/// Everything that is wrong with it, at least one fault.
pub fn from_definition(definition: &str) -> Result<Exam, Vec<Fault>> {
    let mut exam = parse(definition, Format::Json)?.exam;
    // Of the text as it is stored.
    exam.version = version(definition);
    Ok(exam)
}

/// A key that was found wrong after the exam was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Of which question.
    pub question: QuestionId,
    /// The right key in the exam file's shape, JSON.
    pub answer: Arc<str>,
}

/// Reads a stored definition with corrections of its keys, oldest first. The
/// version stays: what candidates see is the same.
///
/// # Errors
/// Where a correction is no key of its question.
pub fn corrected(definition: &str, corrections: &[Correction]) -> Result<Exam, Vec<Fault>> {
    if corrections.is_empty() {
        return from_definition(definition);
    }
    let mut tree = tree::read(definition, Format::Json).map_err(|fault| vec![fault])?;
    for correction in corrections {
        let questions = tree["sections"].as_array_mut().into_iter().flatten();
        let questions = questions.filter_map(|section| section["questions"].as_array_mut());
        for question in questions.flatten() {
            if question["id"] == *correction.question.as_str() {
                question["answer"] =
                    tree::read(&correction.answer, Format::Json).map_err(|fault| vec![fault])?;
            }
        }
    }
    let mut exam = from_definition(&canonical(&tree))?;
    exam.version = version(definition);
    Ok(exam)
}

/// What is kept, copied and backed up has no password in clear.
fn hide_password(tree: &mut Value) {
    if let (Some(code), Some(password)) = (tree["code"].as_str(), tree["password"].as_str())
        && !admission::is_hashed(password)
    {
        tree["password"] = admission::hashed_password(&code.into(), password).into();
    }
}

/// Canonical JSON: keys sorted, no blanks, numbers in their shortest form.
fn canonical(tree: &Value) -> String {
    // `Map` is a `BTreeMap`, so it is sorted as it is; a test holds this.
    tree.to_string()
}

fn version(definition: &str) -> ExamVersion {
    format!("sha256:{:x}", Sha256::digest(definition)).into()
}

fn notes(exam: &Exam) -> Vec<Fault> {
    let mut walk = Walk::default();
    walk.key("sections", |walk| {
        for (number, section) in exam.sections.iter().enumerate() {
            for (position, question) in section.questions.iter().enumerate() {
                let costs = matches!(question.body, super::Body::SingleChoice { .. });
                if question.negative_marking && !costs {
                    walk.item(number, |walk| {
                        walk.key("questions", |walk| {
                            walk.item(position, |walk| {
                                walk.key("negative_marking", |walk| {
                                    walk.fault("has no effect on this type");
                                });
                            });
                        });
                    });
                }
            }
        }
    });
    if exam.late_submission_penalty > Decimal::ZERO && exam.grace_period.is_zero() {
        walk.key("late_submission_penalty", |walk| {
            walk.fault("has no effect without grace_period_minutes");
        });
    }
    walk.into_faults().into_list()
}

/// Reads the whole exam; nothing where a value is not of its shape, which the
/// check has reported.
fn read_exam(tree: &Value, version: ExamVersion, walk: &mut Walk) -> Option<Exam> {
    let sections = read_sections(&tree["sections"], walk);
    let grade_scale = read_scale(tree, walk);
    let proctoring = read_proctoring(&tree["proctoring"]);
    let available_from = text(tree, "available_from").and_then(table::instant);
    let available_until = text(tree, "available_until").and_then(table::instant);
    if let (Some(from), Some(until)) = (available_from, available_until)
        && until <= from
    {
        walk.key("available_until", |walk| {
            walk.fault("must be after available_from");
        });
    }
    Some(Exam {
        version,
        code: text(tree, "code")?.into(),
        title: text(tree, "title")?.to_owned(),
        instructions: text(tree, "instructions").unwrap_or_default().to_owned(),
        kind: word(tree, "type", ExamKind::from_name, ExamKind::Quiz)?,
        duration: minutes(&tree["duration_minutes"])?,
        passing_score: given_or(tree, "passing_score", Decimal::from(60), decimal)?,
        max_attempts: given_or(tree, "max_attempts", 1, |count| {
            u16::try_from(whole(count)?).ok()
        })?,
        available_from,
        available_until,
        lobby: given_or(tree, "lobby_minutes", LOBBY, minutes)?,
        grace_period: given_or(tree, "grace_period_minutes", Duration::ZERO, minutes)?,
        late_submission_penalty: given_or(tree, "late_submission_penalty", Decimal::ZERO, decimal)?,
        full_duration_after_close: flag(tree, "full_duration_after_close", false),
        shuffle_questions: flag(tree, "shuffle_questions", false),
        shuffle_options: flag(tree, "shuffle_options", false),
        show_results_immediately: flag(tree, "show_results_immediately", true),
        allow_review: flag(tree, "allow_review", true),
        show_correct_answers: flag(tree, "show_correct_answers", false),
        password: text(tree, "password").map(str::to_owned),
        ip_restrictions: items(&tree["ip_restrictions"])
            .map(|item| item.as_str().and_then(table::network))
            .collect::<Option<_>>()?,
        session_policy: word(
            tree,
            "session_policy",
            SessionPolicy::from_name,
            SessionPolicy::Takeover,
        )?,
        compensate_up_to: given(&tree["on_disconnect"], "compensate_up_to_minutes", minutes)?,
        grade_scale: grade_scale?,
        proctoring: proctoring?,
        sections: sections?,
    })
}

fn read_sections(list: &Value, walk: &mut Walk) -> Option<Vec<Section>> {
    let mut section_ids = BTreeSet::new();
    let mut question_ids: BTreeSet<QuestionId> = BTreeSet::new();
    let mut score = Decimal::ZERO;
    let sections: Vec<Option<Section>> = walk.key("sections", |walk| {
        items(list)
            .enumerate()
            .map(|(index, section)| {
                walk.item(index, |walk| {
                    if let Some(id) = text(section, "id")
                        && !section_ids.insert(id)
                    {
                        walk.key("id", |walk| walk.fault("used twice"));
                    }
                    let questions = read_questions(section, &mut question_ids, &mut score, walk);
                    Some(Section {
                        id: text(section, "id")?.into(),
                        title: text(section, "title").unwrap_or_default().to_owned(),
                        time_limit: given(section, "time_limit_minutes", minutes)?,
                        questions: questions?,
                    })
                })
            })
            .collect()
    });
    let score_max = Decimal::new(SCORE_HUNDREDTHS_MAX, 2);
    walk.key("sections", |walk| {
        if question_ids.len() > QUESTIONS_MAX {
            walk.fault(format!(
                "must have at most {QUESTIONS_MAX} questions in all"
            ));
        }
        if score > score_max {
            walk.fault(format!("must have at most {score_max} points in all"));
        }
    });
    sections.into_iter().collect()
}

fn read_questions(
    section: &Value,
    ids: &mut BTreeSet<QuestionId>,
    score: &mut Decimal,
    walk: &mut Walk,
) -> Option<Vec<super::Question>> {
    let questions: Vec<_> = walk.key("questions", |walk| {
        items(&section["questions"])
            .take(QUESTIONS_MAX)
            .enumerate()
            .map(|(index, tree)| {
                walk.item(index, |walk| {
                    if let Some(id) = text(tree, "id")
                        && !ids.insert(id.into())
                    {
                        walk.key("id", |walk| walk.fault("used twice"));
                    }
                    let question = question::read(tree, walk);
                    *score += question.as_ref().map_or(Decimal::ZERO, |it| it.points);
                    question
                })
            })
            .collect()
    });
    questions.into_iter().collect()
}

fn read_scale(tree: &Value, walk: &mut Walk) -> Option<Vec<(Decimal, String)>> {
    if tree["grading"].is_null() {
        let scale = GRADES.map(|(percent, letter)| (percent.into(), letter.to_owned()));
        return Some(scale.into());
    }
    let pairs = &tree["grading"]["scale"];
    let percents: Vec<Option<Decimal>> = items(pairs).map(|pair| decimal(&pair[0])).collect();
    walk.key("grading", |walk| {
        walk.key("scale", |walk| {
            for (index, pair) in percents.windows(2).enumerate() {
                if let [Some(before), Some(percent)] = pair
                    && percent >= before
                {
                    walk.item(index + 1, |walk| {
                        walk.fault("must be under the one before");
                    });
                }
            }
        });
    });
    items(pairs)
        .zip(percents)
        .map(|(pair, percent)| Some((percent?, pair[1].as_str()?.to_owned())))
        .collect()
}

fn read_proctoring(tree: &Value) -> Option<Proctoring> {
    Some(Proctoring {
        enabled: flag(tree, "enabled", tree.is_object()),
        heartbeat: given_or(tree, "heartbeat_seconds", HEARTBEAT, seconds)?,
        keep: given(tree, "keep_days", days)?,
        rules: items(&tree["rules"])
            .map(read_rule)
            .collect::<Option<_>>()?,
    })
}

fn read_rule(tree: &Value) -> Option<IntegrityRule> {
    Some(IntegrityRule {
        kind: text(tree, "kind")?.to_owned(),
        severity: word(tree, "severity", Severity::from_name, Severity::Medium)?,
        limit: given_or(tree, "limit", 1, |count| u32::try_from(whole(count)?).ok())?,
        within: given(tree, "within_seconds", seconds)?,
        then: word(tree, "then", Consequence::from_name, Consequence::Note)?,
    })
}

/// The items of a list; none where it is no list.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(map: &'a Value, key: &str) -> Option<&'a str> {
    map[key].as_str()
}

fn flag(map: &Value, key: &str, default: bool) -> bool {
    map[key].as_bool().unwrap_or(default)
}

fn word<T>(map: &Value, key: &str, read: fn(&str) -> Option<T>, default: T) -> Option<T> {
    given_or(map, key, default, |word| read(word.as_str()?))
}

/// What an optional key holds; an outer `None` where that cannot be read.
#[expect(clippy::option_option, reason = "absent and unreadable differ")]
fn given<T>(map: &Value, key: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    let value = &map[key];
    if value.is_null() {
        Some(None)
    } else {
        read(value).map(Some)
    }
}

/// The same with a default.
fn given_or<T>(
    map: &Value,
    key: &str,
    default: T,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    given(map, key, read).map(|value| value.unwrap_or(default))
}

fn seconds(count: &Value) -> Option<Duration> {
    Some(Duration::from_secs(u64::try_from(whole(count)?).ok()?))
}

fn days(count: &Value) -> Option<Duration> {
    seconds(count)?.checked_mul(24 * 60 * 60)
}

fn minutes(count: &Value) -> Option<Duration> {
    seconds(count)?.checked_mul(60)
}

/// The ids of a list of options; those that stand twice are reported.
fn ids(list: &Value, walk: &mut Walk) -> BTreeSet<OptionId> {
    let mut seen = BTreeSet::new();
    for (index, option) in items(list).enumerate() {
        if let Some(id) = text(option, "id")
            && !seen.insert(OptionId::from(id))
        {
            walk.item(index, |walk| {
                walk.key("id", |walk| walk.fault("used twice"));
            });
        }
    }
    seen
}
