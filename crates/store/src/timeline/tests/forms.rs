//! The stored form of every kind, byte for byte: stored timelines of earlier releases
//! have these forms.

use std::time::Duration;

use expect_test::{Expect, expect};
use invigil_domain::{
    attempt::{
        Attempt, CommandRefusal, DomainEvent, HandedInBy, LifecycleStatus,
        command::{CommandKey, NoticeUrgency},
    },
    exam::{EventSeverity, RuleConsequence},
    integrity::{ConnectionOrigin, DETECTIONS, EventJudgement, IncidentClosure, IncidentTrigger},
    time::Timestamp,
    timing::CompensationCause,
};
use serde_json::{Value, json};

use super::super::{
    ClientReport, TimelineEvent,
    fixture::{ENTERED_AT, NOW, running_attempt},
};

/// Writes an entry and reads it again. Returns the stored form: kind and detail.
fn written_form(entry: &TimelineEvent) -> String {
    let row = entry.clone().into_row(3, NOW);
    assert_eq!(TimelineEvent::from_row(&row).as_ref(), Ok(entry));
    format!("{} {}\n", row.kind, row.data)
}

/// Returns the stored form of an event after others: kind and detail.
fn stored_form(before: &[DomainEvent], event: &DomainEvent) -> String {
    let mut attempt: Attempt = running_attempt();
    for earlier in before {
        attempt.apply(earlier);
    }
    attempt.apply(event);
    let entry = TimelineEvent::from_domain(&attempt, event);
    entry.map_or_else(|| "no entry\n".to_owned(), |entry| written_form(&entry))
}

fn check_forms(events: &[DomainEvent], expected: &Expect) {
    let forms: String = events.iter().map(|event| stored_form(&[], event)).collect();
    expected.assert_eq(&forms);
}

fn reason() -> String {
    "a \"reason\"\n".to_owned()
}

fn answered(value: Option<&str>, late: bool) -> DomainEvent {
    DomainEvent::Answered {
        seq: 3,
        question: 0,
        value: value.map(Into::into),
        rev: 2,
        at: NOW,
        spent: Duration::from_secs(5),
        late,
    }
}

const fn marked(on: bool) -> DomainEvent {
    DomainEvent::QuestionFlagged {
        seq: 4,
        question: 0,
        on,
        at: NOW,
    }
}

fn refused(question: Option<&str>, kept: Option<&str>) -> DomainEvent {
    DomainEvent::Refused {
        seq: 5,
        code: CommandRefusal::TimeOver,
        detail: "the time is over",
        question: question.map(Into::into),
        kept: kept.map(Into::into),
        stored: Some((1, None)),
    }
}

fn raised(events: u32, by_hand: bool) -> DomainEvent {
    let raised = IncidentTrigger {
        kind: "copy".to_owned(),
        severity: EventSeverity::High,
        at: NOW,
        events,
        then: RuleConsequence::Flag,
        note: by_hand.then(reason),
        by: by_hand.then(|| "p1".to_owned()),
    };
    DomainEvent::IncidentRaised { raised }
}

fn closed(note: Option<String>) -> DomainEvent {
    DomainEvent::IncidentClosed {
        incident: "i9".to_owned(),
        closed: IncidentClosure {
            at: NOW,
            by: "p1".to_owned(),
            verdict: "confirmed".to_owned(),
            note,
        },
    }
}

#[test]
fn answers_and_flags_have_these_forms() {
    check_forms(
        &[
            answered(Some(r#"{"b":[1,2.5,1e300],"a":"\u0000 \u00e9"}"#), false),
            answered(Some("\"text\""), true),
            answered(None, false),
            marked(true),
            marked(false),
            refused(Some("nowhere"), Some("\"text\"")),
            refused(None, None),
        ],
        &expect![[r#"
            answer {"seq":3,"q":"u1","rev":2,"value":{"b":[1,2.5,1e300],"a":"\u0000 \u00e9"},"flagged":false,"late":false}
            answer {"seq":3,"q":"u1","rev":2,"value":"text","flagged":false,"late":true}
            answer {"seq":3,"q":"u1","rev":2,"value":null,"flagged":false,"late":false}
            question_flagged {"seq":4,"q":"u1","rev":0,"value":null,"flagged":true,"late":false,"on":true}
            question_flagged {"seq":4,"q":"u1","rev":0,"value":null,"flagged":false,"late":false,"on":false}
            refused {"code":"time_over","q":"nowhere","seq":5,"value":"text"}
            refused {"code":"time_over","q":null,"seq":5,"value":null}
        "#]],
    );
    let flagged_answer = stored_form(&[answered(Some("\"a\""), true)], &marked(true));
    let kept_flag = stored_form(&[marked(true)], &answered(Some("\"a\""), false));
    expect![[r#"
        question_flagged {"seq":4,"q":"u1","rev":2,"value":"a","flagged":true,"late":false,"on":true}
        answer {"seq":3,"q":"u1","rev":2,"value":"a","flagged":true,"late":false}
    "#]].assert_eq(&(flagged_answer + &kept_flag));
}

#[test]
fn sessions_and_times_have_these_forms() {
    let origin = |device: Option<&str>| DomainEvent::Arrived {
        origin: ConnectionOrigin {
            address: "10.0.0.1".to_owned(),
            device: device.map(str::to_owned),
        },
    };
    let compensated = |cause| DomainEvent::Compensated {
        from: ENTERED_AT,
        by: Duration::from_millis(1_500),
        cause,
    };
    check_forms(
        &[
            DomainEvent::ClockStarted { at: ENTERED_AT },
            DomainEvent::SessionOpened {
                session: "s-2".to_owned().into(),
            },
            DomainEvent::SessionResumed,
            DomainEvent::Left { at: NOW },
            origin(Some("d1")),
            origin(None),
            DomainEvent::Extended {
                at: NOW,
                by: Duration::from_mins(1),
                reason: Some(reason()),
            },
            compensated(CompensationCause::Network),
            compensated(CompensationCause::Outage),
            DomainEvent::SectionChanged { section: Some(1) },
            DomainEvent::SectionChanged { section: None },
            DomainEvent::NoticesSent,
            DomainEvent::Noted,
        ],
        &expect![[r#"
            clock_started {"entered_at":1700000000000}
            session_opened {"session":"s-2"}
            session_resumed {}
            disconnected {}
            connected_from {"address":"10.0.0.1","device":"d1"}
            connected_from {"address":"10.0.0.1","device":null}
            extended {"ms":60000,"reason":"a \"reason\"\n"}
            compensated {"cause":"network","from":1700000000000,"ms":1500}
            compensated {"cause":"outage","from":1700000000000,"ms":1500}
            section {"section":"s2"}
            section {"section":null}
            no entry
            no entry
        "#]],
    );
}

#[test]
fn actions_of_staff_have_these_forms() {
    let notice = |level, ack| DomainEvent::Noticed {
        text: "Ten minutes left".to_owned(),
        level,
        ack,
        from: "Ms. Lee".to_owned(),
        command: None,
    };
    let key = CommandKey {
        person: "p1".to_owned(),
        command: "c-1".to_owned(),
    };
    check_forms(
        &[
            notice(NoticeUrgency::Urgent, true),
            notice(NoticeUrgency::Info, false),
            DomainEvent::NoticeAcknowledged {
                id: "n3".to_owned(),
            },
            DomainEvent::Paused {
                at: NOW,
                reason: Some(reason()),
            },
            DomainEvent::Resumed {
                at: NOW,
                reason: None,
            },
            DomainEvent::Flagged {
                reason: Some(reason()),
            },
            DomainEvent::Unflagged { reason: None },
            DomainEvent::Released {
                reason: Some(reason()),
            },
            DomainEvent::CommandDone { key },
            DomainEvent::Cancelled {
                at: NOW,
                reason: Some(reason()),
            },
        ],
        &expect![[r#"
            notice {"ack":true,"from":"Ms. Lee","level":"urgent","text":"Ten minutes left"}
            notice {"ack":false,"from":"Ms. Lee","level":"info","text":"Ten minutes left"}
            notice_acknowledged {"id":"n3"}
            paused {"reason":"a \"reason\"\n"}
            resumed {"reason":null}
            flagged {"reason":"a \"reason\"\n"}
            unflagged {"reason":null}
            released {"reason":"a \"reason\"\n"}
            command {"id":"c-1","person":"p1"}
            cancelled {"reason":"a \"reason\"\n"}
        "#]],
    );
}

#[test]
fn hand_ins_have_these_forms() {
    let handed_in = |by, status, late, reason| DomainEvent::HandedIn {
        at: NOW,
        by,
        seq: Some(6),
        status,
        late,
        reason,
    };
    check_forms(
        &[
            handed_in(
                HandedInBy::Candidate,
                LifecycleStatus::Submitted,
                false,
                None,
            ),
            handed_in(
                HandedInBy::Staff,
                LifecycleStatus::Graded,
                true,
                Some(reason()),
            ),
        ],
        &expect![[r#"
            handed_in {"handed_in":"candidate","late":false,"reason":null,"status":"submitted","submitted_at":1700000060000}
            handed_in {"handed_in":"staff","late":true,"reason":"a \"reason\"\n","status":"graded","submitted_at":1700000060000}
        "#]],
    );
}

#[test]
fn proctoring_has_these_forms() {
    let reported = |kind: &str, data: Value| DomainEvent::Observed {
        n: 8,
        kind: kind.to_owned(),
        client_at: Timestamp::from_ms(-1),
        data,
        at: NOW,
        judgement: EventJudgement::without_rules(kind),
    };
    let mut events = vec![
        reported("copy", json!({ "z": 1, "a": [0.1, "e"] })),
        reported("x-own", Value::Null),
    ];
    events.extend(DETECTIONS.map(|(what, name, _)| DomainEvent::Detected {
        what,
        at: NOW,
        data: json!({ "ms": 70_000 }),
        judgement: EventJudgement::without_rules(name),
    }));
    events.extend([
        raised(3, false),
        raised(1, true),
        closed(None),
        closed(Some(reason())),
        DomainEvent::IncidentAssigned {
            incident: "i9".to_owned(),
            to: Some("p1".to_owned()),
        },
        DomainEvent::IncidentAssigned {
            incident: "i9".to_owned(),
            to: None,
        },
    ]);
    check_forms(
        &events,
        &expect![[r#"
        copy {"client_at":-1,"data":{"a":[0.1,"e"],"z":1},"n":8,"severity":"low"}
        x-own {"client_at":-1,"data":null,"n":8,"severity":null}
        heartbeat_lost {"data":{"ms":70000},"severity":"low"}
        session_taken_over {"data":{"ms":70000},"severity":"medium"}
        address_changed {"data":{"ms":70000},"severity":"medium"}
        clock_skewed {"data":{"ms":70000},"severity":"medium"}
        answer_too_fast {"data":{"ms":70000},"severity":"low"}
        device_shared {"data":{"ms":70000},"severity":"high"}
        incident {"by":null,"events":3,"incident":"i3","kind":"copy","note":null,"severity":"high","then":"flag"}
        incident {"by":"p1","events":1,"incident":"i3","kind":"copy","note":"a \"reason\"\n","severity":"high","then":"flag"}
        incident_closed {"by":"p1","incident":"i9","note":null,"verdict":"confirmed"}
        incident_closed {"by":"p1","incident":"i9","note":"a \"reason\"\n","verdict":"confirmed"}
        incident_assigned {"incident":"i9","to":"p1"}
        incident_assigned {"incident":"i9","to":null}
    "#]],
    );
}

#[test]
fn observations_have_these_forms() {
    let repeated = |data: Value, severity| TimelineEvent::Reported {
        kind: "copy".to_owned(),
        report: ClientReport {
            client_at: Timestamp::from_ms(-1),
            data,
            n: 9,
            severity,
        },
    };
    let entries = [
        repeated(json!({ "b": 1, "a": 2 }), Some(EventSeverity::Low)),
        repeated(Value::Null, None),
        TimelineEvent::QuestionShown { q: "u1".to_owned() },
        TimelineEvent::Heartbeat {
            focused: Some(false),
            fullscreen: None,
            rtt_ms: Some(25),
            visible: Some(true),
        },
        TimelineEvent::Heartbeat {
            focused: None,
            fullscreen: None,
            rtt_ms: None,
            visible: None,
        },
    ];
    let forms: String = entries.iter().map(written_form).collect();
    expect![[r#"
        copy {"client_at":-1,"data":{"a":2,"b":1},"n":9,"severity":"low"}
        copy {"client_at":-1,"data":null,"n":9,"severity":null}
        question_shown {"q":"u1"}
        heartbeat {"focused":false,"fullscreen":null,"rtt_ms":25,"visible":true}
        heartbeat {"focused":null,"fullscreen":null,"rtt_ms":null,"visible":null}
    "#]]
    .assert_eq(&forms);
}
