//! The board of a terminal console, assembled from the engine's messages.

use std::collections::{BTreeMap, VecDeque};

use invigil_client::protocol::proctor::{
    BoardTotals, ConsoleRow, ExamWatcher, IncidentView, ProctorServerMessage, TimelineEntry,
};

use super::order::TypedMessage;

/// Most lines kept of the log.
const LOG_LINES: usize = 100;

/// The board of the exam that a terminal watches.
#[derive(Debug, Default)]
pub(super) struct TerminalBoard {
    exam: String,
    /// Rows by attempt.
    rows: BTreeMap<String, ConsoleRow>,
    incidents: BTreeMap<(String, String), IncidentView>,
    totals: BoardTotals,
    watchers: Vec<ExamWatcher>,
    log: VecDeque<String>,
    loaded: bool,
    connected: bool,
    partial: bool,
    /// The engine's clock in its last message.
    now_at: i64,
    unconfirmed: Option<TypedMessage>,
}

impl TerminalBoard {
    pub(super) fn new(exam: String) -> Self {
        Self {
            exam,
            ..Self::default()
        }
    }

    pub(super) fn exam(&self) -> &str {
        &self.exam
    }

    /// True if a board has arrived.
    pub(super) const fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// True if candidates of other nodes may be missing or outdated.
    pub(super) const fn is_partial(&self) -> bool {
        self.partial
    }

    pub(super) const fn totals(&self) -> &BoardTotals {
        &self.totals
    }

    pub(super) const fn now_at(&self) -> i64 {
        self.now_at
    }

    pub(super) fn watchers(&self) -> &[ExamWatcher] {
        &self.watchers
    }

    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.log.iter().map(String::as_str)
    }

    /// Returns the rows in the order of the screen: the highest risk first.
    pub(super) fn rows(&self) -> Vec<&ConsoleRow> {
        let mut rows: Vec<&ConsoleRow> = self.rows.values().collect();
        rows.sort_by_key(|row| {
            let name = row.candidate.as_ref().map(|candidate| &candidate.name);
            (std::cmp::Reverse(row.risk.unwrap_or(0)), name, &row.attempt)
        });
        rows
    }

    /// Finds an attempt by the number of its row, from `#1`, its candidate or its id.
    pub(super) fn find_attempt(&self, text: &str) -> Option<String> {
        if let Some(number) = text.strip_prefix('#') {
            let number: usize = number.parse().ok()?;
            return Some(self.rows().get(number.checked_sub(1)?)?.attempt.clone());
        }
        let of_candidate =
            |row: &&ConsoleRow| row.candidate.as_ref().is_some_and(|one| one.id == text);
        if let Some(row) = self.rows.values().find(of_candidate) {
            return Some(row.attempt.clone());
        }
        self.rows.contains_key(text).then(|| text.to_owned())
    }

    /// Returns an attempt's newest incident that waits for a verdict.
    pub(super) fn open_incident(&self, attempt: &str) -> Option<&IncidentView> {
        let of_attempt = self.incidents.iter().filter(|((of, _), _)| of == attempt);
        let open = of_attempt
            .map(|(_, incident)| incident)
            .filter(|one| one.open);
        open.max_by_key(|incident| incident.last_at)
    }

    /// Adds lines to the log.
    pub(super) fn add_to_log(&mut self, text: &str) {
        for line in text.lines() {
            self.log.push_back(line.to_owned());
        }
        while self.log.len() > LOG_LINES {
            self.log.pop_front();
        }
    }

    pub(super) fn hold_for_confirmation(&mut self, wanted: TypedMessage) {
        self.unconfirmed = Some(wanted);
    }

    pub(super) const fn take_confirmed(&mut self) -> Option<TypedMessage> {
        self.unconfirmed.take()
    }

    /// Notes that the connection has broken.
    pub(super) fn mark_disconnected(&mut self) {
        if std::mem::replace(&mut self.connected, false) {
            self.add_to_log("connection lost, reconnecting");
        }
    }

    /// Applies a message of the engine.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a message reads best in one place"
    )]
    pub(super) fn apply_message(&mut self, message: ProctorServerMessage) {
        match message {
            ProctorServerMessage::Welcome(welcome) => {
                self.connected = true;
                self.now_at = welcome.now_at;
            }
            ProctorServerMessage::Board(board) => {
                if board.part == 1 {
                    self.rows.clear();
                }
                self.loaded = true;
                self.now_at = board.now_at;
                self.totals = board.totals;
                self.partial = board.partial;
                let rows = board.rows.into_iter();
                self.rows.extend(rows.map(|row| (row.attempt.clone(), row)));
            }
            ProctorServerMessage::Delta(delta) => {
                self.now_at = delta.now_at;
                self.totals = delta.totals;
                self.partial = delta.partial;
                for change in delta.rows {
                    let row = self.rows.entry(change.attempt.clone()).or_default();
                    merge_row(row, change);
                }
            }
            ProctorServerMessage::Incident(news) => {
                let incident = news.incident;
                let name = self.candidate_name(&news.attempt);
                let state = incident.verdict.as_deref().unwrap_or("open");
                self.add_to_log(&format!(
                    "! {name}: {} x{}, {}, {} ({state}) {}",
                    incident.kind, incident.events, incident.severity, incident.then, incident.id,
                ));
                let key = (news.attempt, incident.id.clone());
                self.incidents.insert(key, incident);
            }
            ProctorServerMessage::Detail(detail) => self.apply_detail(detail),
            ProctorServerMessage::Event(news) => {
                let name = self.candidate_name(&news.attempt);
                self.add_to_log(&format!("  {name}: {}", format_entry(&news.event)));
            }
            ProctorServerMessage::Result(result) => {
                let failed: Vec<String> = result
                    .failed
                    .iter()
                    .map(|failed| {
                        format!("{}: {}", self.candidate_name(&failed.attempt), failed.code)
                    })
                    .collect();
                self.add_to_log(&format!(
                    "  {} of {} done {}",
                    result.done,
                    result.total,
                    failed.join(", ")
                ));
            }
            ProctorServerMessage::Receipt(receipt) => self.add_to_log(&format!(
                "  on {} of {} devices, acknowledged by {}",
                receipt.delivered, receipt.total, receipt.acknowledged
            )),
            ProctorServerMessage::Presence(presence) => self.watchers = presence.proctors,
            ProctorServerMessage::Action(action) => {
                let reason = action.reason.unwrap_or_default();
                let what = serde_json::to_value(action.action).unwrap_or_default();
                self.add_to_log(&format!(
                    "{}: {} {reason}",
                    action.name,
                    what.as_str().unwrap_or("")
                ));
            }
            ProctorServerMessage::Error(error) => {
                let detail = error.detail.unwrap_or_default();
                self.add_to_log(&format!("refused: {} {detail}", error.code.as_str()));
            }
            ProctorServerMessage::Pulse(pulse) => self.now_at = pulse.now_at,
            ProctorServerMessage::Bye(bye) => {
                self.add_to_log(&format!("the engine says {}", bye.code.as_str()));
            }
        }
    }

    fn apply_detail(&mut self, detail: invigil_client::protocol::proctor::AttemptDetail) {
        let name = self.candidate_name(&detail.attempt);
        let parts: Vec<String> = detail
            .risk
            .iter()
            .map(|part| format!("{} {}", part.kind, part.points))
            .collect();
        self.add_to_log(&format!("  {name}: risk {}", parts.join(", ")));
        for incident in detail.incidents {
            let key = (detail.attempt.clone(), incident.id.clone());
            self.incidents.insert(key, incident);
        }
        let newest = detail.events.len().saturating_sub(10);
        for event in &detail.events[newest..] {
            self.add_to_log(&format!("  {name}: {}", format_entry(event)));
        }
    }

    fn candidate_name(&self, attempt: &str) -> String {
        let row = self.rows.get(attempt);
        let candidate = row.and_then(|row| row.candidate.as_ref());
        candidate.map_or_else(|| attempt.to_owned(), |candidate| candidate.name.clone())
    }
}

fn format_entry(entry: &TimelineEntry) -> String {
    let data = serde_json::to_string(&entry.data).unwrap_or_default();
    let data: String = data.chars().take(100).collect();
    format!("{} {data}", entry.kind)
}

/// Replaces the fields of a row that a change has.
fn merge_row(row: &mut ConsoleRow, change: ConsoleRow) {
    macro_rules! take {
        ($($field:ident),* $(,)?) => {
            $(if change.$field.is_some() {
                row.$field = change.$field;
            })*
        };
    }
    row.attempt = change.attempt;
    take!(
        candidate,
        status,
        online,
        deadline_at,
        answered,
        questions,
        q,
        risk,
        incidents,
        last_seen_at,
        rtt_ms,
        flagged,
        node,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_message(json: &str) -> ProctorServerMessage {
        serde_json::from_str(json).unwrap()
    }

    fn sample_board() -> TerminalBoard {
        let mut board = TerminalBoard::new("E1".to_owned());
        board.apply_message(parse_message(
            r#"{"t":"board","exam":"E1","now_at":5,"part":1,"parts":1,"rows":[
                {"attempt":"7","candidate":{"id":"ann","name":"Ann"},"answered":1,"risk":0},
                {"attempt":"8","candidate":{"id":"bob","name":"Bob"},"answered":2,"risk":9}],
                "totals":{"attempts":2,"online":0,"in_progress":0,"paused":0,"submitted":0,
                "flagged":0}}"#,
        ));
        board
    }

    #[test]
    fn deltas_change_what_they_name_and_nothing_else() {
        let mut board = sample_board();
        board.apply_message(parse_message(
            r#"{"t":"delta","exam":"E1","now_at":6,"rows":[{"attempt":"7","risk":50}],
                "totals":{"attempts":2,"online":1,"in_progress":0,"paused":0,"submitted":0,
                "flagged":0}}"#,
        ));
        let rows = board.rows();
        assert_eq!(rows[0].attempt, "7", "the highest risk comes first");
        assert_eq!((rows[0].answered, rows[0].risk), (Some(1), Some(50)));
        assert_eq!((board.totals().online, board.now_at()), (1, 6));
        assert!(!board.is_partial());
        board.apply_message(parse_message(
            r#"{"t":"delta","exam":"E1","now_at":7,"rows":[],"partial":true,
                "totals":{"attempts":2,"online":1,"in_progress":0,"paused":0,"submitted":0,
                "flagged":0}}"#,
        ));
        assert!(board.is_partial());
    }

    #[test]
    fn attempts_are_named_by_row_candidate_or_id() {
        let board = sample_board();
        assert_eq!(board.find_attempt("#1").as_deref(), Some("8"));
        assert_eq!(board.find_attempt("ann").as_deref(), Some("7"));
        assert_eq!(board.find_attempt("7").as_deref(), Some("7"));
        for nobody in ["#0", "#3", "#x", "9", "cy"] {
            assert_eq!(board.find_attempt(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn the_newest_open_incident_is_the_one_to_resolve() {
        let mut board = sample_board();
        for (id, open, at) in [("i1", true, 1), ("i2", true, 5), ("i3", false, 9)] {
            board.apply_message(parse_message(&format!(
                r#"{{"t":"incident","exam":"E1","attempt":"7","incident":{{"id":"{id}",
                    "kind":"copy","severity":"low","at":1,"open":{open},"last_at":{at}}}}}"#,
            )));
        }
        assert_eq!(board.open_incident("7").unwrap().id, "i2");
        assert_eq!(board.open_incident("8"), None);
    }
}
