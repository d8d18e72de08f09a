//! What rules make of events, and risk.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const fn minute(minute: i64) -> Timestamp {
    Timestamp::from_ms(60_000 * minute)
}

fn proctoring(rules: Vec<IntegrityRule>) -> Proctoring {
    Proctoring {
        enabled: true,
        heartbeat: Duration::from_secs(10),
        keep: None,
        rules,
    }
}

fn rule(limit: u32, within: Option<u64>) -> IntegrityRule {
    IntegrityRule {
        kind: "copy".to_owned(),
        severity: Severity::Low,
        limit,
        within: within.map(Duration::from_secs),
        then: Consequence::Warn,
    }
}

fn see(integrity: &mut Integrity, rules: &Proctoring, kind: &str, at: Timestamp) -> Judgement {
    let judgement = integrity.judge(rules, kind, at);
    integrity.take(kind, at, &judgement);
    judgement
}

#[test]
fn risk_halves_every_quarter_of_an_hour_and_says_what_it_is_made_of() {
    let (mut integrity, rules) = (Integrity::default(), proctoring(Vec::new()));
    see(&mut integrity, &rules, "face_multiple", minute(0));
    see(&mut integrity, &rules, "copy", minute(0));
    assert_eq!(integrity.risk(minute(0)), 27);
    assert_eq!(
        integrity.explain(minute(0)),
        [("face_multiple", 25), ("copy", 2)]
    );
    assert_eq!(integrity.risk(minute(15)), 13);
    assert_eq!(integrity.risk(minute(30)), 6);
    assert_eq!(integrity.risk(minute(600)), 0);
    assert!(integrity.explain(minute(600)).is_empty());
    // The clock of the engine never goes back; if it did, nothing would break.
    assert_eq!(integrity.risk(minute(-5)), 27);
}

#[test]
fn risk_ends_at_a_hundred_and_fades_from_there() {
    let (mut integrity, rules) = (Integrity::default(), proctoring(Vec::new()));
    for _ in 0..50 {
        see(&mut integrity, &rules, "face_mismatch", minute(0));
    }
    assert_eq!(integrity.risk(minute(0)), 100);
    assert_eq!(integrity.risk(minute(15)), 50);
    let next = integrity.fades_at(minute(0)).unwrap();
    assert!(integrity.risk(next) < 100);
}

#[test]
fn a_dismissed_incident_leaves_no_risk() {
    let (mut integrity, rules) = (Integrity::default(), proctoring(vec![rule(1, None)]));
    let judgement = see(&mut integrity, &rules, "copy", minute(0));
    let raised = Raised {
        kind: "copy".to_owned(),
        severity: Severity::Low,
        at: minute(0),
        events: judgement.events,
        then: Consequence::Warn,
        note: None,
        by: None,
    };
    integrity.raise("i1".to_owned(), &raised);
    assert_eq!(integrity.risk(minute(0)), 2);
    let closed = Closed {
        at: minute(1),
        by: "pat".to_owned(),
        verdict: DISMISSED.to_owned(),
        note: None,
    };
    integrity.close("i1", &closed);
    assert_eq!(integrity.risk(minute(0)), 0);
}

#[test]
fn what_a_client_invents_does_not_grow_the_state() {
    let (mut integrity, rules) = (
        Integrity::default(),
        proctoring(vec![rule(1_000, Some(60))]),
    );
    for number in 0..5_000 {
        see(&mut integrity, &rules, &format!("x-{number}"), minute(0));
        let at = Timestamp::from_ms(number);
        see(&mut integrity, &rules, "copy", at);
    }
    let stored = serde_json::to_string(&integrity).unwrap();
    assert!(stored.len() < 16_000, "{} bytes", stored.len());
}

#[test]
fn rules_that_change_count_from_then_on() {
    let mut integrity = Integrity::default();
    let strict = proctoring(vec![rule(2, None)]);
    let mild = proctoring(vec![rule(3, None)]);
    assert!(
        see(&mut integrity, &strict, "copy", minute(0))
            .consequences
            .is_empty()
    );
    // Another rule: the one event before is not held against the candidate.
    assert!(
        see(&mut integrity, &mild, "copy", minute(1))
            .consequences
            .is_empty()
    );
    assert!(
        see(&mut integrity, &mild, "copy", minute(2))
            .consequences
            .is_empty()
    );
    assert_eq!(
        see(&mut integrity, &mild, "copy", minute(3)).consequences,
        [Consequence::Warn]
    );
}

proptest! {
    /// The plain meaning of a rule, counted without any cleverness.
    #[test]
    fn a_rule_acts_exactly_when_its_window_is_full(
        limit in 1..6_u32,
        within in prop::option::of(1..60_u64),
        steps in prop::collection::vec(0..20_000_i64, 1..60),
    ) {
        let rules = proctoring(vec![rule(limit, within)]);
        let (mut integrity, mut seen, mut now) = (Integrity::default(), Vec::new(), 0);
        for step in steps {
            now += step;
            seen.push(now);
            let begin = within.map_or(i64::MIN, |within| now - 1_000 * within.cast_signed());
            let inside = seen.iter().filter(|at| **at > begin).count();
            let acts = inside >= usize::try_from(limit).unwrap();
            let judgement = see(&mut integrity, &rules, "copy", Timestamp::from_ms(now));
            prop_assert_eq!(!judgement.consequences.is_empty(), acts);
            if acts {
                seen.clear();
            }
            let stored = serde_json::to_string(&integrity).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Integrity>(&stored).unwrap(), &integrity);
        }
    }

    #[test]
    fn risk_never_rises_by_waiting(at in 0..10_000_000_i64, later in 0..10_000_000_i64) {
        let (mut integrity, rules) = (Integrity::default(), proctoring(Vec::new()));
        see(&mut integrity, &rules, "phone", Timestamp::from_ms(0));
        see(&mut integrity, &rules, "copy", Timestamp::from_ms(at / 2));
        let at = Timestamp::from_ms(at);
        let risk = integrity.risk(at);
        prop_assert!(risk <= 27);
        prop_assert!(integrity.risk(at + Duration::from_millis(later.cast_unsigned())) <= risk);
    }
}
