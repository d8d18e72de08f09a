//! The attempt's rules, by examples and by properties. A [`Sitting`] drives the
//! state machine as its contract says: tick what is due, decide, apply.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    command::{Action, Numbered},
    *,
};
use crate::domain::exam::definition::from_definition;

const MINUTE: i64 = 60_000;

/// An exam of ten minutes with a choice, an essay, and what a test adds.
#[expect(clippy::needless_pass_by_value, reason = "tests pass literals")]
fn plan(extra: Value) -> Arc<Plan> {
    let mut exam = json!({
        "code": "T", "title": "T", "duration_minutes": 10, "max_attempts": 1,
        "sections": [{"id": "s", "title": "S", "questions": [
            {"id": "q1", "type": "single_choice", "content": "?", "points": 1,
             "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}], "answer": "a"},
            {"id": "q2", "type": "essay", "content": "?", "points": 1, "answer": null},
        ]}],
    });
    for (key, value) in extra.as_object().unwrap() {
        exam[key] = value.clone();
    }
    Arc::new(Plan::new(Arc::new(
        from_definition(&exam.to_string()).unwrap(),
    )))
}

/// An attempt with the events that made it.
struct Sitting {
    attempt: Attempt,
    events: Vec<(i64, Event)>,
    sessions: u32,
}

impl Sitting {
    fn of(plan: &Arc<Plan>) -> Self {
        let attempt = fresh(plan, Stored::default());
        Self {
            attempt,
            events: Vec::new(),
            sessions: 0,
        }
    }

    fn entered(extra: Value) -> Self {
        let mut sitting = Self::of(&plan(extra));
        sitting.enter(0, None).unwrap();
        sitting
    }

    fn act(&mut self, ms: i64, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = Timestamp::from_ms(ms);
        while self.attempt.next_deadline().is_some_and(|at| at <= now) {
            let due = self.attempt.decide(now, &Command::Tick).unwrap();
            assert!(!due.is_empty(), "a tick that is due does something");
            self.apply(ms, due);
        }
        let events = self.attempt.decide(now, command)?;
        self.apply(ms, events.clone());
        Ok(events)
    }

    fn apply(&mut self, ms: i64, events: Vec<Event>) {
        for event in events {
            let before = self.attempt.version();
            self.attempt.apply(&event);
            assert_eq!(self.attempt.version(), before + 1);
            self.events.push((ms, event));
        }
    }

    fn enter(&mut self, ms: i64, resume: Option<&str>) -> Result<Vec<Event>, Refusal> {
        self.sessions += 1;
        let fresh = SessionId::from(format!("session-{}", self.sessions));
        self.act(
            ms,
            &Command::Enter {
                resume: resume.map(SessionId::from),
                fresh,
            },
        )
    }

    /// The refusal code of a numbered command; none where it was accepted.
    fn say(&mut self, ms: i64, seq: u64, what: Numbered) -> Option<&'static str> {
        let events = self.act(ms, &Command::Numbered { seq, what }).unwrap();
        match events.as_slice() {
            [Event::Refused { code, .. }] => Some(code.as_str()),
            [_] => None,
            other => panic!("{other:?}"),
        }
    }

    fn staff(&mut self, ms: i64, id: &str, action: Action) -> Result<Vec<Event>, Refusal> {
        let key = CommandKey {
            person: "p".to_owned(),
            command: id.to_owned(),
        };
        self.act(ms, &Command::Staff { key, action })
    }

    fn deadline(&self, ms: i64) -> i64 {
        self.attempt
            .deadline(Timestamp::from_ms(ms))
            .unwrap()
            .as_ms()
    }
}

fn fresh(plan: &Arc<Plan>, stored: Stored) -> Attempt {
    let identity = Identity {
        id: AttemptId(1),
        exam: "T".into(),
        exam_version: "sha256:0".into(),
        candidate: "c".into(),
        number: 1,
        seed: 0,
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
        started_at: Timestamp::from_ms(0),
    };
    Attempt::load(identity, Arc::clone(plan), 1_000, 1, stored)
}

fn answer(question: &str, value: Value, base_rev: Option<u32>) -> Numbered {
    Numbered::Answer {
        question: question.into(),
        value: Some(value),
        base_rev,
        spent: Duration::ZERO,
        bad_field: None,
    }
}

fn choose(option: &str) -> Numbered {
    answer("q1", json!(option), None)
}

#[test]
fn numbers_are_used_once_and_in_order() {
    let mut sitting = Sitting::entered(json!({}));
    assert_eq!(sitting.say(1, 1, choose("a")), None);
    let repeat = Command::Numbered {
        seq: 1,
        what: choose("b"),
    };
    assert_eq!(sitting.act(2, &repeat), Ok(Vec::new()));
    let early = Command::Numbered {
        seq: 3,
        what: choose("b"),
    };
    assert_eq!(sitting.act(2, &early), Err(Refusal::Gap { expected: 2 }));
    assert_eq!(sitting.say(3, 2, choose("z")), Some("bad_value"));
    assert_eq!(sitting.say(4, 3, choose("b")), None);
    let stored = &sitting.attempt.answers()[&0];
    assert_eq!((stored.value.as_deref(), stored.rev), (Some(r#""b""#), 2));
}

#[test]
fn what_cannot_be_done_is_refused_by_its_own_code() {
    let mut sitting = Sitting::entered(json!({}));
    assert_eq!(
        sitting.say(1, 1, answer("nope", json!("a"), None)),
        Some("unknown_question")
    );
    let long = "x".repeat(1_001);
    assert_eq!(
        sitting.say(1, 2, answer("q2", json!(long), None)),
        Some("too_large")
    );
    assert_eq!(sitting.say(1, 3, choose("a")), None);
    assert_eq!(
        sitting.say(1, 4, answer("q1", json!("b"), Some(0))),
        Some("conflict")
    );
    assert_eq!(sitting.say(1, 5, answer("q1", json!("b"), Some(1))), None);
    sitting
        .staff(2, "1", Action::Pause { reason: None })
        .unwrap();
    assert_eq!(sitting.say(3, 6, choose("a")), Some("paused"));
    sitting
        .staff(4, "2", Action::Resume { reason: None })
        .unwrap();
    assert_eq!(sitting.say(11 * MINUTE, 7, choose("a")), Some("time_over"));
    assert_eq!(sitting.attempt.status(), Status::Graded);
}

#[test]
fn handing_in_ends_it_and_an_essay_waits_for_a_person() {
    let mut sitting = Sitting::entered(json!({}));
    assert_eq!(sitting.say(1, 1, answer("q2", json!("text"), None)), None);
    assert_eq!(sitting.say(2, 2, Numbered::Submit), None);
    assert_eq!(sitting.attempt.status(), Status::Submitted);
    assert_eq!(sitting.say(3, 3, choose("a")), Some("closed"));
    assert_eq!(sitting.enter(4, None), Err(Refusal::Closed));
    let again = sitting.staff(4, "1", Action::Submit { reason: None });
    assert_eq!(again, Err(Refusal::AfterHandIn));
}

#[test]
fn the_grace_period_takes_answers_and_marks_them_late() {
    let mut sitting = Sitting::entered(json!({"grace_period_minutes": 2}));
    assert_eq!(sitting.say(10 * MINUTE, 1, choose("a")), None);
    assert!(
        !sitting.attempt.control().late,
        "the deadline itself is in time"
    );
    assert_eq!(sitting.say(11 * MINUTE, 2, choose("b")), None);
    assert!(sitting.attempt.control().late);
    assert_eq!(sitting.say(12 * MINUTE, 3, choose("a")), Some("time_over"));
    let [.., (_, Event::HandedIn { at, late: true, .. }), _] = sitting.events.as_slice() else {
        panic!("{:?}", sitting.events);
    };
    assert_eq!(at.as_ms(), 12 * MINUTE);
}

#[test]
fn a_pause_gives_its_time_back_and_an_extension_moves_the_deadline() {
    let mut sitting = Sitting::entered(json!({}));
    assert_eq!(sitting.deadline(0), 10 * MINUTE);
    sitting
        .staff(MINUTE, "1", Action::Pause { reason: None })
        .unwrap();
    let twice = sitting.staff(2 * MINUTE, "2", Action::Pause { reason: None });
    assert_eq!(twice, Err(Refusal::AlreadyPaused));
    assert_eq!(
        sitting.attempt.next_deadline(),
        None,
        "the clock stands still"
    );
    sitting
        .staff(4 * MINUTE, "3", Action::Resume { reason: None })
        .unwrap();
    assert_eq!(sitting.deadline(4 * MINUTE), 13 * MINUTE);
    let extend = Action::Extend {
        by: Duration::from_mins(5),
        reason: None,
    };
    sitting.staff(5 * MINUTE, "4", extend.clone()).unwrap();
    assert_eq!(
        sitting.staff(6 * MINUTE, "4", extend),
        Ok(Vec::new()),
        "once a command id"
    );
    assert_eq!(sitting.deadline(6 * MINUTE), 18 * MINUTE);
    let resume = sitting.staff(6 * MINUTE, "5", Action::Resume { reason: None });
    assert_eq!(resume, Err(Refusal::NotPaused));
}

#[test]
fn the_window_caps_what_is_owed_but_not_an_extension() {
    let until = "1970-01-01T00:06:00Z";
    let mut sitting = Sitting::entered(json!({"available_until": until}));
    assert_eq!(sitting.deadline(0), 6 * MINUTE);
    let extend = Action::Extend {
        by: Duration::from_mins(3),
        reason: None,
    };
    sitting.staff(1, "1", extend).unwrap();
    assert_eq!(sitting.deadline(1), 9 * MINUTE);
    let full = json!({"available_until": until, "full_duration_after_close": true});
    assert_eq!(Sitting::entered(full).deadline(0), 10 * MINUTE);
}

#[test]
fn the_lobby_waits_for_the_opening_and_everyone_gets_the_same_deadline() {
    let opens = json!({"available_from": "1970-01-01T00:05:00Z"});
    let mut sitting = Sitting::of(&plan(opens));
    sitting.enter(4 * MINUTE, None).unwrap();
    assert_eq!(sitting.attempt.status(), Status::Started);
    assert_eq!(sitting.say(4 * MINUTE, 1, choose("a")), Some("not_open"));
    assert_eq!(sitting.say(5 * MINUTE + 20, 2, choose("a")), None);
    assert_eq!(sitting.deadline(5 * MINUTE + 20), 15 * MINUTE);
}

#[test]
fn a_second_device_waits_for_a_release_where_the_exam_says_so() {
    let mut sitting = Sitting::entered(json!({"session_policy": "reject"}));
    assert_eq!(sitting.enter(1, None), Err(Refusal::AnotherDevice));
    assert!(
        sitting.enter(2, Some("session-1")).is_ok(),
        "the same session may"
    );
    sitting
        .staff(3, "1", Action::Release { reason: None })
        .unwrap();
    assert!(sitting.enter(4, None).is_ok());
    assert_eq!(
        sitting.enter(5, None),
        Err(Refusal::AnotherDevice),
        "one release, one device"
    );
}

#[test]
fn time_away_is_given_back_up_to_the_ceiling() {
    let away = json!({"on_disconnect": {"compensate_up_to_minutes": 3}});
    let mut sitting = Sitting::entered(away);
    sitting.act(MINUTE, &Command::Leave).unwrap();
    sitting.enter(3 * MINUTE, Some("session-1")).unwrap();
    assert_eq!(sitting.deadline(3 * MINUTE), 12 * MINUTE);
    sitting.act(11 * MINUTE, &Command::Leave).unwrap();
    assert_eq!(
        sitting.attempt.close_at(),
        Some(Timestamp::from_ms(13 * MINUTE))
    );
    assert_eq!(
        sitting.enter(13 * MINUTE, Some("session-1")),
        Err(Refusal::Closed)
    );
}

#[test]
fn an_outage_is_given_back_once_whatever_the_exam_says() {
    let mut sitting = Sitting::entered(json!({}));
    let outage = Command::Outage {
        from: Timestamp::from_ms(MINUTE),
        until: Timestamp::from_ms(3 * MINUTE),
    };
    assert_eq!(
        sitting
            .attempt
            .decide(Timestamp::from_ms(3 * MINUTE), &outage)
            .unwrap()
            .len(),
        1
    );
    sitting.act(3 * MINUTE, &outage).unwrap();
    assert_eq!(sitting.act(3 * MINUTE, &outage), Ok(Vec::new()));
    assert_eq!(sitting.deadline(3 * MINUTE), 12 * MINUTE);
}

#[test]
fn sections_with_a_limit_run_one_after_the_other() {
    let question = |id: &str| {
        json!({
            "id": id, "type": "true_false", "content": "?", "points": 1, "answer": true,
        })
    };
    let sections = json!([
        {"id": "s1", "title": "1", "time_limit_minutes": 2, "questions": [question("q1")]},
        {"id": "s2", "title": "2", "time_limit_minutes": 3, "questions": [question("q2")]},
        {"id": "s3", "title": "3", "questions": [question("q3")]},
    ]);
    let mut sitting = Sitting::entered(json!({ "sections": sections }));
    let yes = |question: &str| answer(question, json!(true), None);
    assert_eq!(sitting.say(MINUTE, 1, yes("q2")), Some("locked"));
    assert_eq!(sitting.say(MINUTE, 2, yes("q3")), None);
    sitting
        .staff(MINUTE, "1", Action::Pause { reason: None })
        .unwrap();
    sitting
        .staff(2 * MINUTE, "2", Action::Resume { reason: None })
        .unwrap();
    assert_eq!(
        sitting.say(3 * MINUTE - 1, 3, yes("q1")),
        None,
        "the pause belongs to it"
    );
    assert_eq!(sitting.say(3 * MINUTE, 4, yes("q1")), Some("locked"));
    assert_eq!(sitting.attempt.control().section, Some(1));
    assert_eq!(sitting.say(3 * MINUTE, 5, yes("q2")), None);
    assert_eq!(sitting.say(6 * MINUTE, 6, yes("q2")), Some("locked"));
}

/// Something that anyone may do at any time.
#[derive(Debug, Clone)]
enum Act {
    Enter(bool),
    Leave,
    Say(u64, Numbered),
    Staff(u8, Action),
    Outage(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let option = prop::sample::select(vec!["a", "b", "z"]);
    prop_oneof![
        any::<bool>().prop_map(Act::Enter),
        Just(Act::Leave),
        (0..3_u64, option, prop::option::of(0..3_u32))
            .prop_map(|(ahead, option, base)| Act::Say(ahead, answer("q1", json!(option), base))),
        (0..2_u64).prop_map(|ahead| Act::Say(ahead, answer("q2", json!("text"), None))),
        Just(Act::Say(
            1,
            Numbered::Flag {
                question: "q1".into(),
                on: true
            }
        )),
        Just(Act::Say(1, Numbered::Submit)),
        (0..4_u8).prop_map(|id| Act::Staff(id, Action::Pause { reason: None })),
        (0..4_u8).prop_map(|id| Act::Staff(id, Action::Resume { reason: None })),
        (0..4_u8, 1..600_u64).prop_map(|(id, seconds)| {
            let by = Duration::from_secs(seconds);
            Act::Staff(id, Action::Extend { by, reason: None })
        }),
        (1..300_000_i64).prop_map(Act::Outage),
    ]
}

fn exams() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({"grace_period_minutes": 1}),
        json!({"on_disconnect": {"compensate_up_to_minutes": 2}}),
        json!({"session_policy": "reject"}),
        json!({"available_until": "1970-01-01T00:08:00Z", "grace_period_minutes": 1}),
    ])
}

proptest! {
    /// Whatever is done in whatever order: events rebuild the attempt, a repeat
    /// changes nothing, nothing is accepted after the end, one hand-in at most,
    /// and nobody is handed in by time before it.
    #[test]
    fn rules_hold_over_any_history(
        extra in exams(),
        acts in prop::collection::vec((0..60_000_i64, act()), 1..40),
    ) {
        let plan = plan(extra);
        let mut sitting = Sitting::of(&plan);
        let mut now = 0;
        for (pause, act) in acts {
            now += pause;
            let session = sitting.attempt.session().map(|session| session.id.clone());
            let applied = sitting.attempt.session().map_or(0, |session| session.applied_seq);
            match act {
                Act::Enter(resume) => {
                    let resume = session.filter(|_| resume);
                    sitting.enter(now, resume.as_ref().map(SessionId::as_str)).ok();
                }
                Act::Leave => drop(sitting.act(now, &Command::Leave)),
                Act::Say(_, _) if session.is_none() => {}
                Act::Say(ahead, what) => {
                    let command = Command::Numbered { seq: applied + ahead, what };
                    if sitting.act(now, &command).is_ok() {
                        prop_assert_eq!(sitting.act(now, &command), Ok(Vec::new()));
                    }
                }
                Act::Staff(id, action) => {
                    if sitting.staff(now, &id.to_string(), action.clone()).is_ok() {
                        let again = sitting.staff(now, &id.to_string(), action);
                        prop_assert!(again.is_err() || again == Ok(Vec::new()));
                    }
                }
                Act::Outage(ms) => {
                    let from = Timestamp::from_ms(now - ms);
                    let until = Timestamp::from_ms(now);
                    drop(sitting.act(now, &Command::Outage { from, until }));
                }
            }
        }
        let mut replayed = fresh(&plan, Stored::default());
        let mut over_at = None;
        for (at, event) in &sitting.events {
            if let Event::Answered { .. } = event {
                prop_assert!(over_at.is_none(), "an answer after the end");
                let end = replayed.control().ledger.hand_in_at(replayed.allowance());
                prop_assert!(end.is_some_and(|end| Timestamp::from_ms(*at) < end));
            }
            if let Event::HandedIn { at: handed_in, by, .. } = event {
                prop_assert!(over_at.replace(*at).is_none(), "handed in twice");
                if *by == HandedInBy::Time && replayed.control().ledger.entered_at.is_some() {
                    let deadline = replayed.deadline(*handed_in).unwrap();
                    prop_assert!(deadline <= *handed_in, "handed in before the deadline");
                }
            }
            replayed.apply(event);
        }
        prop_assert_eq!(replayed.control(), sitting.attempt.control());
        prop_assert_eq!(replayed.answers(), sitting.attempt.answers());
        let stored = serde_json::to_string(sitting.attempt.control()).unwrap();
        let read: Control = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, sitting.attempt.control());
    }
}
