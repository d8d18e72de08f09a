//! Requests over HTTP: signing in, starting, papers, answers, and the exchange of a
//! client without a socket.

use std::time::Duration;

use invigil_protocol::{
    exchange,
    paper::{self, PaperDocument, RecordedAnswers},
    rest::{AttemptStart, AttemptStartReply, AttemptView, LoginReply, LoginRequest, ProblemReply},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Timeout of a request. The response to an exchange comes once its commands are
/// durable, which may take long while the store is away.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The paper of an attempt: sealed before the exam opens.
pub type AttemptPaper = PaperDocument;

/// Error of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine was not reached, or its response was invalid.
    #[error("the engine cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    /// The engine refused the request.
    #[error("{} ({})", .0.title, .0.code)]
    Refused(ProblemReply),
    /// A sealed paper does not open with this key.
    #[error("the key does not open the paper")]
    Sealed,
}

impl Error {
    /// Returns the stable code of a refusal.
    pub fn refusal_code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            Self::Unreachable(_) | Self::Sealed => None,
        }
    }
}

/// A client with the token of a person who has signed in.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl ApiClient {
    /// Signs in at an engine (`http://127.0.0.1:8080`).
    ///
    /// # Errors
    /// If the engine refuses or cannot be reached.
    pub async fn sign_in(base: &str, id: &str, code: &str) -> Result<Self, Error> {
        Self::sign_in_with(reqwest::Client::new(), base, id, code).await
    }

    /// Signs in with a shared HTTP client, which shares its connections.
    ///
    /// # Errors
    /// If the engine refuses or cannot be reached.
    pub async fn sign_in_with(
        http: reqwest::Client,
        base: &str,
        id: &str,
        code: &str,
    ) -> Result<Self, Error> {
        let base = base.trim_end_matches('/').to_owned();
        let mut client = Self {
            http,
            base,
            token: String::new(),
        };
        let request = LoginRequest {
            id: id.to_owned(),
            code: code.to_owned(),
        };
        let reply: LoginReply = client.post_json("/api/v1/login", "", &request).await?;
        client.token = reply.token;
        Ok(client)
    }

    /// The engine's address.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// The login token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Starts an attempt, or returns the live one.
    ///
    /// # Errors
    /// If the exam's rules refuse.
    pub async fn start_attempt(
        &self,
        exam: &str,
        password: Option<&str>,
    ) -> Result<AttemptStartReply, Error> {
        let request = AttemptStart {
            password: password.map(str::to_owned),
        };
        self.post_json(
            &format!("/api/v1/exams/{exam}/attempts"),
            &self.token,
            &request,
        )
        .await
    }

    /// Returns the response to `GET` of a path.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn get_json(&self, path: &str) -> Result<Value, Error> {
        self.get_as(path, &self.token).await
    }

    /// Returns the status of an attempt.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn fetch_view(&self, attempt: &str) -> Result<AttemptView, Error> {
        self.get_as(&format!("/api/v1/attempts/{attempt}"), &self.token)
            .await
    }

    /// Returns the stored answers of an attempt, by its token.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn fetch_answers(
        &self,
        attempt: &str,
        token: &str,
    ) -> Result<RecordedAnswers, Error> {
        self.get_as(&format!("/api/v1/attempts/{attempt}/answers"), token)
            .await
    }

    /// Returns the paper at the path from `welcome`, by the attempt's token.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn fetch_paper(&self, url: &str, token: &str) -> Result<AttemptPaper, Error> {
        self.get_as(url, token).await
    }

    /// Opens a sealed paper.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the key is wrong.
    pub fn unseal_paper(
        sealed: &paper::SealedPaper,
        key: &str,
    ) -> Result<Vec<paper::PaperSection>, Error> {
        crate::connection::unseal_paper(sealed, key).ok_or(Error::Sealed)
    }

    /// Sends commands and signals without a socket.
    ///
    /// # Errors
    /// If the engine refuses or cannot be reached.
    pub(crate) async fn send_exchange(
        &self,
        attempt: &str,
        token: &str,
        request: &exchange::ExchangeRequest,
    ) -> Result<exchange::ExchangeResponse, Error> {
        self.post_json(
            &format!("/api/v1/attempts/{attempt}/exchange"),
            token,
            request,
        )
        .await
    }

    async fn get_as<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<T, Error> {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(token)
            .timeout(REQUEST_TIMEOUT);
        decode_response(request.send().await?).await
    }

    async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .json(body)
            .timeout(REQUEST_TIMEOUT);
        let request = if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        };
        decode_response(request.send().await?).await
    }
}

async fn decode_response<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, Error> {
    if response.status().is_success() {
        Ok(response.json().await?)
    } else {
        Err(Error::Refused(response.json().await?))
    }
}
