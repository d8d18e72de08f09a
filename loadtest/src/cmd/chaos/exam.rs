//! The exam that candidates take.

/// The code of the exam.
pub(crate) const EXAM: &str = "CHAOS";

/// Its questions, all of them for text, so that every answer is its own.
pub(crate) const QUESTIONS: usize = 8;

/// The file. Heartbeats are short, so that a dead connection is noticed within the run.
pub(super) fn text() -> String {
    let mut text = format!(
        "code: {EXAM}\ntitle: Chaos\ntype: quiz\nduration_minutes: 120\npassing_score: 50\n\
         session_policy: takeover\nproctoring: {{enabled: true, heartbeat_seconds: 5}}\n\
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
