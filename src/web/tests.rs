//! Tests of the web layer with a real engine and store, without a socket.

mod access;

use std::{collections::HashMap, future, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header, request},
    response::Response,
    routing::get,
};
use expect_test::expect;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use invigil_cluster::local::LocalBus;
use invigil_domain::{
    exam::definition::{self, FileFormat},
    roster,
};
use invigil_engine::{
    ConnectionLimits as EngineLimits, EngineClock, EngineSettings, SystemEntropy, WriterSettings,
};
use invigil_store::StoredExam;
use invigil_store_sql::sqlite::SqliteStore;

const EXAM: &str = include_str!("../../config/samples/demo-quiz.yaml");
const ROSTER: &str = include_str!("../../config/samples/roster.csv");

/// A web app with a store of its own, the sample people and an exam.
pub(super) struct WebBench {
    pub(super) app: AppState,
    _data: tempfile::TempDir,
}

impl WebBench {
    pub(super) async fn new(settings: &[(&str, &str)]) -> Self {
        let variables: HashMap<_, _> = settings
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut config = Config::from_layers(None, Some(variables)).unwrap();
        let data = tempfile::tempdir().unwrap();
        data.path().clone_into(&mut config.database.data);
        let store = Arc::new(SqliteStore::open(data.path()).await.unwrap());
        fill_store(&*store).await;

        let metrics = Arc::new(Metrics::default());
        let engine = Engine::start_up(
            Arc::clone(&store) as Arc<dyn AttemptStore>,
            Arc::clone(&store) as Arc<dyn CatalogStore>,
            engine_settings(),
            Arc::clone(&metrics),
        )
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let stores = WebStores {
            attempts: Arc::clone(&store) as Arc<dyn AttemptStore>,
            catalog: Arc::clone(&store) as Arc<dyn CatalogStore>,
            evidence: store,
        };
        let app = WebApp::new(engine, stores, metrics, None, config, stop)
            .await
            .unwrap();
        Self { app, _data: data }
    }

    async fn send_request(&self, request: Request<Body>) -> Response {
        router(&self.app).oneshot(request).await.unwrap()
    }

    async fn post_login(&self, id: &str, code: &str) -> Response {
        let body = json!({ "id": id, "code": code });
        self.send_request(
            post_json("/api/v1/login")
                .body(Body::from(body.to_string()))
                .unwrap(),
        )
        .await
    }

    /// Returns the session cookie of a person, as a browser sends it.
    async fn session_cookie(&self, id: &str, code: &str) -> String {
        let response = self.post_login(id, code).await;
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn login_token(&self, id: &str, code: &str) -> String {
        let answer = json_of(self.post_login(id, code).await).await;
        answer["token"].as_str().unwrap().to_owned()
    }
}

async fn fill_store(catalog: &dyn CatalogStore) {
    let parsed = definition::parse_exam(EXAM, FileFormat::Yaml).unwrap();
    let exam = StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: parsed.definition,
        corrections: Vec::new(),
    };
    catalog.upsert_exams(&[exam]).await.unwrap();
    let key = access_code_key(catalog).await.unwrap();
    let people: Vec<_> = roster::parse_roster(ROSTER)
        .unwrap()
        .into_iter()
        .map(|entry| {
            let hash = token::access_code_hash(&key, &entry.person.id, &entry.code);
            (entry.person, hash)
        })
        .collect();
    catalog.upsert_people(&people).await.unwrap();
}

fn engine_settings() -> EngineSettings {
    EngineSettings {
        node: "bench".into(),
        bus: LocalBus::single_node("bench".into()),
        clock: EngineClock::system(),
        entropy: Arc::new(SystemEntropy),
        limits: EngineLimits {
            frame_bytes: 16_384,
            answer_bytes: 1_048_576,
            commands_per_second: 20,
            burst: 40,
            unsaved: 256,
        },
        flush: WriterSettings {
            max_delay: Duration::from_millis(5),
            attempts_max: 1000,
        },
        outage_min: Duration::from_secs(2),
        idle_stop: Duration::from_mins(1),
        records: None,
    }
}

fn request_builder(method: Method, path: &str) -> request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "exam.example")
}

fn get_request(path: &str) -> Request<Body> {
    request_builder(Method::GET, path)
        .body(Body::empty())
        .unwrap()
}

fn post_json(path: &str) -> request::Builder {
    request_builder(Method::POST, path).header(header::CONTENT_TYPE, "application/json")
}

async fn json_of(response: Response) -> Value {
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Returns status and code of a response, which must be a problem.
async fn problem_of(response: Response) -> String {
    let status = response.status();
    let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
    assert_eq!(media_type.unwrap(), problem::MEDIA_TYPE, "{status}");
    let body = json_of(response).await;
    assert_eq!(body["status"], status.as_u16());
    format!("{} {}", status.as_u16(), body["code"].as_str().unwrap())
}

#[tokio::test]
async fn every_response_keeps_browsers_safe_and_has_an_id() {
    let bench = WebBench::new(&[]).await;
    for path in [
        "/",
        "/healthz",
        "/metrics",
        "/api/v1/exams",
        "/nothing",
        "/api/docs/",
    ] {
        let response = bench.send_request(get_request(path)).await;
        let headers = response.headers();
        for name in [
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cache-control",
        ] {
            assert!(headers.contains_key(name), "{path} without {name}");
        }
        assert_eq!(headers["x-request-id"].len(), 16, "{path}");
    }
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_another_replaced() {
    let bench = WebBench::new(&[]).await;
    let too_long = "a".repeat(65);
    for (given, kept) in [
        ("abc-123_X", true),
        ("a b", false),
        ("{}", false),
        (&too_long, false),
    ] {
        let request = request_builder(Method::GET, "/healthz").header("x-request-id", given);
        let response = bench
            .send_request(request.body(Body::empty()).unwrap())
            .await;
        assert_eq!(response.headers()["x-request-id"] == given, kept, "{given}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_a_problem() {
    let bench = WebBench::new(&[]).await;
    let token = bench.login_token("ada", "apple-1").await;
    let cases = [
        (get_request("/nothing"), "404 not_found"),
        (get_request("/assets/nothing.js"), "404 not_found"),
        (get_request("/api/v1/login"), "405 method_not_allowed"),
        (get_request("/api/v1/exams"), "401 unauthorized"),
        (
            post_json("/api/v1/login").body(Body::from("{")).unwrap(),
            "400 bad_request",
        ),
        (
            post_json("/api/v1/login").body(Body::from("{}")).unwrap(),
            "400 bad_request",
        ),
        (
            post_json("/api/v1/login")
                .body(Body::from(vec![b' '; 70_000]))
                .unwrap(),
            "413 too_large",
        ),
        (
            request_builder(Method::POST, "/api/v1/login")
                .body(Body::from("{}"))
                .unwrap(),
            "415 unsupported_media_type",
        ),
        (
            request_builder(Method::GET, "/api/v1/attempts/none").with_bearer(&token),
            "404 not_found",
        ),
        (
            request_builder(Method::GET, "/api/v1/attempts/7").with_bearer(&token),
            "404 not_found",
        ),
        (
            request_builder(Method::GET, "/api/v1/attempts/7").with_bearer("a.b"),
            "401 unauthorized",
        ),
        (
            request_builder(Method::GET, "/api/v1/exams/DEMO-QUIZ/results").with_bearer(&token),
            "403 forbidden",
        ),
        (
            request_builder(Method::POST, "/api/v1/exams/NONE/attempts").with_bearer(&token),
            "403 not_enrolled",
        ),
        (get_request("/ws/v1/attempt"), "400 bad_request"),
    ];
    for (request, expected) in cases {
        let shown = format!("{} {}", request.method(), request.uri());
        assert_eq!(
            problem_of(bench.send_request(request).await).await,
            expected,
            "{shown}"
        );
    }
}

trait WithBearer {
    fn with_bearer(self, token: &str) -> Request<Body>;
}

impl WithBearer for request::Builder {
    fn with_bearer(self, token: &str) -> Request<Body> {
        self.header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap()
    }
}

#[tokio::test]
async fn a_cookie_alone_counts_only_from_our_own_pages() {
    let bench =
        WebBench::new(&[("INVIGIL__SERVER__ALLOWED_ORIGINS", "https://other.example")]).await;
    let cookie = bench.session_cookie("ada", "apple-1").await;
    let start = |origin: Option<&str>| {
        let mut request =
            post_json("/api/v1/exams/DEMO-QUIZ/attempts").header(header::COOKIE, &cookie);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        bench.send_request(request.body(Body::empty()).unwrap())
    };
    for origin in [
        None,
        Some("http://exam.example"),
        Some("https://other.example"),
    ] {
        assert!(start(origin).await.status().is_success(), "{origin:?}");
    }
    for origin in ["null", "https://evil.example", "http://exam.example:81"] {
        let problem = problem_of(start(Some(origin)).await).await;
        assert_eq!(problem, "403 origin_not_allowed", "{origin}");
    }
}

#[tokio::test]
async fn signing_in_from_another_site_is_refused() {
    let bench = WebBench::new(&[]).await;
    let request = post_json("/api/v1/login").header(header::ORIGIN, "https://evil.example");
    let body = Body::from(r#"{"id":"ada","code":"apple-1"}"#);
    let response = bench.send_request(request.body(body).unwrap()).await;
    assert_eq!(problem_of(response).await, "403 origin_not_allowed");
}

#[tokio::test]
async fn a_token_counts_from_everywhere() {
    let bench = WebBench::new(&[]).await;
    let token = bench.login_token("ada", "apple-1").await;
    let request = post_json("/api/v1/exams/DEMO-QUIZ/attempts").header(header::ORIGIN, "null");
    assert_eq!(
        bench
            .send_request(request.with_bearer(&token))
            .await
            .status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_wrong_token_is_not_helped_by_a_cookie() {
    let bench = WebBench::new(&[]).await;
    let cookie = bench.session_cookie("ada", "apple-1").await;
    let request = request_builder(Method::GET, "/api/v1/exams").header(header::COOKIE, &cookie);
    let response = bench.send_request(request.with_bearer("wrong")).await;
    assert_eq!(problem_of(response).await, "401 unauthorized");
}

#[tokio::test]
async fn upgrades_from_other_sites_are_refused() {
    let bench = WebBench::new(&[]).await;
    let request = request_builder(Method::GET, "/ws/v1/attempt")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::ORIGIN, "https://evil.example");
    let response = bench
        .send_request(request.body(Body::empty()).unwrap())
        .await;
    assert_eq!(problem_of(response).await, "403 origin_not_allowed");
}

#[tokio::test]
async fn configured_origins_may_read_the_answers() {
    let bench =
        WebBench::new(&[("INVIGIL__SERVER__ALLOWED_ORIGINS", "https://other.example")]).await;
    for (origin, allowed) in [
        ("https://other.example", true),
        ("https://evil.example", false),
    ] {
        let request = request_builder(Method::OPTIONS, "/api/v1/exams")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization");
        let response = bench
            .send_request(request.body(Body::empty()).unwrap())
            .await;
        let granted = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(granted.is_some(), allowed, "{origin}");
    }
    let closed = WebBench::new(&[]).await;
    let request =
        request_builder(Method::GET, "/healthz").header(header::ORIGIN, "https://other.example");
    let response = closed
        .send_request(request.body(Body::empty()).unwrap())
        .await;
    assert!(
        !response
            .headers()
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
}

#[tokio::test]
async fn signing_out_ends_the_cookie_and_the_token() {
    let bench = WebBench::new(&[]).await;
    let cookie = bench.session_cookie("ada", "apple-1").await;
    let exams = || request_builder(Method::GET, "/api/v1/exams").header(header::COOKIE, &cookie);
    let before = bench
        .send_request(exams().body(Body::empty()).unwrap())
        .await;
    assert_eq!(before.status(), StatusCode::OK);
    let out = post_json("/api/v1/logout").header(header::COOKIE, &cookie);
    let out = bench.send_request(out.body(Body::empty()).unwrap()).await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(
        out.headers()[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let after = bench
        .send_request(exams().body(Body::empty()).unwrap())
        .await;
    assert_eq!(problem_of(after).await, "401 unauthorized");
}

#[tokio::test]
async fn a_locked_name_is_locked_for_the_right_code_too() {
    let bench = WebBench::new(&[("INVIGIL__LOGIN__FAILURES_PER_NAME", "3")]).await;
    for _ in 0..3 {
        let problem = problem_of(bench.post_login("ada", "wrong").await).await;
        assert_eq!(problem, "401 wrong_credentials");
    }
    let locked = bench.post_login("ada", "apple-1").await;
    assert!(locked.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(problem_of(locked).await, "429 rate_limited");
    assert_eq!(
        bench.post_login("ben", "banana-2").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let bench = WebBench::new(&[]).await;
    bench.send_request(get_request("/api/v1/attempts/1")).await;
    bench.send_request(get_request("/api/v1/attempts/2")).await;
    bench.send_request(get_request("/secret-path")).await;
    let figures = bench.app.metrics.encode_text();
    let counted: Vec<_> = figures
        .lines()
        .filter(|line| line.starts_with("invigil_http_requests_total"))
        .collect();
    let expected = "invigil_http_requests_total{route=\"/api/v1/attempts/{id}\",status=\"401\"} 2";
    assert!(counted.contains(&expected), "{counted:?}");
    assert!(!figures.contains("secret-path"));
}

#[tokio::test]
async fn a_node_that_stops_is_alive_but_not_ready() {
    let bench = WebBench::new(&[]).await;
    assert_eq!(
        bench.send_request(get_request("/readyz")).await.status(),
        StatusCode::OK
    );
    bench.app.stop.cancel();
    assert_eq!(
        bench.send_request(get_request("/healthz")).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        problem_of(bench.send_request(get_request("/readyz")).await).await,
        "503 overloaded"
    );
}

#[tokio::test]
async fn a_panic_and_a_hang_end_in_a_problem() {
    let bench = WebBench::new(&[("INVIGIL__SERVER__REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let routes = Router::new()
        .route("/panics", get(async || -> () { panic!("on purpose") }))
        .route("/hangs", get(async || future::pending::<()>().await));
    let routes = layers::wrap_routes(routes, &bench.app).with_state(Arc::clone(&bench.app));
    let panicked = routes
        .clone()
        .oneshot(get_request("/panics"))
        .await
        .unwrap();
    assert!(panicked.headers().contains_key("x-frame-options"));
    assert_eq!(problem_of(panicked).await, "500 internal");
    let hung = routes.oneshot(get_request("/hangs")).await.unwrap();
    assert_eq!(problem_of(hung).await, "408 timed_out");
}

#[tokio::test]
async fn descriptions_are_served_compressed_and_only_once() {
    let bench = WebBench::new(&[]).await;
    for path in ["/api/openapi.json", "/asyncapi.json", "/schemas/exam.json"] {
        let asked = request_builder(Method::GET, path).header(header::ACCEPT_ENCODING, "gzip");
        let response = bench.send_request(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(
            response.headers()[header::CONTENT_ENCODING],
            "gzip",
            "{path}"
        );
        let tag = response.headers()[header::ETAG].clone();
        let again = request_builder(Method::GET, path).header(header::IF_NONE_MATCH, tag);
        let again = bench.send_request(again.body(Body::empty()).unwrap()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
    }
}

#[tokio::test]
async fn an_exam_tells_a_candidate_what_is_needed_to_begin() {
    let bench = WebBench::new(&[]).await;
    let token = bench.login_token("ada", "apple-1").await;
    bench
        .send_request(post_json("/api/v1/exams/DEMO-QUIZ/attempts").with_bearer(&token))
        .await;
    let response = bench
        .send_request(request_builder(Method::GET, "/api/v1/exams").with_bearer(&token))
        .await;
    let mut body = json_of(response).await;
    let exam = &mut body["exams"][0];
    exam["instructions"] = Value::Null;
    exam["attempts"][0]["started_at"] = Value::Null;
    expect![[r#"
        {
          "attempts": [
            {
              "deadline_at": null,
              "id": "1",
              "number": 1,
              "result_available": false,
              "started_at": null,
              "status": "started",
              "submitted_at": null
            }
          ],
          "available_from_at": null,
          "available_until_at": null,
          "code": "DEMO-QUIZ",
          "duration_minutes": 10,
          "instructions": null,
          "lobby_minutes": 15,
          "max_attempts": 5,
          "password_required": false,
          "questions": 5,
          "status": "open",
          "title": "Open-book quiz: units and orders of magnitude",
          "type": "quiz"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(exam).unwrap());
}
