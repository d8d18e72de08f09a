//! Valid and invalid rosters.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::parse_roster;
use crate::person::{CandidateScope, ExamScope, PersonRole};

const SAMPLE: &str = include_str!("../../../../config/samples/roster.csv");

fn check_faults(text: &str, expected: &Expect) {
    let faults = parse_roster(text).expect_err("this roster is wrong");
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn the_sample_is_right() {
    let entries = parse_roster(SAMPLE).unwrap();
    let roles: Vec<PersonRole> = entries.iter().map(|entry| entry.person.role).collect();
    for role in PersonRole::ALL {
        assert!(roles.contains(role), "{role:?}");
    }
    let chen = entries
        .iter()
        .find(|it| it.person.id.as_str() == "chen")
        .unwrap();
    assert_eq!(chen.person.time_factor.to_string(), "1.5");
    assert_eq!(chen.person.extra_time.as_secs(), 600);
    assert_eq!(chen.code, "cherry-3");
    assert!(chen.person.exams.contains(&"DEMO-QUIZ".into()));
    assert!(!chen.person.exams.contains(&"OTHER".into()));
    assert_eq!(entries[3].person.exams, ExamScope::All);
}

#[test]
fn columns_may_stand_in_any_order_and_some_may_be_left_out() {
    let text =
        "\u{feff}code, role ,exams,name,id\r\n\r\ns3cret,candidate, A ; B ;,\"Doe, Jane\",7\r\n";
    let entries = parse_roster(text).unwrap();
    let person = &entries[0].person;
    assert_eq!(person.id.as_str(), "7");
    assert_eq!(person.name, "Doe, Jane");
    assert_eq!(person.email, "");
    assert_eq!(person.exams, ExamScope::Some(vec!["A".into(), "B".into()]));
    assert_eq!(person.time_factor.to_string(), "1");
    assert!(person.extra_time.is_zero());
    assert!(person.groups.is_empty());
    assert_eq!(entries[0].code, "s3cret");
}

#[test]
fn groups_are_listed_and_each_is_short() {
    let long = "g".repeat(256);
    let text = format!(
        "id,name,role,code,exams,groups
a,Ada,candidate,x,*, Room 2 ; \u{e9} b;;Room 2
b,Ben,proctor,x,*,Room 1;{long}
"
    );
    check_faults(
        &text,
        &expect![[r#"
            line 3: groups: each must have at most 255 characters"#]],
    );
    let text = text.replace(&long, "Room 2");
    let entries = parse_roster(&text).unwrap();
    assert_eq!(entries[0].person.groups.names(), ["Room 2", "\u{e9} b"]);
    assert_eq!(entries[0].person.candidate_scope(), CandidateScope::All);
    let watched = CandidateScope::Of(["Room 1", "Room 2"].into_iter().collect());
    assert_eq!(entries[1].person.candidate_scope(), watched);
}

#[test]
fn every_fault_of_a_roster_is_reported_with_line_and_column() {
    check_faults(
        "id,name,email,role,code,exams,time_factor,extra_minutes
a,Ada,,candidate,x,E1,0.9,-1
a,Ben,,student,,E 1;E2,1.00001,2.5
,,,,,,many,9999
c,Chen,,candidate,x
d,Dora,,proctor,x,*,10,1440
e,Eve,,candidate,x,E1,11,
",
        &expect![[r#"
            line 2: time_factor: must be from 1 to 10, at most 4 decimals
            line 2: extra_minutes: must be a whole number from 0 to 1440
            line 3: code: must not be empty
            line 3: role: must be one of candidate, proctor, teacher, admin
            line 3: exams: `E 1` is no exam code
            line 3: time_factor: must be from 1 to 10, at most 4 decimals
            line 3: extra_minutes: must be a whole number from 0 to 1440
            line 3: id: used twice, first in line 2
            line 4: id: must not be empty
            line 4: name: must not be empty
            line 4: role: must not be empty
            line 4: code: must not be empty
            line 4: time_factor: must be from 1 to 10, at most 4 decimals
            line 4: extra_minutes: must be a whole number from 0 to 1440
            line 5: has 5 fields, the header has 8
            line 7: time_factor: must be from 1 to 10, at most 4 decimals"#]],
    );
}

#[test]
fn the_header_must_name_the_columns() {
    check_faults(
        "",
        &expect![[r#"
            line 1: id: is missing from the header
            line 1: name: is missing from the header
            line 1: role: is missing from the header
            line 1: code: is missing from the header
            line 1: exams: is missing from the header"#]],
    );
    check_faults(
        "a,Ada,candidate,x,E1\n",
        &expect![[r#"
            line 1: a: is not a known column
            line 1: Ada: is not a known column
            line 1: candidate: is not a known column
            line 1: x: is not a known column
            line 1: E1: is not a known column
            line 1: id: is missing from the header
            line 1: name: is missing from the header
            line 1: role: is missing from the header
            line 1: code: is missing from the header
            line 1: exams: is missing from the header"#]],
    );
    check_faults(
        "id,id,name,role,code,exams,phone\n",
        &expect![[r#"
            line 1: id: the header names it twice
            line 1: phone: is not a known column"#]],
    );
}

#[test]
fn a_header_alone_is_an_empty_roster() {
    assert_eq!(parse_roster("id,name,role,code,exams\n"), Ok(vec![]));
}

#[test]
fn a_roster_has_a_size() {
    check_faults(
        &"x".repeat(16 * 1024 * 1024 + 1),
        &expect!["the roster is over 16 MiB"],
    );
    let long = "n".repeat(256);
    check_faults(
        &format!("id,name,role,code,exams\na,{long},candidate,x,*\n"),
        &expect!["line 2: name: must have at most 255 characters"],
    );
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    for end in ["\n", "\r\n", "\r\n\r\n", "\n\n"] {
        let rows = [
            "id,name,role,code,exams",
            "a,A,candidate,x,*",
            "b,B,king,x,*",
        ];
        let faults = parse_roster(&rows.join(end)).unwrap_err();
        let line = 1 + 2 * end.matches('\n').count();
        let expected = format!("line {line}: role: must be one of");
        assert!(
            faults[0].to_string().starts_with(&expected),
            "{end:?}: {}",
            faults[0]
        );
    }
    let quoted = "id,name,role,code,exams\r\na,\"A\",candidate,\"x\r\ny\",*\r\n,B,candidate,x,*";
    let faults = parse_roster(quoted).unwrap_err();
    assert_eq!(
        faults.last().unwrap().to_string(),
        "line 4: id: must not be empty"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        if let Err(faults) = parse_roster(&text) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn damaged_rosters_are_read_without_a_panic(
        start in 0..SAMPLE.len(),
        length in 0..20_usize,
        patch in "[\\PC\n\r,;\"*]{0,8}",
    ) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, patch.bytes());
        if let Err(faults) = parse_roster(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!faults.is_empty());
        }
    }
}
