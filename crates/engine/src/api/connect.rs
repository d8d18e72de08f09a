//! Connections of candidates.

use tokio::{sync::oneshot, time::Instant};

use crate::{
    Engine,
    attempt::{
        mailbox::{ActorHandle, ActorMessage, ConnectRefusal, ConnectRequest, Connected},
        registry::{LoadError, LoadReason},
    },
    commit::outbox::CloseReason,
};
use invigil_domain::id::AttemptId;
use invigil_protocol::code::CloseCode;
use invigil_telemetry::error_chain;

impl Engine {
    /// Opens a candidate's connection. The handle delivers its later messages.
    ///
    /// # Errors
    /// The reason to close the connection with.
    pub async fn connect_candidate(
        &self,
        attempt: AttemptId,
        request: ConnectRequest,
    ) -> Result<(ActorHandle, Connected), ConnectRefusal> {
        let overloaded = || ConnectRefusal(CloseReason::new(CloseCode::Overloaded));
        let registry = &self.inner.registry;
        let (reason, until) = (LoadReason::from_connect(&request), request.until);
        loop {
            let handle = match registry.get_or_load(attempt, &reason).await {
                Ok(Some(handle)) => handle,
                Ok(None) => return Err(ConnectRefusal(CloseReason::new(CloseCode::Unauthorized))),
                Err(LoadError::Refused(closing)) => return Err(ConnectRefusal(closing)),
                Err(LoadError::Elsewhere { .. }) => return Err(overloaded()),
                Err(LoadError::Failed(error)) => {
                    let error = error_chain(&error);
                    tracing::warn!(attempt.id = %attempt, error, "cannot load");
                    return Err(overloaded());
                }
            };
            let (reply, opened) = oneshot::channel();
            let message = ActorMessage::Connect(Box::new((request.clone(), reply)));
            if handle.deliver_message(message).await.is_ok() {
                // A refusal waits for a commit, but no longer than the client does.
                let opened = tokio::time::timeout_at(until, opened).await;
                match opened.map_err(|_late| overloaded())? {
                    Ok(opened) => return Ok((handle, opened?)),
                    Err(_ended) if handle.is_closed() && Instant::now() < until => {}
                    Err(_) => return Err(overloaded()),
                }
            }
        }
    }
}
