//! An attempt, as the application holds it.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use invigil_protocol::{codec::Encoding, rest::StartReply};
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    clock::Countdown,
    core::{Command, Ticket, Update},
    rest::Client,
    task::Task,
};

/// What may wait for the task. It takes it as fast as it comes, so this only
/// bridges moments; a caller waits where it is full.
const PUSHES: usize = 1_024;

/// Updates that may wait for the application; then the socket is read no more.
const UPDATES: usize = 1_024;

/// How a client connects.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How messages are encoded.
    pub encoding: Encoding,
    /// The source address of sockets, where it matters.
    pub from: Option<IpAddr>,
    /// What the device is called, the same at every visit.
    pub device: Option<String>,
}

/// An attempt that is being taken. Dropping it ends the connection; what is not
/// saved by then is lost with it.
#[derive(Debug)]
pub struct Attempt {
    /// The attempt's id.
    pub id: String,
    /// The attempt's token.
    pub token: String,
    pushes: mpsc::Sender<Push>,
    updates: mpsc::Receiver<Update>,
    /// Updates that were taken while a push waited: the task may wait for the
    /// application just as the application waits for the task.
    unread: VecDeque<Update>,
    tickets: Ticket,
    countdown: Countdown,
}

/// What the application gives its task.
#[derive(Debug)]
pub(crate) enum Push {
    Command(Command),
    Event {
        kind: String,
        at: i64,
        data: Option<Map<String, Value>>,
    },
    Seen(String),
    Know(String, u32),
    Cut,
}

impl Attempt {
    /// Takes an attempt that was started. Its task runs on `tasks`.
    pub fn take(
        client: &Client,
        started: &StartReply,
        options: Options,
        tasks: &TaskTracker,
    ) -> Self {
        let (pushes, receiver) = mpsc::channel(PUSHES);
        let (sender, updates) = mpsc::channel(UPDATES);
        let task = Task::new(client.clone(), started, options, receiver, sender);
        tasks.spawn(Box::pin(task.run()));
        Self {
            id: started.attempt.clone(),
            token: started.token.clone(),
            pushes,
            updates,
            unread: VecDeque::new(),
            tickets: 0,
            countdown: Countdown::default(),
        }
    }

    /// Answers a question. The ticket names the command in updates.
    pub async fn answer(&mut self, question: &str, value: Value) -> Ticket {
        self.command(Command::Answer {
            question: question.to_owned(),
            value,
        })
        .await
    }

    /// Marks a question for review.
    pub async fn flag(&mut self, question: &str, on: bool) -> Ticket {
        self.command(Command::Flag {
            question: question.to_owned(),
            on,
        })
        .await
    }

    /// Hands in.
    pub async fn submit(&mut self) -> Ticket {
        self.command(Command::Submit).await
    }

    /// Reports an integrity event, at a time of the client's own clock.
    pub async fn event(&mut self, kind: &str, at: i64, data: Option<Map<String, Value>>) {
        self.push(Push::Event {
            kind: kind.to_owned(),
            at,
            data,
        })
        .await;
    }

    /// Says that the person has seen a notice that asks for it.
    pub async fn seen(&mut self, notice: &str) {
        self.push(Push::Seen(notice.to_owned())).await;
    }

    /// Tells the revision of an answer in the stored record, for conflicts.
    pub async fn know(&mut self, question: &str, rev: u32) {
        self.push(Push::Know(question.to_owned(), rev)).await;
    }

    /// Cuts the connection, as a bad network would.
    pub async fn cut(&mut self) {
        self.push(Push::Cut).await;
    }

    /// What is left of the time, by what the engine said and a monotonic clock.
    pub fn remaining(&self) -> Duration {
        self.countdown.left(Instant::now())
    }

    /// The next thing that happens. None: the task has ended.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub async fn next(&mut self) -> Option<Update> {
        let update = match self.unread.pop_front() {
            Some(update) => update,
            None => self.updates.recv().await?,
        };
        self.countdown.note(&update, Instant::now());
        Some(update)
    }

    async fn command(&mut self, command: Command) -> Ticket {
        // The core counts the same way, in the same order.
        self.tickets += 1;
        self.push(Push::Command(command)).await;
        self.tickets
    }

    async fn push(&mut self, push: Push) {
        loop {
            tokio::select! {
                biased;
                permit = self.pushes.reserve() => {
                    // Where the task has ended, `next` says so.
                    return permit.map_or((), |permit| permit.send(push));
                }
                Some(update) = self.updates.recv() => self.unread.push_back(update),
            }
        }
    }
}
