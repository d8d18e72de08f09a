//! What a console knows of its exam: the engine's messages, put together.

use std::collections::{BTreeMap, VecDeque};

use invigil_client::protocol::proctor::{
    ConsoleMessage, IncidentInfo, Row, TimelineEntry, Totals, Watcher,
};

use super::order::Wanted;

/// Lines of the log that are kept.
const LOG_LINES: usize = 100;

/// One exam's board.
#[derive(Debug, Default)]
pub(super) struct Board {
    exam: String,
    /// By attempt.
    rows: BTreeMap<String, Row>,
    incidents: BTreeMap<(String, String), IncidentInfo>,
    totals: Totals,
    watchers: Vec<Watcher>,
    log: VecDeque<String>,
    there: bool,
    connected: bool,
    partial: bool,
    /// The engine's clock when it was last heard.
    now_at: i64,
    confirm: Option<Wanted>,
}

impl Board {
    pub(super) fn new(exam: String) -> Self {
        Self {
            exam,
            ..Self::default()
        }
    }

    pub(super) fn exam(&self) -> &str {
        &self.exam
    }

    /// Whether the board came at all.
    pub(super) const fn is_there(&self) -> bool {
        self.there
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether candidates of other nodes may be missing or as they were.
    pub(super) const fn is_partial(&self) -> bool {
        self.partial
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) const fn now_at(&self) -> i64 {
        self.now_at
    }

    pub(super) fn watchers(&self) -> &[Watcher] {
        &self.watchers
    }

    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.log.iter().map(String::as_str)
    }

    /// Rows as they are shown: who needs a look comes first.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| {
            let name = row.candidate.as_ref().map(|candidate| &candidate.name);
            (std::cmp::Reverse(row.risk.unwrap_or(0)), name, &row.attempt)
        });
        rows
    }

    /// The attempt of a shown row's number, from 1, or of this id.
    pub(super) fn attempt(&self, text: &str) -> Option<String> {
        if let Some(number) = text.strip_prefix('#') {
            let number: usize = number.parse().ok()?;
            return Some(self.rows().get(number.checked_sub(1)?)?.attempt.clone());
        }
        let of_candidate = |row: &&Row| row.candidate.as_ref().is_some_and(|one| one.id == text);
        if let Some(row) = self.rows.values().find(of_candidate) {
            return Some(row.attempt.clone());
        }
        self.rows.contains_key(text).then(|| text.to_owned())
    }

    /// The newest incident of an attempt that waits for a person.
    pub(super) fn open_incident(&self, attempt: &str) -> Option<&IncidentInfo> {
        let of_attempt = self.incidents.iter().filter(|((of, _), _)| of == attempt);
        let open = of_attempt
            .map(|(_, incident)| incident)
            .filter(|one| one.open);
        open.max_by_key(|incident| incident.last_at)
    }

    /// Adds a line to the log.
    pub(super) fn note(&mut self, text: &str) {
        for line in text.lines() {
            self.log.push_back(line.to_owned());
        }
        while self.log.len() > LOG_LINES {
            self.log.pop_front();
        }
    }

    pub(super) fn confirm(&mut self, wanted: Wanted) {
        self.confirm = Some(wanted);
    }

    pub(super) const fn take_confirmed(&mut self) -> Option<Wanted> {
        self.confirm.take()
    }

    /// The connection broke.
    pub(super) fn lost(&mut self) {
        if std::mem::replace(&mut self.connected, false) {
            self.note("the connection is lost, trying again");
        }
    }

    /// Takes in what the engine says.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a message reads best in one place"
    )]
    pub(super) fn apply(&mut self, message: ConsoleMessage) {
        match message {
            ConsoleMessage::Welcome(welcome) => {
                self.connected = true;
                self.now_at = welcome.now_at;
            }
            ConsoleMessage::Board(board) => {
                if board.part == 1 {
                    self.rows.clear();
                }
                self.there = true;
                self.now_at = board.now_at;
                self.totals = board.totals;
                self.partial = board.partial;
                let rows = board.rows.into_iter();
                self.rows.extend(rows.map(|row| (row.attempt.clone(), row)));
            }
            ConsoleMessage::Delta(delta) => {
                self.now_at = delta.now_at;
                self.totals = delta.totals;
                self.partial = delta.partial;
                for change in delta.rows {
                    let row = self.rows.entry(change.attempt.clone()).or_default();
                    merge(row, change);
                }
            }
            ConsoleMessage::Incident(news) => {
                let incident = news.incident;
                let name = self.name(&news.attempt);
                let state = incident.verdict.as_deref().unwrap_or("open");
                self.note(&format!(
                    "! {name}: {} x{}, {}, {} ({state}) {}",
                    incident.kind, incident.events, incident.severity, incident.then, incident.id,
                ));
                let key = (news.attempt, incident.id.clone());
                self.incidents.insert(key, incident);
            }
            ConsoleMessage::Detail(detail) => self.detail(detail),
            ConsoleMessage::Event(news) => {
                let name = self.name(&news.attempt);
                self.note(&format!("  {name}: {}", entry(&news.event)));
            }
            ConsoleMessage::Result(result) => {
                let failed: Vec<String> = result
                    .failed
                    .iter()
                    .map(|failed| format!("{}: {}", self.name(&failed.attempt), failed.code))
                    .collect();
                self.note(&format!(
                    "  {} of {} done {}",
                    result.done,
                    result.total,
                    failed.join(", ")
                ));
            }
            ConsoleMessage::Receipt(receipt) => self.note(&format!(
                "  on {} of {} devices, acknowledged by {}",
                receipt.delivered, receipt.total, receipt.acknowledged
            )),
            ConsoleMessage::Presence(presence) => self.watchers = presence.proctors,
            ConsoleMessage::Action(action) => {
                let reason = action.reason.unwrap_or_default();
                let what = serde_json::to_value(action.action).unwrap_or_default();
                self.note(&format!(
                    "{}: {} {reason}",
                    action.name,
                    what.as_str().unwrap_or("")
                ));
            }
            ConsoleMessage::Error(error) => {
                let detail = error.detail.unwrap_or_default();
                self.note(&format!("refused: {} {detail}", error.code.as_str()));
            }
            ConsoleMessage::Pulse(pulse) => self.now_at = pulse.now_at,
            ConsoleMessage::Bye(bye) => {
                self.note(&format!("the engine says {}", bye.code.as_str()));
            }
        }
    }

    fn detail(&mut self, detail: invigil_client::protocol::proctor::Detail) {
        let name = self.name(&detail.attempt);
        let parts: Vec<String> = detail
            .risk
            .iter()
            .map(|part| format!("{} {}", part.kind, part.points))
            .collect();
        self.note(&format!("  {name}: risk {}", parts.join(", ")));
        for incident in detail.incidents {
            let key = (detail.attempt.clone(), incident.id.clone());
            self.incidents.insert(key, incident);
        }
        let newest = detail.events.len().saturating_sub(10);
        for event in &detail.events[newest..] {
            self.note(&format!("  {name}: {}", entry(event)));
        }
    }

    fn name(&self, attempt: &str) -> String {
        let row = self.rows.get(attempt);
        let candidate = row.and_then(|row| row.candidate.as_ref());
        candidate.map_or_else(|| attempt.to_owned(), |candidate| candidate.name.clone())
    }
}

fn entry(entry: &TimelineEntry) -> String {
    let data = serde_json::to_string(&entry.data).unwrap_or_default();
    let data: String = data.chars().take(100).collect();
    format!("{} {data}", entry.kind)
}

/// Takes over what a change says.
fn merge(row: &mut Row, change: Row) {
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

    fn message(json: &str) -> ConsoleMessage {
        serde_json::from_str(json).unwrap()
    }

    fn board() -> Board {
        let mut board = Board::new("E1".to_owned());
        board.apply(message(
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
        let mut board = board();
        board.apply(message(
            r#"{"t":"delta","exam":"E1","now_at":6,"rows":[{"attempt":"7","risk":50}],
                "totals":{"attempts":2,"online":1,"in_progress":0,"paused":0,"submitted":0,
                "flagged":0}}"#,
        ));
        let rows = board.rows();
        assert_eq!(rows[0].attempt, "7", "who needs a look comes first");
        assert_eq!((rows[0].answered, rows[0].risk), (Some(1), Some(50)));
        assert_eq!((board.totals().online, board.now_at()), (1, 6));
        assert!(!board.is_partial());
        board.apply(message(
            r#"{"t":"delta","exam":"E1","now_at":7,"rows":[],"partial":true,
                "totals":{"attempts":2,"online":1,"in_progress":0,"paused":0,"submitted":0,
                "flagged":0}}"#,
        ));
        assert!(board.is_partial());
    }

    #[test]
    fn attempts_are_named_by_row_candidate_or_id() {
        let board = board();
        assert_eq!(board.attempt("#1").as_deref(), Some("8"));
        assert_eq!(board.attempt("ann").as_deref(), Some("7"));
        assert_eq!(board.attempt("7").as_deref(), Some("7"));
        for nobody in ["#0", "#3", "#x", "9", "cy"] {
            assert_eq!(board.attempt(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn the_newest_open_incident_is_the_one_to_resolve() {
        let mut board = board();
        for (id, open, at) in [("i1", true, 1), ("i2", true, 5), ("i3", false, 9)] {
            board.apply(message(&format!(
                r#"{{"t":"incident","exam":"E1","attempt":"7","incident":{{"id":"{id}",
                    "kind":"copy","severity":"low","at":1,"open":{open},"last_at":{at}}}}}"#,
            )));
        }
        assert_eq!(board.open_incident("7").unwrap().id, "i2");
        assert_eq!(board.open_incident("8"), None);
    }
}
