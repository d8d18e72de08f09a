//! Steps of clocks, paces of answers and absences, on both sides of their thresholds.

use super::*;
use crate::attempt::fixture::essay_question;

const NOW: Timestamp = Timestamp::from_ms(10_000_000);

/// Reads events of a client whose clock is `ahead` of the engine's, a second apart.
fn read_ahead(clock: &mut ClientClock, ahead: &[i64]) -> Vec<Option<i64>> {
    let mut now = NOW;
    ahead
        .iter()
        .map(|ahead| {
            now = now + Duration::from_secs(1);
            clock.read_event(now, now.as_ms() + ahead)
        })
        .collect()
}

#[test]
fn a_clock_is_set_forward_from_a_minute_on() {
    let mut clock = ClientClock::default();
    assert_eq!(read_ahead(&mut clock, &[0, 60_000]), [None, None]);
    // By steps under a minute, the clock only drifts.
    assert_eq!(read_ahead(&mut clock, &[90_000]), [None]);
    let mut clock = ClientClock::default();
    assert_eq!(
        read_ahead(&mut clock, &[0, 60_001, 60_001]),
        [None, Some(60_001), None]
    );
}

#[test]
fn a_clock_is_set_back_where_events_go_back_by_a_minute() {
    let mut clock = ClientClock::default();
    // An event that was a second later by the engine's clock: 60 s back.
    assert_eq!(read_ahead(&mut clock, &[0, -61_000]), [None, None]);
    let mut clock = ClientClock::default();
    assert_eq!(read_ahead(&mut clock, &[0, -61_001]), [None, Some(-60_001)]);
}

#[test]
fn events_that_waited_may_be_an_hour_late() {
    let mut clock = ClientClock::default();
    clock.expect_late_events(NOW);
    // The first event waited for 50 minutes; the next one is prompt, and sets the measure.
    assert_eq!(read_ahead(&mut clock, &[-3_000_000, 0]), [None, None]);
    let prompt = NOW + Duration::from_secs(11);
    assert_eq!(clock.read_event(prompt, prompt.as_ms()), None);
    let next = prompt + Duration::from_secs(1);
    assert_eq!(
        clock.read_event(next, next.as_ms() + 60_001),
        Some(60_001),
        "from the first prompt event on, a minute counts"
    );
}

#[test]
fn an_hour_counts_even_where_events_waited() {
    let mut clock = ClientClock::default();
    clock.expect_late_events(NOW);
    assert_eq!(read_ahead(&mut clock, &[0, 3_600_000]), [None, None]);
    let mut clock = ClientClock::default();
    clock.expect_late_events(NOW);
    assert_eq!(
        read_ahead(&mut clock, &[0, 3_600_001]),
        [None, Some(3_600_001)]
    );
}

#[test]
fn another_session_has_another_clock() {
    let mut clock = ClientClock::default();
    read_ahead(&mut clock, &[0]);
    clock.reset();
    assert_eq!(read_ahead(&mut clock, &[900_000]), [None]);
}

#[test]
fn five_answers_in_a_row_faster_than_reading_are_no_accident() {
    let mut question = essay_question("q");
    question.content = "x".repeat(100);
    let mut pace = AnswerPace::default();
    let mut at = NOW;
    let mut answer_after = |pace: &mut AnswerPace, ms| {
        at = at + Duration::from_millis(ms);
        pace.note_first_answer(&question, at, Duration::ZERO)
    };
    // The first has no predecessor: only its own time counts.
    let fast: Vec<_> = (0..4).map(|_| answer_after(&mut pace, 1_999)).collect();
    assert_eq!(fast, [None; 4]);
    // Two seconds are enough for a hundred letters.
    assert_eq!(answer_after(&mut pace, 2_000), None);
    let fast: Vec<_> = (0..6).map(|_| answer_after(&mut pace, 1_999)).collect();
    assert_eq!(fast, [None, None, None, None, Some(5), None]);
}

#[test]
fn time_spent_offline_counts_as_reading() {
    let mut question = essay_question("q");
    question.content = "x".repeat(100);
    let mut pace = AnswerPace::default();
    for _ in 0..9 {
        let spent = Duration::from_secs(2);
        assert_eq!(pace.note_first_answer(&question, NOW, spent), None);
    }
}

#[test]
fn a_chinese_character_takes_as_long_as_two_letters() {
    let mut question = essay_question("q");
    question.content = "\u{5b57}".repeat(50);
    assert_eq!(reading_min_ms(&question), 2_000);
    question.content = "x".repeat(50);
    assert_eq!(reading_min_ms(&question), 1_000);
}

#[test]
fn three_heartbeats_without_a_connection_are_a_long_absence() {
    let limit = absence_limit(Duration::from_secs(10));
    assert_eq!(limit, Duration::from_secs(30));
}
