//! The questions of a stored definition, as far as the stores need them.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::convert::encode_error;
use invigil_domain::{
    exam::{QuestionType, definition::from_definition},
    id::QuestionId,
};

/// A question of a definition.
#[derive(Debug)]
pub(super) struct QuestionOutline<'a> {
    /// Id of the question, unique within the exam.
    pub(super) key: QuestionId,
    /// The question's type.
    pub(super) kind: QuestionType,
    /// Points for a right answer.
    pub(super) points: Decimal,
    /// The whole question, as its exact JSON text.
    pub(super) definition: &'a str,
}

/// Lists the questions of a definition, in its order.
pub(super) fn outline_questions(definition: &str) -> Result<Vec<QuestionOutline<'_>>, sqlx::Error> {
    let exam = from_definition(definition).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        encode_error(format!("exam definition: {}", faults.join("; ")))
    })?;
    let texts: DefinitionText<'_> = serde_json::from_str(definition)
        .map_err(|error| encode_error(format!("exam definition: {error}")))?;
    let parsed = exam
        .sections
        .into_iter()
        .flat_map(|section| section.questions);
    let texts = texts
        .sections
        .into_iter()
        .flat_map(|section| section.questions);
    Ok(parsed
        .zip(texts)
        .map(|(question, text)| QuestionOutline {
            kind: question.body.question_type(),
            key: question.id,
            points: question.points,
            definition: text.get(),
        })
        .collect())
}

#[derive(Deserialize)]
struct DefinitionText<'a> {
    #[serde(borrow)]
    sections: Vec<SectionText<'a>>,
}

#[derive(Deserialize)]
struct SectionText<'a> {
    #[serde(borrow)]
    questions: Vec<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_in_order_with_their_exact_text() {
        let first = r#"{"content":"?","id":"q\u00e9","points":2.5,"type":"essay"}"#;
        let second = r#"{"answer":true,"content":"?","id":"q2","type":"true_false"}"#;
        let definition = format!(
            r#"{{"code":"E","duration_minutes":1,"sections":[
                {{"id":"s1","questions":[{first}]}},{{"id":"s2","questions":[{second}]}}
            ],"title":"E"}}"#
        );
        let found = outline_questions(&definition).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|question| {
                (
                    question.key.as_str(),
                    question.kind,
                    question.points.to_string(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("q\u{e9}", QuestionType::Essay, "2.5".to_owned()),
                ("q2", QuestionType::TrueFalse, "1".to_owned()),
            ]
        );
        assert_eq!([found[0].definition, found[1].definition], [first, second]);
    }

    #[test]
    fn a_definition_that_is_no_exam_is_refused() {
        for bad in ["", "{}", r#"{"sections":[{"questions":[{"id":"q"}]}]}"#] {
            assert!(outline_questions(bad).is_err(), "{bad}");
        }
    }
}
