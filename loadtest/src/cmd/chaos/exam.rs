//! The exam that candidates take.

/// Code of the exam.
pub(crate) const EXAM: &str = "CHAOS";

/// Number of questions, all of them for text, so that every answer is unique.
pub(crate) const QUESTIONS: usize = 8;

/// Shortest and longest exam, in minutes.
const MINUTES: (u64, u64) = (120, 1_440);

/// Returns the exam file for this many seconds of faults. No deadline may pass within
/// a run, however long the rest takes. Heartbeats are short, so that a dead connection
/// is noticed within the run. No rule acts on events.
pub(crate) fn exam_file(seconds: u64) -> String {
    let minutes = (seconds / 30 + 60).clamp(MINUTES.0, MINUTES.1);
    let mut text = format!(
        "code: {EXAM}\ntitle: Chaos\ntype: quiz\nduration_minutes: {minutes}\n\
         passing_score: 50\nsession_policy: takeover\n\
         proctoring: {{enabled: true, heartbeat_seconds: 5}}\n\
         sections:\n  - id: s1\n    title: All\n    questions:\n"
    );
    for number in 1..=QUESTIONS {
        text.push_str("      - {id: q");
        text.push_str(&number.to_string());
        text.push_str(", type: short_answer, points: 1, answer: [it], content: \"Say it, ");
        text.push_str(&number.to_string());
        text.push_str(".\"}\n");
    }
    text
}
