//! Commands of candidates without a socket.

use std::net::IpAddr;

use crate::{
    Engine,
    attempt::mailbox::{ActorMessage, ExchangeInput},
    node::entropy::fresh_session,
    peers::{
        messages::{ExchangeRefusal, PeerRequest, PeerResponse},
        routing::Dispatched,
    },
};
use invigil_domain::id::AttemptId;
use invigil_protocol::exchange::{ExchangeRequest, ExchangeResponse};

impl Engine {
    /// Applies commands sent without a socket, with the JSON they came in. Replies once
    /// they are durable.
    ///
    /// # Errors
    /// The refusal, or `Unavailable` if durability is unknown.
    pub async fn run_exchange(
        &self,
        attempt: AttemptId,
        request: ExchangeRequest,
        json: &str,
        address: IpAddr,
    ) -> Result<Box<ExchangeResponse>, ExchangeRefusal> {
        // Drawn once, so that a repeated exchange begins one session only.
        let fresh = fresh_session(&*self.inner.shared.entropy).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            ExchangeRefusal::Unavailable
        })?;
        let asked = |again| PeerRequest::Exchange {
            attempt,
            request: json.to_owned(),
            fresh: Some(fresh.clone()),
            address,
            again,
        };
        let message = |reply, again| {
            let exchange = ExchangeInput {
                request: request.clone(),
                fresh: fresh.clone(),
                address,
                again,
            };
            ActorMessage::Exchange(Box::new((exchange, reply)))
        };
        match self.dispatch_to_owner(attempt, asked, message).await {
            Dispatched::Here(done) | Dispatched::There(PeerResponse::Exchanged(done)) => done,
            Dispatched::NoSuchAttempt => Err(ExchangeRefusal::Closed),
            Dispatched::There(_) | Dispatched::Unknown => Err(ExchangeRefusal::Unavailable),
        }
    }
}
