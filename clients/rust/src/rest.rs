//! What goes over HTTP: signing in, starting, papers, answers, results, and the
//! exchange of a client without a socket.

use std::time::Duration;

use invigil_protocol::{
    exchange,
    paper::{self, PaperDocument, StoredAnswers},
    rest::{AttemptView, LoginReply, LoginRequest, Problem, StartReply, StartRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// How long a request may take. An exchange is answered only once its commands
/// are durable, which may be long where the store is away.
const PATIENCE: Duration = Duration::from_mins(1);

/// The paper of an attempt, as it may be seen.
pub type Paper = PaperDocument;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine was not reached, or did not answer in its form.
    #[error("the engine cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    /// The engine said no.
    #[error("{} ({})", .0.title, .0.code)]
    Refused(Problem),
    /// A sealed paper does not open with this key.
    #[error("the paper does not open")]
    Sealed,
}

impl Error {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            Self::Unreachable(_) | Self::Sealed => None,
        }
    }
}

/// A person who is signed in.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// Signs in at an engine (`http://127.0.0.1:8080`).
    ///
    /// # Errors
    /// Where it refuses or cannot be reached.
    pub async fn login(base: &str, id: &str, code: &str) -> Result<Self, Error> {
        Self::login_with(reqwest::Client::new(), base, id, code).await
    }

    /// Signs in with an HTTP client that is shared, so that its connections are.
    ///
    /// # Errors
    /// Where the engine refuses or cannot be reached.
    pub async fn login_with(
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
        let reply: LoginReply = client.post("/api/v1/login", "", &request).await?;
        client.token = reply.token;
        Ok(client)
    }

    /// The engine's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The log-in token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Starts an attempt, or gets the one that is live.
    ///
    /// # Errors
    /// Where the exam's rules refuse.
    pub async fn start(&self, exam: &str, password: Option<&str>) -> Result<StartReply, Error> {
        let request = StartRequest {
            password: password.map(str::to_owned),
        };
        self.post(
            &format!("/api/v1/exams/{exam}/attempts"),
            &self.token,
            &request,
        )
        .await
    }

    /// What `GET` of a path answers to the person who is signed in.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.get_as(path, &self.token).await
    }

    /// Where an attempt stands.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn view(&self, attempt: &str) -> Result<AttemptView, Error> {
        self.get_as(&format!("/api/v1/attempts/{attempt}"), &self.token)
            .await
    }

    /// The stored answers of an attempt, with its token.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn answers(&self, attempt: &str, token: &str) -> Result<StoredAnswers, Error> {
        self.get_as(&format!("/api/v1/attempts/{attempt}/answers"), token)
            .await
    }

    /// The paper at the address that `welcome` gave, with the attempt's token.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn paper(&self, url: &str, token: &str) -> Result<Paper, Error> {
        self.get_as(url, token).await
    }

    /// Opens a sealed paper.
    ///
    /// # Errors
    /// [`Error::Sealed`] where the key is not its own.
    pub fn unseal(sealed: &paper::SealedPaper, key: &str) -> Result<Vec<paper::Section>, Error> {
        crate::connection::unseal(sealed, key).ok_or(Error::Sealed)
    }

    /// Commands without a socket.
    ///
    /// # Errors
    /// Where the engine refuses or cannot be reached.
    pub(crate) async fn exchange(
        &self,
        attempt: &str,
        token: &str,
        request: &exchange::Request,
    ) -> Result<exchange::Reply, Error> {
        self.post(
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
            .timeout(PATIENCE);
        answer(request.send().await?).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .json(body)
            .timeout(PATIENCE);
        let request = if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        };
        answer(request.send().await?).await
    }
}

async fn answer<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, Error> {
    if response.status().is_success() {
        Ok(response.json().await?)
    } else {
        Err(Error::Refused(response.json().await?))
    }
}
