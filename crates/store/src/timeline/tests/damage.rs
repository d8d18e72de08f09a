//! Rows that cannot be read, and rows of other releases.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use expect_test::expect;

use super::super::{
    DamageReason, TimelineEvent, TimelineRow,
    fixture::{NOW, running_attempt},
};

fn row(kind: &str, data: &str) -> TimelineRow {
    TimelineRow {
        number: 9,
        at: NOW,
        kind: kind.to_owned(),
        data: data.into(),
    }
}

/// Reads a row and makes the events of its entry.
fn read_whole(row: &TimelineRow) -> Result<(), DamageReason> {
    let event = TimelineEvent::from_row(row).map_err(|damaged| damaged.reason)?;
    event.to_domain(&running_attempt(), NOW).map(drop)
}

#[test]
fn a_row_that_cannot_be_read_is_damaged_with_its_reason() {
    let rows = [
        ("answer", ""),
        (
            "answer",
            r#"{"seq":1,"q":"u1","rev":1,"flagged":false,"late":false}"#,
        ),
        (
            "answer",
            r#"{"seq":1,"q":"u9","rev":1,"value":"a","flagged":false,"late":false}"#,
        ),
        ("answer", r#"[1,"u1",1,"a",false,false]"#),
        ("session_resumed", "null"),
        ("session_resumed", "{} {}"),
        ("section", r#"{"section":"s9"}"#),
        ("extended", r#"{"ms":-1,"reason":null}"#),
        ("extended", r#"{"reason":null}"#),
        (
            "notice",
            r#"{"ack":true,"from":"x","level":"loud","text":"y"}"#,
        ),
        ("heartbeat_lost", r#"{"severity":"low"}"#),
        ("copy", r#"{"severity":"low"}"#),
        (
            "x-own",
            r#"{"n":1,"client_at":"now","data":null,"severity":null}"#,
        ),
        ("from_another_release", "no JSON"),
    ];
    let mut shown = String::new();
    for (kind, data) in rows {
        let reason = read_whole(&row(kind, data)).unwrap_err();
        writeln!(shown, "{kind} {data}: {reason}").unwrap();
    }
    expect![[r#"
        answer : EOF while parsing a value at line 1 column 0
        answer {"seq":1,"q":"u1","rev":1,"flagged":false,"late":false}: missing field `value` at line 1 column 55
        answer {"seq":1,"q":"u9","rev":1,"value":"a","flagged":false,"late":false}: the exam has no question `u9`
        answer [1,"u1",1,"a",false,false]: invalid type: sequence, expected struct variant TimelineEvent::Answer at line 1 column 0
        session_resumed null: invalid type: null, expected struct variant TimelineEvent::SessionResumed at line 1 column 4
        session_resumed {} {}: trailing characters at line 1 column 4
        section {"section":"s9"}: the exam has no section `s9`
        extended {"ms":-1,"reason":null}: invalid value: integer `-1`, expected u64 at line 1 column 8
        extended {"reason":null}: missing field `ms` at line 1 column 15
        notice {"ack":true,"from":"x","level":"loud","text":"y"}: unknown variant `loud`, expected one of `info`, `warning`, `urgent` at line 1 column 37
        heartbeat_lost {"severity":"low"}: missing field `data`
        copy {"severity":"low"}: missing field `client_at`
        x-own {"n":1,"client_at":"now","data":null,"severity":null}: invalid type: string "now", expected i64
        from_another_release no JSON: expected ident at line 1 column 2
    "#]].assert_eq(&shown);
}

#[test]
fn a_row_of_an_unknown_kind_stays_as_it_is() {
    let newer = row("from_another_release", r#"{ "z": 1.50, "a": null }"#);
    let event = TimelineEvent::from_row(&newer).unwrap();
    assert_eq!(
        event,
        TimelineEvent::Unknown {
            kind: newer.kind.clone(),
            data: Arc::clone(&newer.data),
        }
    );
    assert_eq!(event.into_row(newer.number, newer.at), newer);
}

#[test]
fn fields_that_a_newer_release_added_are_ignored() {
    let newer = row("paused", r#"{"by":"p1","reason":null}"#);
    let paused = TimelineEvent::Paused { reason: None };
    assert_eq!(TimelineEvent::from_row(&newer), Ok(paused));
}

#[test]
fn an_answer_is_removed_from_every_entry_that_may_hold_it() {
    let without = |kind: &str, data: &str| {
        let row = row(kind, data);
        row.without_answer().map(|row| row.data.to_string())
    };
    let answer = r#"{"seq":1,"q":"u1","rev":1,"value":"secret","flagged":false,"late":false}"#;
    let shown = r#"{"flagged":false,"late":false,"q":"u1","rev":1,"seq":1}"#;
    assert_eq!(without("answer", answer), Ok(shown.to_owned()));
    let refused = r#"{"code":"paused","q":null,"seq":1,"value":"secret"}"#;
    let shown = r#"{"code":"paused","q":null,"seq":1}"#;
    assert_eq!(without("refused", refused), Ok(shown.to_owned()));
    let newer = r#"{"value":"secret"}"#;
    assert_eq!(without("from_another_release", newer), Ok("{}".to_owned()));
    // A damaged entry may hold it anywhere, and neither it nor its reason is shown.
    let damaged = without("answer", r#"{"seq":"secret"}"#).unwrap_err();
    assert_eq!(
        damaged.to_string(),
        "the detail of this entry cannot be read"
    );
    let notice = row("notice_acknowledged", r#"{"id":"n1"}"#);
    assert!(matches!(notice.without_answer(), Ok(Cow::Borrowed(_))));
}
