//! Parsing of exam files into validated [`Exam`]s.
//!
//! Two passes over the same tree, both to the end, so that one call reports every
//! fault with its place: the first checks the [shape](super::shape) of each value,
//! the second the relations between values (repeated ids, answers that name
//! missing options, the order of the window). The result is an exam only if both
//! find no fault.
//!
//! The file's content, independent of its format, is the *definition*: its canonical
//! JSON (keys sorted, no blanks) is stored and hashed. Reading it again gives the
//! same exam with the same version.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rust_decimal::Decimal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::RuleConsequence;
pub use super::tree::FileFormat;
use super::{
    EventSeverity, Exam, ExamKind, IntegrityRule, ProctoringPolicy, QUESTIONS_MAX,
    SCORE_HUNDREDTHS_MAX, Section, SessionPolicy, lines,
    shape::whole_number,
    table,
    tree::{self, exact_decimal},
};
use crate::{
    admission,
    fault::{FileFault, TreeWalk},
    id::{ExamVersion, OptionId, QuestionId},
};

mod question;
#[cfg(test)]
mod tests;

/// Default time before the opening in which candidates may enter.
const DEFAULT_LOBBY: Duration = Duration::from_mins(15);

/// Default interval of a client's heartbeats.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);

/// Default grade scale: percentage and letter, best first.
const DEFAULT_GRADES: [(i64, &str); 5] = [(90, "A"), (80, "B"), (70, "C"), (60, "D"), (0, "F")];

/// A parsed exam file without faults.
#[derive(Debug, Clone)]
pub struct ParsedExam {
    /// Content of the file.
    pub exam: Exam,
    /// Canonical JSON of the content, to be stored and read by [`from_definition`].
    pub definition: Arc<str>,
    /// Warnings: valid content that may not be intended.
    pub notes: Vec<FileFault>,
}

/// Parses an exam file.
///
/// # Errors
/// All faults of the file, at least one.
pub fn parse_exam(text: &str, format: FileFormat) -> Result<ParsedExam, Vec<FileFault>> {
    let mut tree = tree::read_tree(text, format).map_err(|fault| vec![fault])?;
    let mut walk = TreeWalk::default();
    table::EXAM.check_value(&tree, &mut walk);
    hash_password(&mut tree);
    let definition: Arc<str> = canonical_json(&tree).into();
    let exam = read_exam(&tree, definition_version(&definition), &mut walk);
    let faults = walk.into_faults();
    match exam {
        Some(exam) if faults.is_empty() => Ok(ParsedExam {
            notes: find_notes(&exam),
            exam,
            definition,
        }),
        _ => {
            let mut faults = faults.into_list();
            lines::add_lines(text, &mut faults);
            Err(faults)
        }
    }
}

/// Parses a stored definition.
///
/// # Errors
/// All faults of the file, at least one.
pub fn from_definition(definition: &str) -> Result<Exam, Vec<FileFault>> {
    let mut exam = parse_exam(definition, FileFormat::Json)?.exam;
    // The hash of the text as it is stored.
    exam.version = definition_version(definition);
    Ok(exam)
}

/// A correction of an answer key that turned out wrong after the exam was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectedKey {
    /// Question whose key is corrected.
    pub question: QuestionId,
    /// The right key as JSON, in the form of the exam file.
    pub answer: Arc<str>,
}

/// Parses a stored definition with corrections of its keys, oldest first. The
/// version stays: the candidates' papers are the same.
///
/// # Errors
/// The faults of a correction that is no valid key of its question.
pub fn with_corrected_keys(
    definition: &str,
    corrections: &[CorrectedKey],
) -> Result<Exam, Vec<FileFault>> {
    if corrections.is_empty() {
        return from_definition(definition);
    }
    let mut tree = tree::read_tree(definition, FileFormat::Json).map_err(|fault| vec![fault])?;
    for correction in corrections {
        let questions = tree["sections"].as_array_mut().into_iter().flatten();
        let questions = questions.filter_map(|section| section["questions"].as_array_mut());
        for question in questions.flatten() {
            if question["id"] == *correction.question.as_str() {
                question["answer"] = tree::read_tree(&correction.answer, FileFormat::Json)
                    .map_err(|fault| vec![fault])?;
            }
        }
    }
    let mut exam = from_definition(&canonical_json(&tree))?;
    exam.version = definition_version(definition);
    Ok(exam)
}

/// Hashes the password: no stored copy or backup holds it in clear.
fn hash_password(tree: &mut Value) {
    if let (Some(code), Some(password)) = (tree["code"].as_str(), tree["password"].as_str())
        && !admission::is_hashed(password)
    {
        tree["password"] = admission::hashed_password(&code.into(), password).into();
    }
}

/// Canonical JSON: keys sorted, no blanks, numbers in their shortest form.
fn canonical_json(tree: &Value) -> String {
    // `Map` is a `BTreeMap` and therefore sorted; a test checks this.
    tree.to_string()
}

fn definition_version(definition: &str) -> ExamVersion {
    format!("sha256:{:x}", Sha256::digest(definition)).into()
}

fn find_notes(exam: &Exam) -> Vec<FileFault> {
    let mut walk = TreeWalk::default();
    walk.at_key("sections", |walk| {
        for (number, section) in exam.sections.iter().enumerate() {
            for (position, question) in section.questions.iter().enumerate() {
                let costs = matches!(question.body, super::QuestionBody::SingleChoice { .. });
                if question.negative_marking && !costs {
                    walk.at_index(number, |walk| {
                        walk.at_key("questions", |walk| {
                            walk.at_index(position, |walk| {
                                walk.at_key("negative_marking", |walk| {
                                    walk.report_fault("has no effect on this type");
                                });
                            });
                        });
                    });
                }
            }
        }
    });
    if exam.late_submission_penalty > Decimal::ZERO && exam.grace_period.is_zero() {
        walk.at_key("late_submission_penalty", |walk| {
            walk.report_fault("has no effect without grace_period_minutes");
        });
    }
    walk.into_faults().into_list()
}

/// Reads the whole exam. Returns `None` if a value has the wrong shape, which the
/// check has reported.
fn read_exam(tree: &Value, version: ExamVersion, walk: &mut TreeWalk) -> Option<Exam> {
    let sections = read_sections(&tree["sections"], walk);
    let grade_scale = read_scale(tree, walk);
    let proctoring = read_proctoring(&tree["proctoring"]);
    let available_from = text_at(tree, "available_from").and_then(table::parse_instant);
    let available_until = text_at(tree, "available_until").and_then(table::parse_instant);
    if let (Some(from), Some(until)) = (available_from, available_until)
        && until <= from
    {
        walk.at_key("available_until", |walk| {
            walk.report_fault("must be after available_from");
        });
    }
    Some(Exam {
        version,
        code: text_at(tree, "code")?.into(),
        title: text_at(tree, "title")?.to_owned(),
        instructions: text_at(tree, "instructions").unwrap_or_default().to_owned(),
        kind: word_at(tree, "type", ExamKind::from_name, ExamKind::Quiz)?,
        duration: read_minutes(&tree["duration_minutes"])?,
        passing_score: value_or(tree, "passing_score", Decimal::from(60), exact_decimal)?,
        max_attempts: value_or(tree, "max_attempts", 1, |count| {
            u16::try_from(whole_number(count)?).ok()
        })?,
        available_from,
        available_until,
        lobby: value_or(tree, "lobby_minutes", DEFAULT_LOBBY, read_minutes)?,
        grace_period: value_or(tree, "grace_period_minutes", Duration::ZERO, read_minutes)?,
        late_submission_penalty: value_or(
            tree,
            "late_submission_penalty",
            Decimal::ZERO,
            exact_decimal,
        )?,
        full_duration_after_close: flag_at(tree, "full_duration_after_close", false),
        shuffle_questions: flag_at(tree, "shuffle_questions", false),
        shuffle_options: flag_at(tree, "shuffle_options", false),
        show_results_immediately: flag_at(tree, "show_results_immediately", true),
        allow_review: flag_at(tree, "allow_review", true),
        show_correct_answers: flag_at(tree, "show_correct_answers", false),
        password: text_at(tree, "password").map(str::to_owned),
        ip_restrictions: list_items(&tree["ip_restrictions"])
            .map(|item| item.as_str().and_then(table::parse_network))
            .collect::<Option<_>>()?,
        session_policy: word_at(
            tree,
            "session_policy",
            SessionPolicy::from_name,
            SessionPolicy::Takeover,
        )?,
        compensate_up_to: optional_at(
            &tree["on_disconnect"],
            "compensate_up_to_minutes",
            read_minutes,
        )?,
        grade_scale: grade_scale?,
        proctoring: proctoring?,
        sections: sections?,
    })
}

fn read_sections(list: &Value, walk: &mut TreeWalk) -> Option<Vec<Section>> {
    let mut section_ids = BTreeSet::new();
    let mut question_ids: BTreeSet<QuestionId> = BTreeSet::new();
    let mut score = Decimal::ZERO;
    let sections: Vec<Option<Section>> = walk.at_key("sections", |walk| {
        list_items(list)
            .enumerate()
            .map(|(index, section)| {
                walk.at_index(index, |walk| {
                    if let Some(id) = text_at(section, "id")
                        && !section_ids.insert(id)
                    {
                        walk.at_key("id", |walk| walk.report_fault("used twice"));
                    }
                    let questions = read_questions(section, &mut question_ids, &mut score, walk);
                    Some(Section {
                        id: text_at(section, "id")?.into(),
                        title: text_at(section, "title").unwrap_or_default().to_owned(),
                        time_limit: optional_at(section, "time_limit_minutes", read_minutes)?,
                        questions: questions?,
                    })
                })
            })
            .collect()
    });
    let score_max = Decimal::new(SCORE_HUNDREDTHS_MAX, 2);
    walk.at_key("sections", |walk| {
        if question_ids.len() > QUESTIONS_MAX {
            walk.report_fault(format!(
                "must have at most {QUESTIONS_MAX} questions in all"
            ));
        }
        if score > score_max {
            walk.report_fault(format!("must have at most {score_max} points in all"));
        }
    });
    sections.into_iter().collect()
}

fn read_questions(
    section: &Value,
    ids: &mut BTreeSet<QuestionId>,
    score: &mut Decimal,
    walk: &mut TreeWalk,
) -> Option<Vec<super::Question>> {
    let questions: Vec<_> = walk.at_key("questions", |walk| {
        list_items(&section["questions"])
            .take(QUESTIONS_MAX)
            .enumerate()
            .map(|(index, tree)| {
                walk.at_index(index, |walk| {
                    if let Some(id) = text_at(tree, "id")
                        && !ids.insert(id.into())
                    {
                        walk.at_key("id", |walk| walk.report_fault("used twice"));
                    }
                    let question = question::read_question(tree, walk);
                    *score += question.as_ref().map_or(Decimal::ZERO, |it| it.points);
                    question
                })
            })
            .collect()
    });
    questions.into_iter().collect()
}

fn read_scale(tree: &Value, walk: &mut TreeWalk) -> Option<Vec<(Decimal, String)>> {
    if tree["grading"].is_null() {
        let scale = DEFAULT_GRADES.map(|(percent, letter)| (percent.into(), letter.to_owned()));
        return Some(scale.into());
    }
    let pairs = &tree["grading"]["scale"];
    let percents: Vec<Option<Decimal>> = list_items(pairs)
        .map(|pair| exact_decimal(&pair[0]))
        .collect();
    walk.at_key("grading", |walk| {
        walk.at_key("scale", |walk| {
            for (index, pair) in percents.windows(2).enumerate() {
                if let [Some(before), Some(percent)] = pair
                    && percent >= before
                {
                    walk.at_index(index + 1, |walk| {
                        walk.report_fault("must be under the one before");
                    });
                }
            }
        });
    });
    list_items(pairs)
        .zip(percents)
        .map(|(pair, percent)| Some((percent?, pair[1].as_str()?.to_owned())))
        .collect()
}

fn read_proctoring(tree: &Value) -> Option<ProctoringPolicy> {
    Some(ProctoringPolicy {
        enabled: flag_at(tree, "enabled", tree.is_object()),
        heartbeat: value_or(tree, "heartbeat_seconds", DEFAULT_HEARTBEAT, read_seconds)?,
        retention: optional_at(tree, "keep_days", read_days)?,
        rules: list_items(&tree["rules"])
            .map(read_rule)
            .collect::<Option<_>>()?,
    })
}

fn read_rule(tree: &Value) -> Option<IntegrityRule> {
    Some(IntegrityRule {
        kind: text_at(tree, "kind")?.to_owned(),
        severity: word_at(
            tree,
            "severity",
            EventSeverity::from_name,
            EventSeverity::Medium,
        )?,
        limit: value_or(tree, "limit", 1, |count| {
            u32::try_from(whole_number(count)?).ok()
        })?,
        within: optional_at(tree, "within_seconds", read_seconds)?,
        then: word_at(
            tree,
            "then",
            RuleConsequence::from_name,
            RuleConsequence::Note,
        )?,
    })
}

/// Iterates over the items of a list; over none if the value is no list.
fn list_items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text_at<'a>(map: &'a Value, key: &str) -> Option<&'a str> {
    map[key].as_str()
}

fn flag_at(map: &Value, key: &str, default: bool) -> bool {
    map[key].as_bool().unwrap_or(default)
}

fn word_at<T>(map: &Value, key: &str, read: fn(&str) -> Option<T>, default: T) -> Option<T> {
    value_or(map, key, default, |word| read(word.as_str()?))
}

/// Reads an optional key. The outer `None` stands for an unreadable value.
#[expect(clippy::option_option, reason = "absent and unreadable differ")]
fn optional_at<T>(
    map: &Value,
    key: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<Option<T>> {
    let value = &map[key];
    if value.is_null() {
        Some(None)
    } else {
        read(value).map(Some)
    }
}

/// Reads an optional key that has a default.
fn value_or<T>(
    map: &Value,
    key: &str,
    default: T,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    optional_at(map, key, read).map(|value| value.unwrap_or(default))
}

fn read_seconds(count: &Value) -> Option<Duration> {
    Some(Duration::from_secs(
        u64::try_from(whole_number(count)?).ok()?,
    ))
}

fn read_days(count: &Value) -> Option<Duration> {
    read_seconds(count)?.checked_mul(24 * 60 * 60)
}

fn read_minutes(count: &Value) -> Option<Duration> {
    read_seconds(count)?.checked_mul(60)
}

/// Collects the ids of a list of options, and reports repeated ones.
fn collect_ids(list: &Value, walk: &mut TreeWalk) -> BTreeSet<OptionId> {
    let mut seen = BTreeSet::new();
    for (index, option) in list_items(list).enumerate() {
        if let Some(id) = text_at(option, "id")
            && !seen.insert(OptionId::from(id))
        {
            walk.at_index(index, |walk| {
                walk.at_key("id", |walk| walk.report_fault("used twice"));
            });
        }
    }
    seen
}
