//! Valid answers to any question, made from the paper alone, for load tests and
//! simulated candidates.

use invigil_protocol::paper::{PaperChoice, PaperQuestion, PaperQuestionType};
use serde_json::{Map, Value, json};

/// Returns the `nth` answer to a question. Consecutive answers differ, so that a stored
/// one identifies itself.
pub fn nth_answer(question: &PaperQuestion, nth: u32) -> Value {
    match question.kind {
        PaperQuestionType::SingleChoice => pick_choice(&question.options, nth),
        PaperQuestionType::MultipleChoice => {
            let some = question
                .options
                .iter()
                .enumerate()
                .filter(|(bit, _)| nth >> (bit % 32) & 1 == 1);
            some.map(|(_, option)| Value::from(option.id.as_str()))
                .collect()
        }
        PaperQuestionType::TrueFalse => json!(nth.is_multiple_of(2)),
        PaperQuestionType::FillBlank => (0..question.blanks.unwrap_or(1))
            .map(|blank| format!("{nth} {blank}"))
            .collect(),
        PaperQuestionType::ShortAnswer => json!(format!("The {nth}th thought")),
        PaperQuestionType::Essay => {
            json!(format!("{nth}. {}", "A sentence of an essay. ".repeat(12)))
        }
        PaperQuestionType::Coding => {
            let language = question.languages.first().map_or("python", String::as_str);
            json!({ "language": language, "source": format!("print({nth})\n") })
        }
        PaperQuestionType::Matching => {
            let pairs = question
                .left
                .iter()
                .zip((nth..).map(|n| pick_choice(&question.right, n)));
            Value::Object(
                pairs
                    .map(|(left, right)| (left.id.clone(), right))
                    .collect::<Map<_, _>>(),
            )
        }
        PaperQuestionType::Ordering => {
            let mut ids: Vec<&str> = question.items.iter().map(|item| item.id.as_str()).collect();
            let turns = nth as usize % ids.len().max(1);
            ids.rotate_left(turns);
            json!(ids)
        }
        PaperQuestionType::Hotspot => json!([[f64::from(nth % 1_000) / 1_000.0, 0.5]]),
    }
}

fn pick_choice(choices: &[PaperChoice], nth: u32) -> Value {
    let choice = choices.get(nth as usize % choices.len().max(1));
    choice.map_or(Value::Null, |choice| choice.id.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_question(kind: &str) -> PaperQuestion {
        let choices =
            json!([{"id": "a", "text": ""}, {"id": "b", "text": ""}, {"id": "c", "text": ""}]);
        let question = json!({
            "id": "q", "type": kind, "content": "", "points": 1, "options": choices, "blanks": 2,
            "left": choices, "right": choices, "items": choices, "multiple": false,
        });
        serde_json::from_value(question).unwrap()
    }

    #[test]
    fn answers_have_the_form_of_their_type() {
        let cases = [
            ("single_choice", json!("b")),
            ("multiple_choice", json!(["a", "c"])),
            ("true_false", json!(false)),
            ("fill_blank", json!(["5 0", "5 1"])),
            ("short_answer", json!("The 5th thought")),
            (
                "coding",
                json!({"language": "python", "source": "print(5)\n"}),
            ),
            ("matching", json!({"a": "c", "b": "a", "c": "b"})),
            ("ordering", json!(["c", "a", "b"])),
            ("hotspot", json!([[0.005, 0.5]])),
        ];
        for (kind, expected) in cases {
            let nth = if kind == "single_choice" { 4 } else { 5 };
            assert_eq!(nth_answer(&sample_question(kind), nth), expected, "{kind}");
        }
    }
}
