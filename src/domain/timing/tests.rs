//! The ledger, by tables: what is granted, what happened, what follows.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::fmt::Write as _;

use expect_test::expect;

use super::*;
use crate::domain::{
    attempt::fixture::{exam, minute, minutes, sectioned},
    exam::Exam,
};

/// The allowance of a candidate without accommodations.
fn allowance(exam: &Exam) -> Allowance {
    Allowance::new(exam, Decimal::ONE, Duration::ZERO)
}

/// A ledger from words, all times in minutes: `entered 5`, `paused 10-20`,
/// `extended 10+5`, `network 10+5`, `outage 10+5`, `stopped 30`, `away 30`.
fn ledger(words: &str) -> Ledger {
    let mut ledger = Ledger::default();
    for entry in words.split(", ") {
        let (what, times) = entry.split_once(' ').unwrap();
        let (from, other) = times.split_once(['-', '+']).unwrap_or((times, "0"));
        let from = minute(from.parse().unwrap());
        let other: u64 = other.parse().unwrap();
        let ms = 60_000 * other;
        let compensated = |cause| Adjustment::Compensated { from, ms, cause };
        match what {
            "entered" => ledger.entered_at = Some(from),
            "stopped" => ledger.paused_since = Some(from),
            "away" => ledger.away_since = Some(from),
            "paused" => {
                let until = Timestamp::default() + minutes(other);
                ledger.adjust(Adjustment::Paused { from, until });
            }
            "extended" => ledger.adjust(Adjustment::Extended { at: from, ms }),
            "network" => ledger.adjust(compensated(Cause::Network)),
            "outage" => ledger.adjust(compensated(Cause::Outage)),
            _ => panic!("no such entry: {entry}"),
        }
    }
    ledger
}

/// Whole minutes; a test whose times are not whole fails.
fn whole_minutes(ms: i64) -> i64 {
    assert_eq!(ms % 60_000, 0, "{ms} ms");
    ms / 60_000
}

/// Each line: what happened, a time, and the deadline, the hand-in and the
/// credit of who returns, as they are then.
#[track_caller]
fn check(exam: &Exam, table: &[(&str, i64, &str)]) {
    let allowance = allowance(exam);
    for (words, now, expected) in table {
        let (ledger, now) = (ledger(words), minute(*now));
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
        let exam = sectioned(&[Some(20), None, Some(40)]);
        let factor: Decimal = factor.parse().unwrap();
        let allowance = Allowance::new(&exam, factor, minutes(extra));
        let Allowance {
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
        ..exam()
    };
    let factor = "1.0001".parse().unwrap();
    let allowance = Allowance::new(&exam, factor, Duration::ZERO);
    assert_eq!(allowance.duration, Duration::from_millis(1_002));
}

#[test]
fn sums_that_no_clock_holds_do_not_overflow() {
    let exam = sectioned(&[Some(60)]);
    let allowance = Allowance::new(&exam, Decimal::MAX, Duration::from_millis(u64::MAX));
    let mut ledger = ledger("entered 0");
    for _ in 0..3 {
        ledger.adjust(Adjustment::Extended {
            at: minute(1),
            ms: u64::MAX,
        });
        ledger.give_back(&allowance, minute(1), Duration::MAX, Cause::Network);
    }
    let end = Timestamp::from_ms(i64::MAX);
    assert_eq!(ledger.deadline(&allowance, minute(1)), Some(end));
    assert_eq!(ledger.hand_in_at(&allowance), Some(end));
    assert!(ledger.section_is_open(&allowance, 0, minute(1)));
}

#[test]
fn who_never_entered_has_no_deadline() {
    let (ledger, allowance) = (Ledger::default(), allowance(&exam()));
    assert_eq!(ledger.deadline(&allowance, minute(5)), None);
    assert_eq!(ledger.hand_in_at(&allowance), None);
    assert_eq!(ledger.remaining(&allowance, minute(5)), minutes(60));
    assert_eq!(
        ledger.outage_credit(&allowance, minute(0), minute(5)),
        minutes(0)
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
    check(&exam(), &table);
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
        available_until: Some(minute(90)),
        grace_period: minutes(5),
        ..exam()
    };
    check(&exam, &table);
    let table = [
        ("entered 40", 50, "100 105 0"),
        ("entered 89, paused 90-95", 100, "154 159 0"),
    ];
    let whole = Exam {
        full_duration_after_close: true,
        ..exam
    };
    check(&whole, &table);
}

#[test]
fn absence_counts_up_to_the_ceiling_while_the_clock_ran() {
    let table = [
        ("entered 0, away 10", 14, "60 70 4"),
        ("entered 0, away 10", 50, "60 70 10"),
        ("entered 0, network 5+7, away 20", 50, "67 70 3"),
        ("entered 0, network 5+10, away 20", 50, "70 70 0"),
        ("entered 0, away 59", 68, "60 70 9"),
        // After the deadline nothing is lost any more.
        ("entered 0, away 60", 61, "60 60 0"),
        // A pause and an outage stopped the clock already.
        ("entered 0, paused 12-18, away 10", 21, "66 76 5"),
        ("entered 0, paused 8-12, away 10", 15, "64 74 3"),
        ("entered 0, outage 12+6, away 10", 21, "66 76 5"),
        ("entered 0, stopped 12, away 10", 20, "68 - 2"),
        ("entered 0, stopped 10, away 12", 20, "70 - 0"),
        // What staff gave did not.
        ("entered 0, extended 12+6, away 10", 19, "66 76 9"),
    ];
    let exam = Exam {
        compensate_up_to: Some(minutes(10)),
        ..exam()
    };
    check(&exam, &table);
    let without = [("entered 0, away 10", 50, "60 60 0")];
    check(&self::exam(), &without);
}

#[test]
fn an_absence_never_passes_the_window() {
    let exam = Exam {
        compensate_up_to: Some(minutes(10)),
        available_until: Some(minute(65)),
        ..exam()
    };
    check(&exam, &[("entered 0, away 58", 64, "60 65 6")]);
}

#[test]
fn an_outage_is_credited_once_and_only_where_the_clock_ran() {
    let table = [
        ("entered 0", 10, 15, 5),
        ("entered 12", 10, 15, 3),
        ("entered 20", 10, 15, 0),
        // It ended the time, or came after its end.
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
        let credit = ledger(words).outage_credit(&allowance(&exam()), minute(from), minute(until));
        assert_eq!(credit, minutes(expected), "{words}");
    }
}

/// Each line: what happened, a time, and which limited section runs then, with
/// what is left of it, and which sections are open.
#[track_caller]
fn check_sections(exam: &Exam, table: &[(&str, i64, &str)]) {
    let allowance = allowance(exam);
    for (words, now, expected) in table {
        let (ledger, now) = (ledger(words), minute(*now));
        let runs = ledger.section(&allowance, now).map_or_else(
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
        // What came after the last limit is nobody's but the whole's.
        ("entered 0, extended 45+5", 46, "-: 1"),
        ("entered 0, network 10+5, outage 24+2", 26, "0 1: 0 1"),
        // In the order in which they began, not in which they were made.
        ("entered 0, extended 22+5, network 19+4", 23, "0 6: 0 1"),
    ];
    check_sections(&sectioned(&[Some(20), None, Some(20)]), &table);
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
        grace_period: minutes(5),
        ..sectioned(&[Some(30), Some(30), None])
    };
    check_sections(&exam, &table);
    // The window ends the time in the first section: none follows.
    let exam = Exam {
        available_until: Some(minute(20)),
        ..exam
    };
    check_sections(&exam, &[("entered 0", 22, "0 0: 0 2")]);
}

#[test]
fn absences_in_one_section_are_one_entry() {
    let allowance = allowance(&sectioned(&[Some(20), Some(40)]));
    let mut ledger = ledger("entered 0");
    for (from, cause) in [
        (1, Cause::Network),
        (5, Cause::Network),
        (30, Cause::Network),
        (31, Cause::Outage),
        (33, Cause::Network),
    ] {
        ledger.give_back(&allowance, minute(from), minutes(1), cause);
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
    assert_eq!(ledger.deadline(&allowance, minute(40)), Some(minute(65)));
}
