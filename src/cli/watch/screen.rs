//! The board as text for a terminal.

use std::fmt::Write as _;

use invigil_client::protocol::{
    candidate::AttemptStatus,
    proctor::{ConsoleRow, IncidentCounts},
};

use super::board::TerminalBoard;

/// Clears the terminal and moves the cursor to its top left.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Most rows shown; the others can be named in commands too.
const ROWS: usize = 30;

/// Most lines of the log shown.
const LOG_LINES: usize = 12;

/// Returns the whole screen.
pub(super) fn render_board(board: &TerminalBoard) -> String {
    let mut text = CLEAR.to_owned();
    write_board(&mut text, board).expect("writing to a string cannot fail");
    text
}

fn write_board(text: &mut String, board: &TerminalBoard) -> std::fmt::Result {
    let totals = board.totals();
    let state = match (board.is_connected(), board.is_partial()) {
        (true, false) => "live",
        (true, true) => "live, but not every node is heard",
        (false, _) => "not connected",
    };
    writeln!(
        text,
        "{} ({state}): {} attempts, {} online, {} running, {} paused, {} handed in, {} flagged",
        board.exam(),
        totals.attempts,
        totals.online,
        totals.in_progress,
        totals.paused,
        totals.submitted,
        totals.flagged,
    )?;
    let watchers: Vec<&str> = board
        .watchers()
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    writeln!(text, "watched by {}\n", watchers.join(", "))?;
    writeln!(
        text,
        "{:>4} {:<20} {:<14} {:<7} {:>8} {:>7} {:<6} {:>4} {:<9} {:>5}",
        "", "candidate", "status", "online", "left", "answers", "at", "risk", "incidents", "seen"
    )?;
    let rows = board.rows();
    for (number, row) in (1..).zip(rows.iter().take(ROWS)) {
        write_row(text, number, row, board.now_at())?;
    }
    if rows.len() > ROWS {
        writeln!(text, "     ... and {} more", rows.len() - ROWS)?;
    }
    writeln!(text)?;
    let log: Vec<&str> = board.log().rev().take(LOG_LINES).collect();
    for line in log.iter().rev() {
        writeln!(text, "{line}")?;
    }
    write!(text, "\n(help) > ")
}

fn write_row(text: &mut String, number: usize, row: &ConsoleRow, now_at: i64) -> std::fmt::Result {
    let name = row
        .candidate
        .as_ref()
        .map_or("", |candidate| &candidate.name);
    let name: String = name.chars().take(20).collect();
    let status = serde_json::to_value(row.status).unwrap_or_default();
    let status = status.as_str().unwrap_or_default();
    let flag = if row.flagged == Some(true) { "*" } else { "" };
    let online = if row.online == Some(true) {
        "yes"
    } else {
        "no"
    };
    let runs = matches!(
        row.status,
        Some(AttemptStatus::InProgress | AttemptStatus::Paused)
    );
    let deadline = row.deadline_at.filter(|_| runs);
    let left = deadline.map(|at| format_duration((at - now_at).max(0)));
    let seen = row
        .last_seen_at
        .map(|at| format_duration((now_at - at).max(0)));
    let answers = format!(
        "{}/{}",
        row.answered.unwrap_or(0),
        row.questions.unwrap_or(0)
    );
    writeln!(
        text,
        "{:>4} {name:<20} {:<14} {online:<7} {:>8} {answers:>7} {:<6} {:>4} {:<9} {:>5}",
        format!("#{number}"),
        format!("{status}{flag}"),
        left.unwrap_or_default(),
        row.q.iter().flatten().next().map_or("", String::as_str),
        row.risk.unwrap_or(0),
        format_counts(row.incidents.unwrap_or_default()),
        seen.unwrap_or_default(),
    )
}

/// Formats milliseconds as minutes and seconds.
fn format_duration(ms: i64) -> String {
    let seconds = ms / 1_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Formats the counts of incidents, the gravest first.
fn format_counts(incidents: IncidentCounts) -> String {
    let all = [
        (incidents.critical, 'c'),
        (incidents.high, 'h'),
        (incidents.medium, 'm'),
        (incidents.low, 'l'),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = some
        .map(|(count, letter)| format!("{count}{letter}"))
        .collect();
    words.concat()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_board_is_a_table_with_a_log() {
        let mut board = TerminalBoard::new("E1".to_owned());
        let text = r#"{"t":"board","exam":"E1","now_at":1000000,"part":1,"parts":1,"rows":[
            {"attempt":"7","candidate":{"id":"ann","name":"Ann"},"status":"in_progress",
             "online":true,"deadline_at":4600000,"answered":3,"questions":10,"q":"q4","risk":42,
             "incidents":{"low":1,"medium":0,"high":2,"critical":0},"last_seen_at":995000,
             "rtt_ms":12,"flagged":true,"node":"n1"},
            {"attempt":"8","candidate":{"id":"bob","name":"Bob"},"status":"started",
             "online":false}],
            "totals":{"attempts":2,"online":1,"in_progress":1,"paused":0,"submitted":0,
            "flagged":1}}"#;
        board.apply_message(serde_json::from_str(text).unwrap());
        board.add_to_log("hello");
        let drawn = render_board(&board);
        let lines: Vec<&str> = drawn
            .trim_start_matches(CLEAR)
            .lines()
            .map(str::trim_end)
            .collect();
        expect![[r"
            E1 (not connected): 2 attempts, 1 online, 1 running, 0 paused, 0 handed in, 1 flagged
            watched by

                 candidate            status         online      left answers at     risk incidents  seen
              #1 Ann                  in_progress*   yes        60:00    3/10 q4       42 2h1l       0:05
              #2 Bob                  started        no                   0/0           0

            hello

            (help) >"]]
        .assert_eq(&lines.join("\n"));
    }
}
