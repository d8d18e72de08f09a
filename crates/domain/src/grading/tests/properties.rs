//! Properties of grading for all exams and all answers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::exam::HotspotRegion;

const OPTIONS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Common denominator of every share that a question of six parts can have.
const PARTS: i64 = 60;

fn some_options() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(OPTIONS.to_vec(), 1..=6).prop_shuffle()
}

fn any_region() -> impl Strategy<Value = HotspotRegion> {
    let corner = || (0.0..1.0, 0.0..1.0);
    prop_oneof![
        (corner(), corner()).prop_map(|((x1, y1), (x2, y2))| HotspotRegion::Rect {
            x1,
            y1,
            x2,
            y2
        }),
        (corner(), 0.0..0.5).prop_map(|((cx, cy), r)| HotspotRegion::Circle { cx, cy, r }),
        proptest::collection::vec(corner(), 3..8)
            .prop_map(|points| HotspotRegion::Polygon { points }),
    ]
}

fn any_body() -> impl Strategy<Value = QuestionBody> {
    let all = OPTIONS.join(" ");
    let number = AcceptedAnswer::Number {
        number: parse_decimal("3.14"),
        tolerance: parse_decimal("0.01"),
    };
    let accepted = vec![number, AcceptedAnswer::Text("word".into())];
    prop_oneof![
        Just(single_choice_body(&all, "c")),
        some_options().prop_map({
            let all = all.clone();
            move |answer| multiple_choice_body(&all, &answer.join(" "))
        }),
        any::<bool>().prop_map(|answer| QuestionBody::TrueFalse { answer }),
        (1..5_usize).prop_map({
            let accepted = accepted.clone();
            move |count| fill_blank_body(vec![accepted.clone(); count])
        }),
        any::<bool>().prop_map(move |by_hand| QuestionBody::ShortAnswer {
            accepted: (!by_hand).then(|| accepted.clone()),
            case_sensitive: false,
            rubric: None,
        }),
        Just(essay_body()),
        Just(matching_body("a b c d e f")),
        some_options().prop_map(|answer| ordering_body(&answer.join(" "))),
        proptest::collection::vec(any_region(), 1..4).prop_map(|answer| QuestionBody::Hotspot {
            image: "map.png".into(),
            multiple: true,
            answer,
        }),
    ]
}

fn any_question() -> impl Strategy<Value = Question> {
    (any_body(), 1..10_000_i64, any::<bool>(), any::<bool>()).prop_map(
        |(body, cents, partial_credit, negative_marking)| Question {
            points: Decimal::new(cents, 2),
            partial_credit,
            negative_marking,
            ..make_question("q", "1", body)
        },
    )
}

/// Values in the form of every type, with known and unknown ids.
fn any_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        proptest::sample::select(OPTIONS.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec!["3,15", "WORD", "", "1e99", "-", "\u{df}"])
            .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
        some_options().prop_map(|ids| json!(ids)),
        proptest::collection::vec((0.0..1.0, 0.0..1.0), 0..5).prop_map(|points| json!(points)),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A question of six options with its share in sixtieths, computed in whole numbers:
/// an oracle without fractions.
fn counted_question() -> impl Strategy<Value = (Question, Option<String>, i64)> {
    let answer = proptest::option::of(some_options());
    (some_options(), answer, 1..10_000_i64, any::<bool>()).prop_map(
        |(key, chosen, cents, partial_credit)| {
            let body = multiple_choice_body(&OPTIONS.join(" "), &key.join(" "));
            let question = Question {
                points: Decimal::new(cents, 2),
                partial_credit,
                ..make_question("q", "1", body)
            };
            let given = chosen.clone().unwrap_or_default();
            let right = given.iter().filter(|id| key.contains(id)).count();
            let wrong = given.len() - right;
            let (kept, of) = (right.saturating_sub(wrong), key.len());
            let kept = if partial_credit || kept == of {
                kept
            } else {
                0
            };
            let parts = PARTS * i64::try_from(kept).unwrap() / i64::try_from(of).unwrap();
            let value = chosen.map(|ids| serde_json::to_string(&ids).unwrap());
            (question, value, cents * parts)
        },
    )
}

/// `units / per`, rounded half up, in whole numbers.
fn half_up(units: i64, per: i64) -> i64 {
    (2 * units + per) / (2 * per)
}

proptest! {
    #[test]
    fn no_value_panics_and_every_mark_is_within_bounds(
        question in any_question(),
        value in any_value(),
    ) {
        let mark = grade_question(&question, Some(&value.to_string()));
        if let AnswerMark::Graded(points) = mark {
            let most = from_decimal(question.points);
            let costs = matches!(question.body, QuestionBody::SingleChoice { .. })
                && question.negative_marking;
            let options = BigRational::from_integer(5.into());
            let least = if costs { -(&most / options) } else { BigRational::zero() };
            prop_assert!(least <= points && points <= most);
        }
    }

    #[test]
    fn no_text_panics(question in any_question(), value in any::<String>()) {
        let mark = grade_question(&question, Some(&value));
        prop_assert!(mark.rounded_points().is_none_or(|points| points <= question.points));
    }

    #[test]
    fn partial_credit_never_takes_points_away(question in any_question(), value in any_value()) {
        let value = value.to_string();
        let whole = Question { partial_credit: false, ..question.clone() };
        let mark = |question| grade_question(question, Some(&value)).rounded_points();
        prop_assert!(mark(&whole) <= mark(&with_partial_credit(question)));
    }

    #[test]
    fn one_more_right_choice_never_costs_and_one_more_wrong_never_pays(
        key in some_options(),
        chosen in some_options(),
    ) {
        let kind = multiple_choice_body(&OPTIONS.join(" "), &key.join(" "));
        let question = with_partial_credit(make_question("q", "1", kind));
        let points = |ids: &[&str]| {
            let value = serde_json::to_string(ids).unwrap();
            grade_question(&question, Some(&value)).rounded_points().unwrap()
        };
        let before = points(&chosen);
        for more in OPTIONS.iter().filter(|id| !chosen.contains(id)) {
            let after = points(&[chosen.as_slice(), &[*more]].concat());
            if key.contains(more) {
                prop_assert!(after >= before);
            } else {
                prop_assert!(after <= before);
            }
        }
    }

    #[test]
    fn sums_equal_those_of_whole_numbers(
        counted in proptest::collection::vec(counted_question(), 1..12),
        late in any::<bool>(),
    ) {
        let mut questions = Vec::new();
        let mut answers = BTreeMap::new();
        let mut units = 0;
        for (number, (question, value, worth)) in counted.into_iter().enumerate() {
            let id = QuestionId::from(format!("q{number}"));
            questions.push(Question { id: id.clone(), ..question });
            units += worth;
            if let Some(value) = value {
                answers.insert(id, value);
            }
        }
        let cents: i64 = questions
            .iter()
            .map(|question| i64::try_from(question.points.mantissa()).unwrap())
            .sum();
        let exam = exam_of(questions.clone());
        let answer = |id: &QuestionId| answers.get(id).map(String::as_str);
        let totals = grade_attempt(&exam, answer, late).totals;

        // In tenths of a sixtieth of a cent, so that a penalty of a tenth is whole too.
        let (kept, lost) = if late { (9 * units, units) } else { (10 * units, 0) };
        let hundredths = |units| Decimal::new(half_up(units, 10 * PARTS), 2);
        prop_assert_eq!(totals.score, hundredths(kept));
        prop_assert_eq!(totals.penalty, hundredths(lost));
        prop_assert_eq!(totals.max_score, Decimal::new(cents, 2));
        let of = 10 * PARTS * cents;
        prop_assert_eq!(totals.percentage, Decimal::new(half_up(10_000 * kept, of), 2));
        prop_assert_eq!(totals.passed, Some(100 * kept >= 60 * of));

        questions.reverse();
        let reversed = exam_of(questions);
        prop_assert_eq!(grade_attempt(&reversed, answer, late).totals, totals);
    }

    #[test]
    fn the_total_stays_within_its_bounds(
        graded in proptest::collection::vec(
            (any_question(), proptest::option::of(any_value())),
            1..8,
        ),
        late in any::<bool>(),
    ) {
        let (questions, values): (Vec<_>, Vec<_>) = graded.into_iter().unzip();
        let questions = questions.into_iter().enumerate().map(|(number, question)| Question {
            id: format!("q{number}").into(),
            ..question
        });
        let exam = exam_of(questions.collect());
        let values: BTreeMap<String, String> = values
            .into_iter()
            .enumerate()
            .filter_map(|(number, value)| Some((format!("q{number}"), value?.to_string())))
            .collect();
        let answer = |id: &QuestionId| values.get(id.as_str()).map(String::as_str);
        let grading = grade_attempt(&exam, answer, late);
        let ScoreTotals { score, max_score, percentage, .. } = grading.totals;
        prop_assert!(Decimal::ZERO <= score && score <= max_score);
        prop_assert!(Decimal::ZERO <= percentage && percentage <= Decimal::ONE_HUNDRED);
        prop_assert_eq!(grading.rows.len(), values.len());
        prop_assert_eq!(
            grading.totals.needs_marking,
            grading.marks.contains(&AnswerMark::Pending)
        );
    }
}
