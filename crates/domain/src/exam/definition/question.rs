//! Parsing of one question of an exam file.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::Value;

use super::{collect_ids, flag_at, list_items, optional_at, text_at, value_or};
use crate::{
    exam::{
        AcceptedAnswer, HotspotRegion, Question, QuestionBody, QuestionOption, QuestionType,
        tree::exact_decimal,
    },
    fault::TreeWalk,
    id::OptionId,
};

/// Reads a question. Returns `None` if a value has the wrong shape, which the check
/// has reported.
pub(super) fn read_question(tree: &Value, walk: &mut TreeWalk) -> Option<Question> {
    let body = read_body(tree, walk);
    Some(Question {
        id: text_at(tree, "id")?.into(),
        content: text_at(tree, "content")?.to_owned(),
        points: value_or(tree, "points", Decimal::ONE, exact_decimal)?,
        partial_credit: flag_at(tree, "partial_credit", false),
        negative_marking: flag_at(tree, "negative_marking", false),
        explanation: text_at(tree, "explanation").map(str::to_owned),
        body: body?,
    })
}

fn read_body(tree: &Value, walk: &mut TreeWalk) -> Option<QuestionBody> {
    let answer = &tree["answer"];
    let case_sensitive = flag_at(tree, "case_sensitive", false);
    let rubric = text_at(tree, "rubric").map(str::to_owned);
    Some(match QuestionType::from_name(text_at(tree, "type")?)? {
        QuestionType::SingleChoice => {
            let known = walk.at_key("options", |walk| collect_ids(&tree["options"], walk));
            walk.at_key("answer", |walk| check_known_id(answer, &known, walk));
            QuestionBody::SingleChoice {
                options: read_options(&tree["options"])?,
                answer: answer.as_str()?.into(),
            }
        }
        QuestionType::MultipleChoice => {
            let known = walk.at_key("options", |walk| collect_ids(&tree["options"], walk));
            walk.at_key("answer", |walk| check_id_list(answer, &known, walk));
            QuestionBody::MultipleChoice {
                options: read_options(&tree["options"])?,
                answer: read_ids(answer)?,
            }
        }
        QuestionType::TrueFalse => QuestionBody::TrueFalse {
            answer: answer.as_bool()?,
        },
        QuestionType::FillBlank => QuestionBody::FillBlank {
            blanks: list_items(answer).map(read_blank).collect::<Option<_>>()?,
            case_sensitive,
        },
        QuestionType::ShortAnswer => QuestionBody::ShortAnswer {
            accepted: optional_at(tree, "answer", read_blank)?,
            case_sensitive,
            rubric,
        },
        QuestionType::Essay => QuestionBody::Essay { rubric },
        QuestionType::Coding => QuestionBody::Coding {
            languages: read_languages(&tree["languages"], walk)?,
            rubric,
        },
        QuestionType::Matching => read_matching(tree, walk)?,
        QuestionType::Ordering => read_ordering(tree, walk)?,
        QuestionType::Hotspot => {
            let answer = read_regions(answer, walk)?;
            QuestionBody::Hotspot {
                image: text_at(tree, "image")?.to_owned(),
                multiple: flag_at(tree, "multiple", answer.len() > 1),
                answer,
            }
        }
    })
}

fn read_languages(list: &Value, walk: &mut TreeWalk) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    walk.at_key("languages", |walk| {
        for (index, language) in list_items(list).enumerate() {
            if let Some(name) = language.as_str()
                && !seen.insert(name)
            {
                walk.at_index(index, |walk| walk.report_fault("used twice"));
            }
        }
    });
    list_items(list)
        .map(|language| language.as_str().map(str::to_owned))
        .collect()
}

fn read_matching(tree: &Value, walk: &mut TreeWalk) -> Option<QuestionBody> {
    let left = walk.at_key("left", |walk| collect_ids(&tree["left"], walk));
    let right = walk.at_key("right", |walk| collect_ids(&tree["right"], walk));
    let answer = tree["answer"].as_object();
    walk.at_key("answer", |walk| {
        for (key, value) in answer.into_iter().flatten() {
            walk.at_key(key, |walk| {
                if !left.contains(&OptionId::from(key.as_str())) {
                    walk.report_fault("is not an id of the left side");
                }
                check_known_id(value, &right, walk);
            });
        }
        if let Some(answer) = answer {
            for id in left.iter().filter(|id| !answer.contains_key(id.as_str())) {
                walk.at_key(id.as_str(), |walk| walk.report_fault("is missing"));
            }
        }
    });
    Some(QuestionBody::Matching {
        left: read_options(&tree["left"])?,
        right: read_options(&tree["right"])?,
        answer: answer?
            .iter()
            .map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
            .collect::<Option<BTreeMap<_, _>>>()?,
    })
}

fn read_ordering(tree: &Value, walk: &mut TreeWalk) -> Option<QuestionBody> {
    let known = walk.at_key("items", |walk| collect_ids(&tree["items"], walk));
    let answer = read_ids(&tree["answer"]);
    walk.at_key("answer", |walk| {
        check_id_list(&tree["answer"], &known, walk);
        for id in &known {
            if answer.as_ref().is_some_and(|answer| !answer.contains(id)) {
                walk.report_fault(format!("does not name item `{id}`"));
            }
        }
    });
    Some(QuestionBody::Ordering {
        items: read_options(&tree["items"])?,
        answer: answer?,
    })
}

fn read_regions(list: &Value, walk: &mut TreeWalk) -> Option<Vec<HotspotRegion>> {
    walk.at_key("answer", |walk| {
        let regions: Vec<_> = list_items(list)
            .enumerate()
            .map(|(index, tree)| walk.at_index(index, |walk| read_region(tree, walk)))
            .collect();
        regions.into_iter().collect()
    })
}

fn read_region(tree: &Value, walk: &mut TreeWalk) -> Option<HotspotRegion> {
    let coords = &tree["coords"];
    let region = match text_at(tree, "shape")? {
        "rect" => HotspotRegion::Rect {
            x1: coords[0].as_f64()?,
            y1: coords[1].as_f64()?,
            x2: coords[2].as_f64()?,
            y2: coords[3].as_f64()?,
        },
        "circle" => HotspotRegion::Circle {
            cx: coords[0].as_f64()?,
            cy: coords[1].as_f64()?,
            r: coords[2].as_f64()?,
        },
        _ => HotspotRegion::Polygon {
            points: list_items(coords)
                .map(|point| Some((point[0].as_f64()?, point[1].as_f64()?)))
                .collect::<Option<_>>()?,
        },
    };
    walk.at_key("coords", |walk| match &region {
        HotspotRegion::Rect { x1, y1, x2, y2 } if x1 >= x2 || y1 >= y2 => {
            walk.report_fault("must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2");
        }
        HotspotRegion::Circle { r, .. } if *r <= 0.0 => {
            walk.report_fault("must have a radius over 0");
        }
        HotspotRegion::Rect { .. }
        | HotspotRegion::Circle { .. }
        | HotspotRegion::Polygon { .. } => {}
    });
    Some(region)
}

fn read_options(list: &Value) -> Option<Vec<QuestionOption>> {
    list_items(list)
        .map(|option| {
            Some(QuestionOption {
                id: text_at(option, "id")?.into(),
                text: text_at(option, "text")?.to_owned(),
            })
        })
        .collect()
}

fn read_ids(list: &Value) -> Option<Vec<OptionId>> {
    list.as_array()?
        .iter()
        .map(|id| id.as_str().map(OptionId::from))
        .collect()
}

/// Reads a blank: a list of accepted answers, or a single number.
fn read_blank(tree: &Value) -> Option<Vec<AcceptedAnswer>> {
    match tree.as_array() {
        Some(list) => list.iter().map(read_accepted).collect(),
        None => Some(vec![read_accepted(tree)?]),
    }
}

fn read_accepted(tree: &Value) -> Option<AcceptedAnswer> {
    Some(match tree.as_str() {
        Some(text) => AcceptedAnswer::Text(text.to_owned()),
        None => AcceptedAnswer::Number {
            number: exact_decimal(&tree["number"])?,
            tolerance: value_or(tree, "tolerance", Decimal::ZERO, exact_decimal)?,
        },
    })
}

/// Reports an unknown id. If no ids are known at all, the fault of their list is
/// enough.
fn check_known_id(id: &Value, known: &BTreeSet<OptionId>, walk: &mut TreeWalk) {
    if let Some(id) = id.as_str()
        && !known.is_empty()
        && !known.contains(&OptionId::from(id))
    {
        let id: String = id.chars().take(64).collect();
        walk.report_fault(format!("`{id}` is not an id of this question"));
    }
}

/// Reports the unknown and the repeated ids of a list.
fn check_id_list(list: &Value, known: &BTreeSet<OptionId>, walk: &mut TreeWalk) {
    let mut seen = BTreeSet::new();
    for (index, id) in list_items(list).enumerate() {
        walk.at_index(index, |walk| {
            check_known_id(id, known, walk);
            if id.as_str().is_some_and(|id| !seen.insert(id)) {
                walk.report_fault("used twice");
            }
        });
    }
}
