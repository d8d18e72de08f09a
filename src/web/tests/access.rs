//! Every route refuses the callers whom its declaration shuts out.

use super::*;

/// Callers of the engine's routes, each with a token.
struct SampleCallers {
    /// The attempt's token.
    attempt: String,
    /// A candidate of the exam with no attempt.
    other: String,
    /// A proctor of the exam.
    proctor: String,
}

/// Returns a body that the route parses, so that the check of the caller is reached.
fn sample_body(path: &str) -> Value {
    match path {
        "/api/v1/attempts/{id}/evidence" => {
            json!({"kind": "snapshot", "content_type": "image/png", "bytes": 1})
        }
        "/api/v1/exams/{code}/commands" => {
            json!({"id": "c", "action": "pause", "target": {"exam": "DEMO-QUIZ"}})
        }
        _ => json!({}),
    }
}

/// Returns the tokens of callers whom the declaration shuts out; none if it admits
/// everybody. The management side needs PostgreSQL and has a test of its own.
fn shut_out(access: RouteAccess, callers: &SampleCallers) -> Option<Vec<&str>> {
    let SampleCallers {
        attempt,
        other,
        proctor,
    } = callers;
    match access {
        RouteAccess::Public
        | RouteAccess::Link
        | RouteAccess::FirstMessage
        | RouteAccess::OwnAccount
        | RouteAccess::Manager
        | RouteAccess::Administrator => None,
        RouteAccess::Person => Some(vec![attempt]),
        RouteAccess::Attempt => Some(vec![other]),
        RouteAccess::Owner => Some(vec![other, proctor]),
        RouteAccess::ExamStaff => Some(vec![attempt, other]),
        RouteAccess::ExamTeacher => Some(vec![attempt, other, proctor]),
    }
}

#[tokio::test]
async fn every_route_refuses_those_whom_its_declaration_shuts_out() {
    let bench = WebBench::new(&[]).await;
    let ada = bench.login_token("ada", "apple-1").await;
    let started = bench
        .send_request(post_json("/api/v1/exams/DEMO-QUIZ/attempts").with_bearer(&ada))
        .await;
    let started = json_of(started).await;
    let callers = SampleCallers {
        attempt: started["token"].as_str().unwrap().to_owned(),
        other: bench.login_token("ben", "banana-2").await,
        proctor: bench.login_token("paula", "plum-4").await,
    };
    let routes = router(&bench.app);
    let send = async |request| routes.clone().oneshot(request).await.unwrap();
    let mut checked = 0;
    for route in declared_routes() {
        let (Some(method), Some(tokens)) = (&route.method, shut_out(route.access, &callers)) else {
            continue;
        };
        let path = route
            .path
            .replace("{id}", started["attempt"].as_str().unwrap())
            .replace("{code}", "DEMO-QUIZ")
            .replace("{version}", "x")
            .replace("{evidence}", "x");
        let request = || {
            request_builder(method.clone(), &path).header(header::CONTENT_TYPE, "application/json")
        };
        let body = || Body::from(sample_body(&route.path).to_string());
        let nobody = send(request().body(body()).unwrap()).await;
        assert_eq!(nobody.status(), 401, "{method} {path} without a token");
        for token in tokens {
            let bearer = format!("Bearer {token}");
            let request = request().header(header::AUTHORIZATION, bearer);
            let refused = send(request.body(body()).unwrap()).await;
            assert!(
                matches!(refused.status().as_u16(), 401 | 403 | 404),
                "{method} {path}, declared {:?}, gave {} to a stranger",
                route.access,
                refused.status()
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}
