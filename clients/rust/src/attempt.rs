//! The application's handle on an attempt.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use invigil_protocol::{codec::Encoding, rest::AttemptStartReply};
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    clock::Countdown,
    core::{ClientCommand, ClientUpdate, Ticket},
    rest::ApiClient,
    task::AttemptTask,
};

/// Inputs that may wait for the task. The task takes them at once, so this only
/// bridges moments; a caller waits while it is full.
const INPUT_CAPACITY: usize = 1_024;

/// Updates that may wait for the application; above that the socket is not read.
const UPDATE_CAPACITY: usize = 1_024;

/// Options of a client's connection.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Encoding of the messages.
    pub encoding: Encoding,
    /// Source address of sockets, if it matters.
    pub from: Option<IpAddr>,
    /// Id of the device, the same at every visit.
    pub device: Option<String>,
}

/// An attempt with its connection. Dropping it ends the connection and discards
/// unsaved commands.
#[derive(Debug)]
pub struct ClientAttempt {
    /// The attempt's id.
    pub id: String,
    /// The attempt's token.
    pub token: String,
    inputs: mpsc::Sender<TaskInput>,
    updates: mpsc::Receiver<ClientUpdate>,
    /// Updates received while an input waited: the task may wait for the application
    /// while the application waits for the task.
    unread: VecDeque<ClientUpdate>,
    tickets: Ticket,
    countdown: Countdown,
}

/// An input of the application for its task.
#[derive(Debug)]
pub(crate) enum TaskInput {
    Command(ClientCommand),
    Event {
        kind: String,
        at: i64,
        data: Option<Map<String, Value>>,
    },
    NoticeSeen(String),
    Revision(String, u32),
    CutConnection,
}

impl ClientAttempt {
    /// Connects to a started attempt. Its task runs on `tasks`.
    pub fn connect(
        client: &ApiClient,
        started: &AttemptStartReply,
        options: ClientOptions,
        tasks: &TaskTracker,
    ) -> Self {
        let (inputs, receiver) = mpsc::channel(INPUT_CAPACITY);
        let (sender, updates) = mpsc::channel(UPDATE_CAPACITY);
        let task = AttemptTask::new(client.clone(), started, options, receiver, sender);
        tasks.spawn(Box::pin(task.run()));
        Self {
            id: started.attempt.clone(),
            token: started.token.clone(),
            inputs,
            updates,
            unread: VecDeque::new(),
            tickets: 0,
            countdown: Countdown::default(),
        }
    }

    /// Answers a question. The ticket identifies the command in updates.
    pub async fn answer_question(&mut self, question: &str, value: Value) -> Ticket {
        self.push_command(ClientCommand::Answer {
            question: question.to_owned(),
            value,
        })
        .await
    }

    /// Marks a question for review.
    pub async fn flag_question(&mut self, question: &str, on: bool) -> Ticket {
        self.push_command(ClientCommand::Flag {
            question: question.to_owned(),
            on,
        })
        .await
    }

    /// Hands in.
    pub async fn submit(&mut self) -> Ticket {
        self.push_command(ClientCommand::Submit).await
    }

    /// Reports an integrity event, with a time by the client's clock.
    pub async fn report_event(&mut self, kind: &str, at: i64, data: Option<Map<String, Value>>) {
        self.push_input(TaskInput::Event {
            kind: kind.to_owned(),
            at,
            data,
        })
        .await;
    }

    /// Acknowledges a notice for the person.
    pub async fn acknowledge_notice(&mut self, notice: &str) {
        self.push_input(TaskInput::NoticeSeen(notice.to_owned()))
            .await;
    }

    /// Sets the revision of an answer in the stored record, to detect conflicts.
    pub async fn set_revision(&mut self, question: &str, rev: u32) {
        self.push_input(TaskInput::Revision(question.to_owned(), rev))
            .await;
    }

    /// Cuts the connection, as a bad network would.
    pub async fn cut_connection(&mut self) {
        self.push_input(TaskInput::CutConnection).await;
    }

    /// Remaining time, by the engine's last word and a monotonic clock.
    pub fn remaining_time(&self) -> Duration {
        self.countdown.remaining_at(Instant::now())
    }

    /// Returns the next update; none once the task has ended.
    ///
    /// # Cancel safety
    /// An update is taken only if it is returned.
    pub async fn next_update(&mut self) -> Option<ClientUpdate> {
        let update = match self.unread.pop_front() {
            Some(update) => update,
            None => self.updates.recv().await?,
        };
        self.countdown.apply_update(&update, Instant::now());
        Some(update)
    }

    async fn push_command(&mut self, command: ClientCommand) -> Ticket {
        // The core counts the same way, in the same order.
        self.tickets += 1;
        self.push_input(TaskInput::Command(command)).await;
        self.tickets
    }

    async fn push_input(&mut self, push: TaskInput) {
        loop {
            tokio::select! {
                biased;
                permit = self.inputs.reserve() => {
                    // If the task has ended, `next_update` reports it.
                    return permit.map_or((), |permit| permit.send(push));
                }
                Some(update) = self.updates.recv() => self.unread.push_back(update),
            }
        }
    }
}
