//! Judgements of rules about events, and the risk.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const fn at_minute(minute: i64) -> Timestamp {
    Timestamp::from_ms(60_000 * minute)
}

fn policy_of(rules: Vec<IntegrityRule>) -> ProctoringPolicy {
    ProctoringPolicy {
        enabled: true,
        heartbeat: Duration::from_secs(10),
        retention: None,
        rules,
    }
}

fn make_rule(limit: u32, within: Option<u64>) -> IntegrityRule {
    IntegrityRule {
        kind: "copy".to_owned(),
        severity: EventSeverity::Low,
        limit,
        within: within.map(Duration::from_secs),
        then: RuleConsequence::Warn,
    }
}

fn record_kind(
    integrity: &mut IntegrityState,
    rules: &ProctoringPolicy,
    kind: &str,
    at: Timestamp,
) -> EventJudgement {
    let judgement = integrity.judge_event(rules, kind, at);
    integrity.record_event(kind, at, &judgement);
    judgement
}

#[test]
fn risk_halves_every_quarter_of_an_hour_and_says_what_it_is_made_of() {
    let (mut integrity, rules) = (IntegrityState::default(), policy_of(Vec::new()));
    record_kind(&mut integrity, &rules, "face_multiple", at_minute(0));
    record_kind(&mut integrity, &rules, "copy", at_minute(0));
    assert_eq!(integrity.risk(at_minute(0)), 27);
    assert_eq!(
        integrity.risk_by_kind(at_minute(0)),
        [("face_multiple", 25), ("copy", 2)]
    );
    assert_eq!(integrity.risk(at_minute(15)), 13);
    assert_eq!(integrity.risk(at_minute(30)), 6);
    assert_eq!(integrity.risk(at_minute(600)), 0);
    assert!(integrity.risk_by_kind(at_minute(600)).is_empty());
    // The engine's clock never goes back; even if it did, nothing would break.
    assert_eq!(integrity.risk(at_minute(-5)), 27);
}

#[test]
fn risk_ends_at_a_hundred_and_fades_from_there() {
    let (mut integrity, rules) = (IntegrityState::default(), policy_of(Vec::new()));
    for _ in 0..50 {
        record_kind(&mut integrity, &rules, "face_mismatch", at_minute(0));
    }
    assert_eq!(integrity.risk(at_minute(0)), 100);
    assert_eq!(integrity.risk(at_minute(15)), 50);
    let next = integrity.fades_at(at_minute(0)).unwrap();
    assert!(integrity.risk(next) < 100);
}

#[test]
fn a_dismissed_incident_leaves_no_risk() {
    let (mut integrity, rules) = (
        IntegrityState::default(),
        policy_of(vec![make_rule(1, None)]),
    );
    let judgement = record_kind(&mut integrity, &rules, "copy", at_minute(0));
    let raised = IncidentTrigger {
        kind: "copy".to_owned(),
        severity: EventSeverity::Low,
        at: at_minute(0),
        events: judgement.events,
        then: RuleConsequence::Warn,
        note: None,
        by: None,
    };
    integrity.raise_incident("i1".to_owned(), &raised);
    assert_eq!(integrity.risk(at_minute(0)), 2);
    let closed = IncidentClosure {
        at: at_minute(1),
        by: "pat".to_owned(),
        verdict: DISMISSED.to_owned(),
        note: None,
    };
    integrity.close_incident("i1", &closed);
    assert_eq!(integrity.risk(at_minute(0)), 0);
}

#[test]
fn what_a_client_invents_does_not_grow_the_state() {
    let (mut integrity, rules) = (
        IntegrityState::default(),
        policy_of(vec![make_rule(1_000, Some(60))]),
    );
    for number in 0..5_000 {
        record_kind(&mut integrity, &rules, &format!("x-{number}"), at_minute(0));
        let at = Timestamp::from_ms(number);
        record_kind(&mut integrity, &rules, "copy", at);
    }
    let stored = serde_json::to_string(&integrity).unwrap();
    assert!(stored.len() < 16_000, "{} bytes", stored.len());
}

#[test]
fn rules_that_change_count_from_then_on() {
    let mut integrity = IntegrityState::default();
    let strict = policy_of(vec![make_rule(2, None)]);
    let mild = policy_of(vec![make_rule(3, None)]);
    assert!(
        record_kind(&mut integrity, &strict, "copy", at_minute(0))
            .consequences
            .is_empty()
    );
    // A changed rule does not count the earlier event.
    assert!(
        record_kind(&mut integrity, &mild, "copy", at_minute(1))
            .consequences
            .is_empty()
    );
    assert!(
        record_kind(&mut integrity, &mild, "copy", at_minute(2))
            .consequences
            .is_empty()
    );
    assert_eq!(
        record_kind(&mut integrity, &mild, "copy", at_minute(3)).consequences,
        [RuleConsequence::Warn]
    );
}

proptest! {
    /// The meaning of a rule, counted in the simplest way.
    #[test]
    fn a_rule_acts_exactly_when_its_window_is_full(
        limit in 1..6_u32,
        within in prop::option::of(1..60_u64),
        steps in prop::collection::vec(0..20_000_i64, 1..60),
    ) {
        let rules = policy_of(vec![make_rule(limit, within)]);
        let (mut integrity, mut seen, mut now) = (IntegrityState::default(), Vec::new(), 0);
        for step in steps {
            now += step;
            seen.push(now);
            let begin = within.map_or(i64::MIN, |within| now - 1_000 * within.cast_signed());
            let inside = seen.iter().filter(|at| **at > begin).count();
            let acts = inside >= usize::try_from(limit).unwrap();
            let judgement = record_kind(&mut integrity, &rules, "copy", Timestamp::from_ms(now));
            prop_assert_eq!(!judgement.consequences.is_empty(), acts);
            if acts {
                seen.clear();
            }
            let stored = serde_json::to_string(&integrity).unwrap();
            prop_assert_eq!(&serde_json::from_str::<IntegrityState>(&stored).unwrap(), &integrity);
        }
    }

    #[test]
    fn risk_never_rises_by_waiting(at in 0..10_000_000_i64, later in 0..10_000_000_i64) {
        let (mut integrity, rules) = (IntegrityState::default(), policy_of(Vec::new()));
        record_kind(&mut integrity, &rules, "phone", Timestamp::from_ms(0));
        record_kind(&mut integrity, &rules, "copy", Timestamp::from_ms(at / 2));
        let at = Timestamp::from_ms(at);
        let risk = integrity.risk(at);
        prop_assert!(risk <= 27);
        prop_assert!(integrity.risk(at + Duration::from_millis(later.cast_unsigned())) <= risk);
    }
}
