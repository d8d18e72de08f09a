//! Messages by which the rest of the engine reaches an actor.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{candidate::ClientMessage, exchange};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::Instant,
};

pub(crate) use crate::peers::messages::{AttemptSnapshot, ExchangeRefusal, StaffRefusal};
use crate::{
    commit::outbox::{CloseReason, Outbox},
    peers::messages::JoinRequest,
};
use invigil_domain::{
    attempt::command::{CommandKey, StaffAction},
    id::SessionId,
};

/// Number of a connection within its attempt, from 1.
pub(crate) type ConnectionId = u64;

/// Message to an actor. Contents are boxed: a mailbox allocates room for 32 messages and
/// more, and every attempt in memory has one.
pub enum ActorMessage {
    /// A candidate connects.
    Connect(Box<(ConnectRequest, ReplySender<Connected, ConnectRefusal>)>),
    /// A connection has ended.
    Disconnected(ConnectionId),
    /// A connection's client sent a message.
    Client(Box<(ConnectionId, ClientMessage)>),
    /// A candidate sends commands without a socket. Names the session to begin, because
    /// it may be delivered twice.
    Exchange(Box<(ExchangeInput, ExchangeReplySender)>),
    /// A staff command.
    Staff(Box<(CommandKey, StaffAction, ReplySender<(), StaffRefusal>)>),
    /// A caller wants a snapshot of the attempt.
    Snapshot(oneshot::Sender<AttemptSnapshot>),
    /// The engine's health changed.
    HealthChanged,
    /// The node shuts down: the connection is closed, the rest is flushed.
    Drain,
    /// The candidate is at another node now: write what is pending, then release the
    /// attempt. With the epoch of the lease that ends.
    Release(Box<(Option<u64>, JoinRequest, oneshot::Sender<ReleaseOutcome>)>),
    /// Another node has acquired the attempt.
    Lost {
        /// Epoch of that node's lease.
        epoch: u64,
    },
}

/// Outcome of a request to release an attempt.
pub enum ReleaseOutcome {
    /// Everything is written, and nothing more will be.
    Released,
    /// The candidate may not join at the other node.
    Refused(CloseReason),
}

/// Channel for an actor's reply.
pub(crate) type ReplySender<T, E> = oneshot::Sender<Result<T, E>>;

/// Channel for the reply to an exchange.
pub(crate) type ExchangeReplySender = ReplySender<Box<exchange::ExchangeResponse>, ExchangeRefusal>;

/// Commands without a socket.
#[derive(Debug, Clone)]
pub struct ExchangeInput {
    /// Request of the client.
    pub request: exchange::ExchangeRequest,
    /// Session to begin if the request has none.
    pub fresh: SessionId,
    /// Address of the client.
    pub address: IpAddr,
    /// True if a node may have applied it already and its reply was lost.
    pub again: bool,
}

/// Request of a candidate's `hello`.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// The candidate's request to join.
    pub join: JoinRequest,
    /// The client's name for its device.
    pub device: Option<String>,
    /// Queue of messages to the connection.
    pub outbox: Arc<Outbox>,
    /// The client has given up by then, and may be at another node: a request that is
    /// handled later, because this node stood still, must not end the connection there.
    pub until: Instant,
}

/// A connection that the actor accepted.
#[derive(Debug, Clone, Copy)]
pub struct Connected {
    /// Id of the connection.
    pub connection: ConnectionId,
    /// Every command up to this number has been handled.
    pub applied_seq: u64,
    /// Every command up to this number is durable.
    pub saved_seq: u64,
    /// Interval at which the exam expects heartbeats.
    pub heartbeat: Duration,
}

/// Reason for refusing a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRefusal(pub CloseReason);

/// Sender of messages to an actor.
#[derive(Debug, Clone)]
pub struct ActorHandle {
    mailbox: mpsc::Sender<ActorMessage>,
}

impl ActorHandle {
    pub(crate) const fn new(mailbox: mpsc::Sender<ActorMessage>) -> Self {
        Self { mailbox }
    }

    /// Delivers a message; waits while the mailbox is full.
    ///
    /// # Errors
    /// Returns the message if the actor has ended; a successor may take it.
    pub async fn deliver_message(&self, message: ActorMessage) -> Result<(), ActorMessage> {
        self.mailbox.send(message).await.map_err(|error| error.0)
    }

    /// Reports the end of a connection. An actor that has ended needs no report.
    pub async fn report_disconnect(&self, connection: ConnectionId) {
        self.mailbox
            .send(ActorMessage::Disconnected(connection))
            .await
            .ok();
    }

    /// Delivers a client's message. Returns false if the actor has ended.
    pub async fn deliver_client_message(
        &self,
        connection: ConnectionId,
        message: ClientMessage,
    ) -> bool {
        let message = ActorMessage::Client(Box::new((connection, message)));
        match self.mailbox.try_send(message) {
            Ok(()) => true,
            // Boxed: rare, and otherwise most of a connection's memory.
            Err(TrySendError::Full(message)) => Box::pin(self.mailbox.send(message)).await.is_ok(),
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// True if the actor has ended.
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// True if two handles reach the same actor.
    pub fn same_actor(&self, other: &Self) -> bool {
        self.mailbox.same_channel(&other.mailbox)
    }
}
