//! How the rest of the engine speaks to an actor.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{candidate::ClientMessage, exchange};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::Instant,
};

use crate::{
    domain::{
        admission,
        attempt::{
            Answer, Control, Identity,
            command::{Action, CommandKey},
        },
        id::{QuestionId, SessionId},
    },
    engine::{
        nodes::Entry,
        outbox::{Closing, Outbox},
    },
};

/// One connection of one attempt, counted from 1.
pub(crate) type ConnectionId = u64;

/// What an actor can be told. Every variant is boxed: a mailbox holds room for
/// 32 messages and more, and there is one for every attempt in memory.
pub enum Message {
    /// A candidate connects.
    Open(Box<(Opening, Reply<Opened, OpeningRefusal>)>),
    /// A connection is gone.
    Gone(ConnectionId),
    /// A connection's client says something.
    Client(Box<(ConnectionId, ClientMessage)>),
    /// A candidate sends commands without a socket. With the session that begins where
    /// it has none: it may be told twice.
    Exchange(Box<(Exchange, ExchangeReply)>),
    /// A member of staff acts.
    Staff(Box<(CommandKey, Action, Reply<(), StaffRefusal>)>),
    /// Someone wants to see the attempt.
    Look(oneshot::Sender<Look>),
    /// The store went away, or came back.
    Health,
    /// The node shuts down: the connection is closed, the rest is flushed.
    Drain,
    /// The candidate is at another node now: what waits is to be written, and the
    /// attempt let go. With the number of the taking that ends so.
    Release(Box<(Option<u64>, Entry, oneshot::Sender<Release>)>),
    /// Another node has taken the attempt.
    Lost {
        /// The number of that taking.
        epoch: u64,
    },
}

/// What became of a wish to let an attempt go.
pub enum Release {
    /// Everything is written, and nothing more will be.
    Done,
    /// Whoever wants to come in may not.
    Refused(Closing),
}

/// Where an actor's answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Where the answer to an exchange goes.
pub(crate) type ExchangeReply = Reply<Box<exchange::Reply>, ExchangeRefusal>;

/// Commands without a socket.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What the client sent.
    pub request: exchange::Request,
    /// The session that it begins where it has none.
    pub fresh: SessionId,
    /// Where the client is.
    pub address: IpAddr,
    /// Whether a node may have done it before, whose answer was lost.
    pub again: bool,
}

/// What a candidate's `hello` asks for.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Who comes in.
    pub entry: Entry,
    /// What the client calls its device.
    pub device: Option<String>,
    /// Where the answers to this connection go.
    pub outbox: Arc<Outbox>,
    /// By then the client has given up, and may be at another node: what comes in
    /// later, because this node stood still, must not end what it has there.
    pub until: Instant,
}

/// A connection that the actor has taken.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// Names the connection to the actor.
    pub connection: ConnectionId,
    /// Every command up to this number is dealt with.
    pub applied_seq: u64,
    /// Every command up to this number is durable.
    pub saved_seq: u64,
    /// How often the exam wants to hear from its candidates.
    pub heartbeat: Duration,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningRefusal(pub Closing);

/// Why an exchange did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeRefusal {
    /// Another session owns the attempt.
    Superseded,
    /// The attempt is over.
    Closed,
    /// The exam refuses a second device.
    AnotherDevice,
    /// The access rules say no.
    Forbidden(admission::Refusal),
    /// The store is away, or the engine too busy; the same again later.
    Unavailable,
}

/// Why a staff command had no effect on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaffRefusal {
    /// The attempt is over.
    Closed,
    /// It is not paused.
    NotPaused,
    /// It is paused.
    AlreadyPaused,
    /// Its clock has not begun.
    NotStarted,
    /// It has no such incident.
    UnknownIncident,
    /// The store is away, or another node has it; the same again later.
    Unavailable,
}

impl StaffRefusal {
    /// The code in `result.failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NotPaused => "not_paused",
            Self::AlreadyPaused => "already_paused",
            Self::NotStarted => "not_started",
            Self::UnknownIncident => "unknown_incident",
            Self::Unavailable => "unavailable",
        }
    }
}

/// An attempt as it is in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Look {
    /// What it is.
    pub identity: Arc<Identity>,
    /// What staff and time did.
    pub control: Control,
    /// The attempt's version.
    pub version: u64,
    /// The session that owns the attempt by what is durable.
    // Optional, as nodes of an earlier release do not say it.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Commands of it that are durable.
    pub saved_seq: u64,
    /// Answers and flags, by question.
    pub answers: Vec<(QuestionId, Answer)>,
}

/// The way to reach an actor.
#[derive(Debug, Clone)]
pub struct Handle {
    mailbox: mpsc::Sender<Message>,
}

impl Handle {
    pub(super) const fn new(mailbox: mpsc::Sender<Message>) -> Self {
        Self { mailbox }
    }

    /// Delivers a message, waiting while the mailbox is full.
    ///
    /// # Errors
    /// Gives the message back where the actor has ended; its successor may be
    /// asked.
    pub async fn deliver(&self, message: Message) -> Result<(), Message> {
        self.mailbox.send(message).await.map_err(|error| error.0)
    }

    /// Tells the actor that a connection is gone. Where the actor has ended,
    /// nobody is left to care.
    pub async fn gone(&self, connection: ConnectionId) {
        self.mailbox.send(Message::Gone(connection)).await.ok();
    }

    /// Hands the actor what a client said. False: the actor has ended.
    pub async fn client(&self, connection: ConnectionId, message: ClientMessage) -> bool {
        let message = Message::Client(Box::new((connection, message)));
        match self.mailbox.try_send(message) {
            Ok(()) => true,
            // Boxed, as it is rare and would be most of a connection's memory.
            Err(TrySendError::Full(message)) => Box::pin(self.mailbox.send(message)).await.is_ok(),
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Whether the actor has ended.
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// Whether two handles reach the same actor.
    pub fn same_actor(&self, other: &Self) -> bool {
        self.mailbox.same_channel(&other.mailbox)
    }
}
