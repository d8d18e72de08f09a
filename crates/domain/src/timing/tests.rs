//! The ledger in tables: allowance, adjustments and the resulting instants.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::fmt::Write as _;

use expect_test::expect;

use super::*;
use crate::{
    attempt::fixture::{at_minute, hour_exam, sectioned_exam, span_of_minutes},
    exam::Exam,
};

/// The allowance of a candidate without accommodations.
fn allowance_of(exam: &Exam) -> TimeAllowance {
    TimeAllowance::new(exam, Decimal::ONE, Duration::ZERO)
}

/// Parses a ledger, all times in minutes: `entered 5`, `paused 10-20`,
/// `extended 10+5`, `network 10+5`, `outage 10+5`, `stopped 30`, `away 30`.
fn parse_ledger(words: &str) -> TimeLedger {
    let mut ledger = TimeLedger::default();
    for entry in words.split(", ") {
        let (what, times) = entry.split_once(' ').unwrap();
        let (from, other) = times.split_once(['-', '+']).unwrap_or((times, "0"));
        let from = at_minute(from.parse().unwrap());
        let other: u64 = other.parse().unwrap();
        let ms = 60_000 * other;
        let compensated = |cause| TimeAdjustment::Compensated { from, ms, cause };
        match what {
            "entered" => ledger.entered_at = Some(from),
            "stopped" => ledger.paused_since = Some(from),
            "away" => ledger.away_since = Some(from),
            "paused" => {
                let until = Timestamp::default() + span_of_minutes(other);
                ledger.push_adjustment(TimeAdjustment::Paused { from, until });
            }
            "extended" => ledger.push_adjustment(TimeAdjustment::Extended { at: from, ms }),
            "network" => ledger.push_adjustment(compensated(CompensationCause::Network)),
            "outage" => ledger.push_adjustment(compensated(CompensationCause::Outage)),
            _ => panic!("no such entry: {entry}"),
        }
    }
    ledger
}

/// Returns whole minutes; fails for other times.
fn whole_minutes(ms: i64) -> i64 {
    assert_eq!(ms % 60_000, 0, "{ms} ms");
    ms / 60_000
}

/// Checks a table of ledgers and times: the deadline, the hand-in and the credit of a
/// returning candidate at that time.
#[track_caller]
fn check_times(exam: &Exam, table: &[(&str, i64, &str)]) {
    let allowance = allowance_of(exam);
    for (words, now, expected) in table {
        let (ledger, now) = (parse_ledger(words), at_minute(*now));
        let shown = |at: Option<Timestamp>| {
            at.map_or_else(
                || "-".to_owned(),
                |at| whole_minutes(at.as_ms()).to_string(),
            )
        };
        let found = format!(
            "{} {} {}",
            shown(ledger.deadline(&allowance, now)),
            shown(ledger.hand_in_at(&allowance)),
            whole_minutes(duration_ms(ledger.absence_credit(&allowance, now))),
        );
        assert_eq!(found, *expected, "{words}");
    }
}

#[test]
fn factor_and_extra_time_make_the_duration() {
    let mut table = String::new();
    for (factor, extra) in [("1", 0), ("1.5", 0), ("1", 7), ("1.25", 10), ("1.3333", 0)] {
        let exam = sectioned_exam(&[Some(20), None, Some(40)]);
        let factor: Decimal = factor.parse().unwrap();
        let allowance = TimeAllowance::new(&exam, factor, span_of_minutes(extra));
        let TimeAllowance {
            duration, sections, ..
        } = allowance;
        writeln!(table, "{factor} {extra}: {duration:?} {sections:?}").unwrap();
    }
    expect![[r#"
        1 0: 3600s [(0, 1200s), (2, 2400s)]
        1.5 0: 5400s [(0, 1800s), (2, 3600s)]
        1 7: 4020s [(0, 1340s), (2, 2680s)]
        1.25 10: 5100s [(0, 1700s), (2, 3400s)]
        1.3333 0: 4799.88s [(0, 1599.96s), (2, 3199.92s)]
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_fraction_of_a_millisecond_goes_to_the_candidate() {
    let exam = Exam {
        duration: Duration::from_millis(1_001),
        ..hour_exam()
    };
    let factor = "1.0001".parse().unwrap();
    let allowance = TimeAllowance::new(&exam, factor, Duration::ZERO);
    assert_eq!(allowance.duration, Duration::from_millis(1_002));
}

#[test]
fn sums_that_no_clock_holds_do_not_overflow() {
    let exam = sectioned_exam(&[Some(60)]);
    let allowance = TimeAllowance::new(&exam, Decimal::MAX, Duration::from_millis(u64::MAX));
    let mut ledger = parse_ledger("entered 0");
    for _ in 0..3 {
        ledger.push_adjustment(TimeAdjustment::Extended {
            at: at_minute(1),
            ms: u64::MAX,
        });
        ledger.give_back(
            &allowance,
            at_minute(1),
            Duration::MAX,
            CompensationCause::Network,
        );
    }
    let end = Timestamp::from_ms(i64::MAX);
    assert_eq!(ledger.deadline(&allowance, at_minute(1)), Some(end));
    assert_eq!(ledger.hand_in_at(&allowance), Some(end));
    assert!(ledger.section_is_open(&allowance, 0, at_minute(1)));
}

#[test]
fn who_never_entered_has_no_deadline() {
    let (ledger, allowance) = (TimeLedger::default(), allowance_of(&hour_exam()));
    assert_eq!(ledger.deadline(&allowance, at_minute(5)), None);
    assert_eq!(ledger.hand_in_at(&allowance), None);
    assert_eq!(
        ledger.remaining_time(&allowance, at_minute(5)),
        span_of_minutes(60)
    );
    assert_eq!(
        ledger.outage_credit(&allowance, at_minute(0), at_minute(5)),
        span_of_minutes(0)
    );
}

#[test]
fn pauses_and_extensions_move_the_deadline() {
    let table = [
        ("entered 0", 5, "60 60 0"),
        ("entered 7", 90, "67 67 0"),
        ("entered 0, paused 10-20", 30, "70 70 0"),
        ("entered 0, paused 10-20, paused 30-35", 40, "75 75 0"),
        ("entered 0, stopped 10", 10, "60 - 0"),
        ("entered 0, stopped 10", 25, "75 - 0"),
        ("entered 0, stopped 10, extended 12+5", 25, "80 - 0"),
        ("entered 0, extended 10+5, extended 20+1", 30, "66 66 0"),
        ("entered 0, outage 10+3, network 20+4", 30, "67 67 0"),
    ];
    check_times(&hour_exam(), &table);
}

#[test]
fn the_window_caps_what_is_owed_but_not_what_staff_add() {
    let table = [
        ("entered 20", 30, "80 85 0"),
        ("entered 40", 50, "90 95 0"),
        ("entered 20, paused 30-45", 50, "90 95 0"),
        ("entered 20, stopped 30", 39, "89 - 0"),
        ("entered 20, stopped 30", 70, "90 - 0"),
        ("entered 40, outage 50+5", 60, "90 95 0"),
        ("entered 40, extended 50+5", 60, "95 100 0"),
        ("entered 20, extended 50+15", 60, "95 100 0"),
        ("entered 20, extended 50+5, paused 60-90", 95, "95 100 0"),
    ];
    let exam = Exam {
        available_until: Some(at_minute(90)),
        grace_period: span_of_minutes(5),
        ..hour_exam()
    };
    check_times(&exam, &table);
    let table = [
        ("entered 40", 50, "100 105 0"),
        ("entered 89, paused 90-95", 100, "154 159 0"),
    ];
    let whole = Exam {
        full_duration_after_close: true,
        ..exam
    };
    check_times(&whole, &table);
}

#[test]
fn absence_counts_up_to_the_ceiling_while_the_clock_ran() {
    let table = [
        ("entered 0, away 10", 14, "60 70 4"),
        ("entered 0, away 10", 50, "60 70 10"),
        ("entered 0, network 5+7, away 20", 50, "67 70 3"),
        ("entered 0, network 5+10, away 20", 50, "70 70 0"),
        ("entered 0, away 59", 68, "60 70 9"),
        // After the deadline no time is lost any more.
        ("entered 0, away 60", 61, "60 60 0"),
        // A pause and an outage stopped the clock already.
        ("entered 0, paused 12-18, away 10", 21, "66 76 5"),
        ("entered 0, paused 8-12, away 10", 15, "64 74 3"),
        ("entered 0, outage 12+6, away 10", 21, "66 76 5"),
        ("entered 0, stopped 12, away 10", 20, "68 - 2"),
        ("entered 0, stopped 10, away 12", 20, "70 - 0"),
        // An extension by staff did not.
        ("entered 0, extended 12+6, away 10", 19, "66 76 9"),
    ];
    let exam = Exam {
        compensate_up_to: Some(span_of_minutes(10)),
        ..hour_exam()
    };
    check_times(&exam, &table);
    let without = [("entered 0, away 10", 50, "60 60 0")];
    check_times(&hour_exam(), &without);
}

#[test]
fn an_absence_never_passes_the_window() {
    let exam = Exam {
        compensate_up_to: Some(span_of_minutes(10)),
        available_until: Some(at_minute(65)),
        ..hour_exam()
    };
    check_times(&exam, &[("entered 0, away 58", 64, "60 65 6")]);
}

#[test]
fn an_outage_is_credited_once_and_only_where_the_clock_ran() {
    let table = [
        ("entered 0", 10, 15, 5),
        ("entered 12", 10, 15, 3),
        ("entered 20", 10, 15, 0),
        // The outage ended the time, or came after its end.
        ("entered 0", 59, 90, 31),
        ("entered 0", 60, 90, 0),
        ("entered 0, outage 10+5", 10, 15, 0),
        ("entered 0, outage 10+5", 12, 18, 3),
        ("entered 0, outage 10+5", 20, 25, 5),
        ("entered 12, outage 12+3", 10, 15, 0),
        ("entered 0, stopped 9", 10, 15, 0),
        ("entered 0, paused 8-20", 10, 15, 0),
        ("entered 0, paused 12-20", 10, 15, 2),
        ("entered 0, network 10+5", 10, 15, 5),
    ];
    for (words, from, until, expected) in table {
        let credit = parse_ledger(words).outage_credit(
            &allowance_of(&hour_exam()),
            at_minute(from),
            at_minute(until),
        );
        assert_eq!(credit, span_of_minutes(expected), "{words}");
    }
}

/// Checks a table of ledgers and times: the running limited section with its time
/// left, and the open sections.
#[track_caller]
fn check_sections(exam: &Exam, table: &[(&str, i64, &str)]) {
    let allowance = allowance_of(exam);
    for (words, now, expected) in table {
        let (ledger, now) = (parse_ledger(words), at_minute(*now));
        let runs = ledger.running_section(&allowance, now).map_or_else(
            || "-".to_owned(),
            |(section, left)| format!("{section} {}", whole_minutes(duration_ms(left))),
        );
        let open: Vec<String> = (0..3)
            .filter(|section| ledger.section_is_open(&allowance, *section, now))
            .map(|section| section.to_string())
            .collect();
        assert_eq!(
            format!("{runs}: {}", open.join(" ")),
            *expected,
            "{words} at {now:?}"
        );
    }
}

#[test]
fn time_given_back_lengthens_the_section_that_it_began_in() {
    let table = [
        ("entered 0", 0, "0 20: 0 1"),
        ("entered 0", 20, "2 20: 1 2"),
        ("entered 0", 40, "-: 1"),
        ("entered 0, paused 10-15", 24, "0 1: 0 1"),
        ("entered 0, paused 10-15", 25, "2 20: 1 2"),
        ("entered 0, paused 20-25", 25, "2 20: 1 2"),
        ("entered 0, stopped 10", 90, "0 10: 0 1"),
        ("entered 0, extended 10+5", 24, "0 1: 0 1"),
        ("entered 0, extended 30+5", 44, "2 1: 1 2"),
        // An adjustment after the last limit belongs to the whole exam.
        ("entered 0, extended 45+5", 46, "-: 1"),
        ("entered 0, network 10+5, outage 24+2", 26, "0 1: 0 1"),
        // Adjustments apply in the order of their begin, not of their entry.
        ("entered 0, extended 22+5, network 19+4", 23, "0 6: 0 1"),
    ];
    check_sections(&sectioned_exam(&[Some(20), None, Some(20)]), &table);
}

#[test]
fn the_section_of_the_deadline_stays_open_in_the_grace() {
    let table = [
        ("entered 0", 59, "1 1: 1 2"),
        ("entered 0", 62, "1 0: 1 2"),
        ("entered 0, extended 62+5", 64, "1 1: 1 2"),
        ("entered 0, paused 62-64", 64, "1 0: 1 2"),
        ("entered 0, extended 10+5", 62, "1 3: 1 2"),
    ];
    let exam = Exam {
        grace_period: span_of_minutes(5),
        ..sectioned_exam(&[Some(30), Some(30), None])
    };
    check_sections(&exam, &table);
    // The window ends in the first section: no section follows.
    let exam = Exam {
        available_until: Some(at_minute(20)),
        ..exam
    };
    check_sections(&exam, &[("entered 0", 22, "0 0: 0 2")]);
}

#[test]
fn absences_in_one_section_are_one_entry() {
    let allowance = allowance_of(&sectioned_exam(&[Some(20), Some(40)]));
    let mut ledger = parse_ledger("entered 0");
    for (from, cause) in [
        (1, CompensationCause::Network),
        (5, CompensationCause::Network),
        (30, CompensationCause::Network),
        (31, CompensationCause::Outage),
        (33, CompensationCause::Network),
    ] {
        ledger.give_back(&allowance, at_minute(from), span_of_minutes(1), cause);
    }
    expect![[r#"
        [
            Compensated {
                from: Timestamp(
                    60000,
                ),
                ms: 120000,
                cause: Network,
            },
            Compensated {
                from: Timestamp(
                    1800000,
                ),
                ms: 60000,
                cause: Network,
            },
            Compensated {
                from: Timestamp(
                    1860000,
                ),
                ms: 60000,
                cause: Outage,
            },
            Compensated {
                from: Timestamp(
                    1980000,
                ),
                ms: 60000,
                cause: Network,
            },
        ]
    "#]]
    .assert_debug_eq(&ledger.adjustments);
    assert_eq!(ledger.timing_rev, 5);
    assert_eq!(
        ledger.deadline(&allowance, at_minute(40)),
        Some(at_minute(65))
    );
}
