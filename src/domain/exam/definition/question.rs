//! One question of an exam file: what only the question as a whole can tell.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::Value;

use super::{flag, given, given_or, ids, items, text};
use crate::domain::{
    exam::{Accepted, Body, Choice, Question, QuestionType, Region, tree::decimal},
    fault::Walk,
    id::OptionId,
};

/// Reads a question; nothing where a value is not of its shape, which the check
/// has reported.
pub(super) fn read(tree: &Value, walk: &mut Walk) -> Option<Question> {
    let body = read_body(tree, walk);
    Some(Question {
        id: text(tree, "id")?.into(),
        content: text(tree, "content")?.to_owned(),
        points: given_or(tree, "points", Decimal::ONE, decimal)?,
        partial_credit: flag(tree, "partial_credit", false),
        negative_marking: flag(tree, "negative_marking", false),
        explanation: text(tree, "explanation").map(str::to_owned),
        body: body?,
    })
}

fn read_body(tree: &Value, walk: &mut Walk) -> Option<Body> {
    let answer = &tree["answer"];
    let case_sensitive = flag(tree, "case_sensitive", false);
    let rubric = text(tree, "rubric").map(str::to_owned);
    Some(match QuestionType::from_name(text(tree, "type")?)? {
        QuestionType::SingleChoice => {
            let known = walk.key("options", |walk| ids(&tree["options"], walk));
            walk.key("answer", |walk| check_known(answer, &known, walk));
            Body::SingleChoice {
                options: choices(&tree["options"])?,
                answer: answer.as_str()?.into(),
            }
        }
        QuestionType::MultipleChoice => {
            let known = walk.key("options", |walk| ids(&tree["options"], walk));
            walk.key("answer", |walk| check_list(answer, &known, walk));
            Body::MultipleChoice {
                options: choices(&tree["options"])?,
                answer: id_list(answer)?,
            }
        }
        QuestionType::TrueFalse => Body::TrueFalse {
            answer: answer.as_bool()?,
        },
        QuestionType::FillBlank => Body::FillBlank {
            blanks: items(answer).map(blank).collect::<Option<_>>()?,
            case_sensitive,
        },
        QuestionType::ShortAnswer => Body::ShortAnswer {
            accepted: given(tree, "answer", blank)?,
            case_sensitive,
            rubric,
        },
        QuestionType::Essay => Body::Essay { rubric },
        QuestionType::Coding => Body::Coding {
            languages: read_languages(&tree["languages"], walk)?,
            rubric,
        },
        QuestionType::Matching => read_matching(tree, walk)?,
        QuestionType::Ordering => read_ordering(tree, walk)?,
        QuestionType::Hotspot => {
            let answer = read_regions(answer, walk)?;
            Body::Hotspot {
                image: text(tree, "image")?.to_owned(),
                multiple: flag(tree, "multiple", answer.len() > 1),
                answer,
            }
        }
    })
}

fn read_languages(list: &Value, walk: &mut Walk) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    walk.key("languages", |walk| {
        for (index, language) in items(list).enumerate() {
            if let Some(name) = language.as_str()
                && !seen.insert(name)
            {
                walk.item(index, |walk| walk.fault("used twice"));
            }
        }
    });
    items(list)
        .map(|language| language.as_str().map(str::to_owned))
        .collect()
}

fn read_matching(tree: &Value, walk: &mut Walk) -> Option<Body> {
    let left = walk.key("left", |walk| ids(&tree["left"], walk));
    let right = walk.key("right", |walk| ids(&tree["right"], walk));
    let answer = tree["answer"].as_object();
    walk.key("answer", |walk| {
        for (key, value) in answer.into_iter().flatten() {
            walk.key(key, |walk| {
                if !left.contains(&OptionId::from(key.as_str())) {
                    walk.fault("is not an id of the left side");
                }
                check_known(value, &right, walk);
            });
        }
        if let Some(answer) = answer {
            for id in left.iter().filter(|id| !answer.contains_key(id.as_str())) {
                walk.key(id.as_str(), |walk| walk.fault("is missing"));
            }
        }
    });
    Some(Body::Matching {
        left: choices(&tree["left"])?,
        right: choices(&tree["right"])?,
        answer: answer?
            .iter()
            .map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
            .collect::<Option<BTreeMap<_, _>>>()?,
    })
}

fn read_ordering(tree: &Value, walk: &mut Walk) -> Option<Body> {
    let known = walk.key("items", |walk| ids(&tree["items"], walk));
    let answer = id_list(&tree["answer"]);
    walk.key("answer", |walk| {
        check_list(&tree["answer"], &known, walk);
        for id in &known {
            if answer.as_ref().is_some_and(|answer| !answer.contains(id)) {
                walk.fault(format!("does not name item `{id}`"));
            }
        }
    });
    Some(Body::Ordering {
        items: choices(&tree["items"])?,
        answer: answer?,
    })
}

fn read_regions(list: &Value, walk: &mut Walk) -> Option<Vec<Region>> {
    walk.key("answer", |walk| {
        let regions: Vec<_> = items(list)
            .enumerate()
            .map(|(index, tree)| walk.item(index, |walk| read_region(tree, walk)))
            .collect();
        regions.into_iter().collect()
    })
}

fn read_region(tree: &Value, walk: &mut Walk) -> Option<Region> {
    let coords = &tree["coords"];
    let region = match text(tree, "shape")? {
        "rect" => Region::Rect {
            x1: coords[0].as_f64()?,
            y1: coords[1].as_f64()?,
            x2: coords[2].as_f64()?,
            y2: coords[3].as_f64()?,
        },
        "circle" => Region::Circle {
            cx: coords[0].as_f64()?,
            cy: coords[1].as_f64()?,
            r: coords[2].as_f64()?,
        },
        _ => Region::Polygon {
            points: items(coords)
                .map(|point| Some((point[0].as_f64()?, point[1].as_f64()?)))
                .collect::<Option<_>>()?,
        },
    };
    walk.key("coords", |walk| match &region {
        Region::Rect { x1, y1, x2, y2 } if x1 >= x2 || y1 >= y2 => {
            walk.fault("must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2");
        }
        Region::Circle { r, .. } if *r <= 0.0 => walk.fault("must have a radius over 0"),
        Region::Rect { .. } | Region::Circle { .. } | Region::Polygon { .. } => {}
    });
    Some(region)
}

fn choices(list: &Value) -> Option<Vec<Choice>> {
    items(list)
        .map(|option| {
            Some(Choice {
                id: text(option, "id")?.into(),
                text: text(option, "text")?.to_owned(),
            })
        })
        .collect()
}

fn id_list(list: &Value) -> Option<Vec<OptionId>> {
    list.as_array()?
        .iter()
        .map(|id| id.as_str().map(OptionId::from))
        .collect()
}

/// One blank: a list of accepted answers, or a number alone.
fn blank(tree: &Value) -> Option<Vec<Accepted>> {
    match tree.as_array() {
        Some(list) => list.iter().map(accepted).collect(),
        None => Some(vec![accepted(tree)?]),
    }
}

fn accepted(tree: &Value) -> Option<Accepted> {
    Some(match tree.as_str() {
        Some(text) => Accepted::Text(text.to_owned()),
        None => Accepted::Number {
            number: decimal(&tree["number"])?,
            tolerance: given_or(tree, "tolerance", Decimal::ZERO, decimal)?,
        },
    })
}

/// Reports an id that is not among the known ones; where there are none at all,
/// their own fault says enough.
fn check_known(id: &Value, known: &BTreeSet<OptionId>, walk: &mut Walk) {
    if let Some(id) = id.as_str()
        && !known.is_empty()
        && !known.contains(&OptionId::from(id))
    {
        let id: String = id.chars().take(64).collect();
        walk.fault(format!("`{id}` is not an id of this question"));
    }
}

/// Reports ids of a list that are not known or stand twice.
fn check_list(list: &Value, known: &BTreeSet<OptionId>, walk: &mut Walk) {
    let mut seen = BTreeSet::new();
    for (index, id) in items(list).enumerate() {
        walk.item(index, |walk| {
            check_known(id, known, walk);
            if id.as_str().is_some_and(|id| !seen.insert(id)) {
                walk.fault("used twice");
            }
        });
    }
}
