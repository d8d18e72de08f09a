//! The questions of a stored definition: as much of it as the stores must know.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::convert::refuse;

/// A question of a definition, in the definition's order.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// Unique within the exam.
    pub(super) key: Cow<'a, str>,
    /// `single_choice` and so on.
    pub(super) kind: Cow<'a, str>,
    /// What a right answer earns.
    pub(super) points: Decimal,
    /// The whole question, this very text.
    pub(super) definition: &'a str,
}

/// Lists the questions of a definition, which the domain has validated before.
pub(super) fn questions(definition: &str) -> Result<Vec<Question<'_>>, sqlx::Error> {
    let unreadable = |error: serde_json::Error| refuse(format!("exam definition: {error}"));
    let exam: Exam<'_> = serde_json::from_str(definition).map_err(unreadable)?;
    exam.sections
        .into_iter()
        .flat_map(|section| section.questions)
        .map(|raw| {
            let head: Head<'_> = serde_json::from_str(raw.get()).map_err(unreadable)?;
            Ok(Question {
                points: decimal(head.points)?,
                key: head.id,
                kind: head.kind,
                definition: raw.get(),
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct Exam<'a> {
    #[serde(borrow)]
    sections: Vec<Section<'a>>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow)]
    questions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    points: &'a RawValue,
}

/// A decimal written as a JSON number or as a string.
fn decimal(raw: &RawValue) -> Result<Decimal, sqlx::Error> {
    let text = raw.get().trim_matches('"');
    text.parse()
        .or_else(|_| Decimal::from_scientific(text))
        .map_err(|error| refuse(format!("exam definition: points {text}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_in_order_with_their_exact_text() {
        let definition = r#"{"code":"E","sections":[
            {"id":"s1","questions":[{"id":"q\u00e9","type":"essay","points":1e1,"x":[1, 2]}]},
            {"id":"s2","questions":[{"id":"q2","type":"true_false","points":"0.50"}]}]}"#;
        let found = questions(definition).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|question| (&*question.key, &*question.kind, question.points.to_string()))
            .collect();
        assert_eq!(
            seen,
            [
                ("q\u{e9}", "essay", "10".to_owned()),
                ("q2", "true_false", "0.50".to_owned())
            ]
        );
        assert_eq!(
            found[0].definition,
            r#"{"id":"q\u00e9","type":"essay","points":1e1,"x":[1, 2]}"#
        );
    }

    #[test]
    fn a_definition_without_questions_is_refused() {
        for bad in ["", "{}", r#"{"sections":[{"questions":[{"id":"q"}]}]}"#] {
            assert!(questions(bad).is_err(), "{bad}");
        }
    }
}
