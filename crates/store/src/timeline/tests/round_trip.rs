//! Every event of the domain, written and read again.

use std::time::Duration;

use invigil_domain::{
    attempt::{
        Attempt, CommandRefusal, DomainEvent, HandedInBy, LifecycleStatus,
        command::{CommandKey, NoticeUrgency},
    },
    exam::{EventSeverity, RuleConsequence},
    id::QuestionId,
    integrity::{ConnectionOrigin, DETECTIONS, EventJudgement, IncidentClosure, IncidentTrigger},
    time::Timestamp,
    timing::CompensationCause,
    value::CanonicalValue,
};
use proptest::{collection::btree_map, option, prelude::*, sample::select};
use serde_json::Value;

use super::super::{
    TimelineEvent, TimelineRow,
    fixture::{NOW, running_attempt},
};

/// Number of an event's variant: the place of its strategy in [`event_strategies`]. A new
/// event gets a number here and a strategy there.
const fn variant_number(event: &DomainEvent) -> usize {
    match event {
        DomainEvent::ClockStarted { .. } => 0,
        DomainEvent::SessionOpened { .. } => 1,
        DomainEvent::SessionResumed => 2,
        DomainEvent::Left { .. } => 3,
        DomainEvent::Answered { .. } => 4,
        DomainEvent::QuestionFlagged { .. } => 5,
        DomainEvent::Refused { .. } => 6,
        DomainEvent::Observed { .. } => 7,
        DomainEvent::Detected { .. } => 8,
        DomainEvent::Arrived { .. } => 9,
        DomainEvent::IncidentRaised { .. } => 10,
        DomainEvent::IncidentClosed { .. } => 11,
        DomainEvent::IncidentAssigned { .. } => 12,
        DomainEvent::Noted => 13,
        DomainEvent::Noticed { .. } => 14,
        DomainEvent::NoticesSent => 15,
        DomainEvent::NoticeAcknowledged { .. } => 16,
        DomainEvent::Paused { .. } => 17,
        DomainEvent::Resumed { .. } => 18,
        DomainEvent::Extended { .. } => 19,
        DomainEvent::Compensated { .. } => 20,
        DomainEvent::SectionChanged { .. } => 21,
        DomainEvent::Flagged { .. } => 22,
        DomainEvent::Unflagged { .. } => 23,
        DomainEvent::Released { .. } => 24,
        DomainEvent::Cancelled { .. } => 25,
        DomainEvent::HandedIn { .. } => 26,
        DomainEvent::CommandDone { .. } => 27,
    }
}

type EventStrategy = BoxedStrategy<DomainEvent>;

fn event_strategies() -> Vec<EventStrategy> {
    let mut all = session_events().to_vec();
    all.extend(question_events());
    all.extend(integrity_events());
    all.push(Just(DomainEvent::Noted).boxed());
    all.extend(notice_events());
    all.extend(time_events());
    all.extend(staff_events());
    all
}

fn session_events() -> [EventStrategy; 4] {
    [
        any_instant()
            .prop_map(|at| DomainEvent::ClockStarted { at })
            .boxed(),
        any::<String>()
            .prop_map(|id| DomainEvent::SessionOpened { session: id.into() })
            .boxed(),
        Just(DomainEvent::SessionResumed).boxed(),
        Just(DomainEvent::Left { at: NOW }).boxed(),
    ]
}

fn question_events() -> [EventStrategy; 3] {
    let answered = (
        any::<u64>(),
        0_u16..4,
        any_value(),
        1..u32::MAX,
        any_span(),
        any::<bool>(),
    );
    let marked = (any::<u64>(), 0_u16..4, any::<bool>());
    let refused = (
        any::<u64>(),
        any_refusal(),
        option::of(any::<String>()),
        any_value(),
        option::of((any::<u32>(), any_value())),
    );
    [
        answered
            .prop_map(
                |(seq, question, value, rev, spent, late)| DomainEvent::Answered {
                    seq,
                    question,
                    value,
                    rev,
                    at: NOW,
                    spent,
                    late,
                },
            )
            .boxed(),
        marked
            .prop_map(|(seq, question, on)| DomainEvent::QuestionFlagged {
                seq,
                question,
                on,
                at: NOW,
            })
            .boxed(),
        refused
            .prop_map(|(seq, code, question, kept, stored)| DomainEvent::Refused {
                seq,
                code,
                detail: "for some reason",
                question: question.map(QuestionId::from),
                kept,
                stored,
            })
            .boxed(),
    ]
}

fn integrity_events() -> [EventStrategy; 6] {
    let observed = (
        any::<u64>(),
        any_client_kind(),
        any_instant(),
        any_details(),
    );
    let origin = (any::<String>(), option::of(any::<String>()));
    let closed = (any::<[String; 3]>(), option::of(any::<String>()));
    [
        observed
            .prop_map(|(n, kind, client_at, data)| DomainEvent::Observed {
                n,
                judgement: EventJudgement::without_rules(&kind),
                kind,
                client_at,
                data,
                at: NOW,
            })
            .boxed(),
        (select(&DETECTIONS[..]), any_details())
            .prop_map(|((what, name, _), data)| DomainEvent::Detected {
                what,
                at: NOW,
                data,
                judgement: EventJudgement::without_rules(name),
            })
            .boxed(),
        origin
            .prop_map(|(address, device)| DomainEvent::Arrived {
                origin: ConnectionOrigin { address, device },
            })
            .boxed(),
        any_trigger()
            .prop_map(|raised| DomainEvent::IncidentRaised { raised })
            .boxed(),
        closed
            .prop_map(
                |([incident, by, verdict], note)| DomainEvent::IncidentClosed {
                    incident,
                    closed: IncidentClosure {
                        at: NOW,
                        by,
                        verdict,
                        note,
                    },
                },
            )
            .boxed(),
        (any::<String>(), option::of(any::<String>()))
            .prop_map(|(incident, to)| DomainEvent::IncidentAssigned { incident, to })
            .boxed(),
    ]
}

fn any_trigger() -> impl Strategy<Value = IncidentTrigger> {
    let fields = (
        any::<String>(),
        select(EventSeverity::ALL),
        any::<u32>(),
        select(RuleConsequence::ALL),
        option::of(any::<String>()),
        option::of(any::<String>()),
    );
    fields.prop_map(|(kind, severity, events, then, note, by)| IncidentTrigger {
        kind,
        severity,
        at: NOW,
        events,
        then,
        note,
        by,
    })
}

fn notice_events() -> [EventStrategy; 3] {
    let levels = [
        NoticeUrgency::Info,
        NoticeUrgency::Warning,
        NoticeUrgency::Urgent,
    ];
    let noticed = (
        any::<[String; 2]>(),
        select(levels.to_vec()),
        any::<bool>(),
        option::of(any_key()),
    );
    [
        noticed
            .prop_map(|([text, from], level, ack, command)| DomainEvent::Noticed {
                text,
                level,
                ack,
                from,
                command,
            })
            .boxed(),
        Just(DomainEvent::NoticesSent).boxed(),
        any::<String>()
            .prop_map(|id| DomainEvent::NoticeAcknowledged { id })
            .boxed(),
    ]
}

fn time_events() -> [EventStrategy; 5] {
    let causes = [CompensationCause::Network, CompensationCause::Outage];
    [
        any_reason()
            .prop_map(|reason| DomainEvent::Paused { at: NOW, reason })
            .boxed(),
        any_reason()
            .prop_map(|reason| DomainEvent::Resumed { at: NOW, reason })
            .boxed(),
        (any_span(), any_reason())
            .prop_map(|(by, reason)| DomainEvent::Extended {
                at: NOW,
                by,
                reason,
            })
            .boxed(),
        (any_instant(), any_span(), select(causes.to_vec()))
            .prop_map(|(from, by, cause)| DomainEvent::Compensated { from, by, cause })
            .boxed(),
        option::of(0_u16..2)
            .prop_map(|section| DomainEvent::SectionChanged { section })
            .boxed(),
    ]
}

fn staff_events() -> [EventStrategy; 6] {
    let origins = [HandedInBy::Candidate, HandedInBy::Time, HandedInBy::Staff];
    let handed_in = (
        any_instant(),
        select(origins.to_vec()),
        option::of(any::<u64>()),
        any_status(),
        any::<bool>(),
        any_reason(),
    );
    [
        any_reason()
            .prop_map(|reason| DomainEvent::Flagged { reason })
            .boxed(),
        any_reason()
            .prop_map(|reason| DomainEvent::Unflagged { reason })
            .boxed(),
        any_reason()
            .prop_map(|reason| DomainEvent::Released { reason })
            .boxed(),
        any_reason()
            .prop_map(|reason| DomainEvent::Cancelled { at: NOW, reason })
            .boxed(),
        handed_in
            .prop_map(
                |(at, by, seq, status, late, reason)| DomainEvent::HandedIn {
                    at,
                    by,
                    seq,
                    status,
                    late,
                    reason,
                },
            )
            .boxed(),
        any_key()
            .prop_map(|key| DomainEvent::CommandDone { key })
            .boxed(),
    ]
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    (-4_000_000_000_000_i64..4_000_000_000_000).prop_map(Timestamp::from_ms)
}

fn any_span() -> impl Strategy<Value = Duration> {
    (0_u64..100_000_000).prop_map(Duration::from_millis)
}

fn any_reason() -> impl Strategy<Value = Option<String>> {
    option::of(any::<String>())
}

fn any_key() -> impl Strategy<Value = CommandKey> {
    any::<[String; 2]>().prop_map(|[person, command]| CommandKey { person, command })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An answer's value; the domain has no value for null, which clears the answer.
fn any_value() -> impl Strategy<Value = Option<CanonicalValue>> {
    any_json().prop_map(|value| (!value.is_null()).then(|| value.to_string().into()))
}

/// Details of an event: a JSON object, or null.
fn any_details() -> impl Strategy<Value = Value> {
    let object = btree_map(any::<String>(), any_json(), 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    prop_oneof![Just(Value::Null), object]
}

fn any_client_kind() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&["focus_lost", "copy", "heartbeat_lost"][..]).prop_map(str::to_owned),
        any::<String>().prop_map(|name| format!("x-{name}")),
    ]
}

fn any_refusal() -> impl Strategy<Value = CommandRefusal> {
    let all = [
        CommandRefusal::NotOpen,
        CommandRefusal::Conflict,
        CommandRefusal::UnknownQuestion,
        CommandRefusal::BadValue,
        CommandRefusal::TooLarge,
        CommandRefusal::Paused,
        CommandRefusal::TimeOver,
        CommandRefusal::Closed,
        CommandRefusal::Locked,
    ];
    select(all.to_vec())
}

fn any_status() -> impl Strategy<Value = LifecycleStatus> {
    let all = [
        LifecycleStatus::Submitted,
        LifecycleStatus::AutoSubmitted,
        LifecycleStatus::Graded,
        LifecycleStatus::Flagged,
    ];
    select(all.to_vec())
}

/// Events that a replay makes of one: the same, without what an entry lacks.
fn as_replayed(before: &Attempt, event: &DomainEvent) -> Vec<DomainEvent> {
    let mut replayed = event.clone();
    if let DomainEvent::QuestionFlagged { on: false, .. } = replayed {
        // The flag was not set, so nothing is left to change.
        return Vec::new();
    } else if let DomainEvent::Answered { spent, .. } = &mut replayed {
        *spent = Duration::ZERO;
    } else if let DomainEvent::Refused { .. } = replayed {
        replayed = DomainEvent::Noted;
    } else if let DomainEvent::Noticed { command, .. } = &mut replayed {
        *command = None;
    } else if let DomainEvent::HandedIn { seq, .. } = &mut replayed {
        *seq = None;
    } else if let DomainEvent::Observed {
        kind, judgement, ..
    } = &mut replayed
    {
        *judgement = before.judge_event(NOW, kind);
    } else if let DomainEvent::Detected {
        what, judgement, ..
    } = &mut replayed
    {
        *judgement = before.judge_event(NOW, what.as_str());
    }
    vec![replayed]
}

fn check_round_trip(event: &DomainEvent) -> Result<(), TestCaseError> {
    let before = running_attempt();
    let mut after = before.clone();
    after.apply(event);
    let Some(entry) = TimelineEvent::from_domain(&after, event) else {
        let silent = matches!(event, DomainEvent::NoticesSent | DomainEvent::Noted);
        prop_assert!(silent, "{event:?} has no entry");
        return Ok(());
    };
    let row = entry.clone().into_row(after.version(), NOW);
    let read = TimelineEvent::from_row(&row);
    prop_assert_eq!(read.as_ref(), Ok(&entry));
    let replayed = entry.to_domain(&before, NOW);
    prop_assert_eq!(replayed, Ok(as_replayed(&before, event)));
    Ok(())
}

proptest! {
    // A case has an event of each kind.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_is_read_as_it_was_written(events in event_strategies()) {
        for (number, event) in events.iter().enumerate() {
            prop_assert_eq!(variant_number(event), number);
            check_round_trip(event)?;
        }
    }

    #[test]
    fn any_row_is_read_or_damaged(
        kind in "(answer|paused|copy|[a-z_]{1,9})",
        data in any::<String>(),
    ) {
        let row = TimelineRow { number: 1, at: NOW, kind, data: data.into() };
        let read = TimelineEvent::from_row(&row);
        prop_assert!(read.is_err() || serde_json::from_str::<Value>(&row.data).is_ok());
    }

    #[test]
    fn a_row_of_an_unknown_kind_is_written_as_it_was_read(
        kind in "new_[a-z]{1,9}",
        data in any_details(),
    ) {
        prop_assume!(!data.is_null() && data.get("n").is_none());
        let row = TimelineRow { number: 1, at: NOW, kind, data: data.to_string().into() };
        let read = TimelineEvent::from_row(&row);
        prop_assert_eq!(read.map(|event| event.into_row(1, NOW)), Ok(row));
    }
}
