use std::fmt::Write as _;

use axum::body::to_bytes;
use expect_test::expect;

use super::*;

const ALL: [Problem; 25] = [
    Problem::BadRequest(String::new()),
    Problem::Unauthorized,
    Problem::WrongCredentials,
    Problem::Forbidden,
    Problem::NotOpen,
    Problem::Closed,
    Problem::NoAttemptsLeft,
    Problem::WrongPassword,
    Problem::AddressNotAllowed,
    Problem::NotEnrolled,
    Problem::AnotherDevice,
    Problem::OriginNotAllowed,
    Problem::NotReleased,
    Problem::NotFound,
    Problem::NotHandedIn,
    Problem::MethodNotAllowed,
    Problem::TimedOut,
    Problem::Superseded,
    Problem::Conflict,
    Problem::TooLarge,
    Problem::UnsupportedMediaType,
    Problem::RateLimited(Duration::from_millis(29_001)),
    Problem::Internal,
    Problem::Overloaded,
    Problem::Unavailable,
];

#[test]
fn every_problem_has_a_status_a_code_and_a_sentence() {
    let mut list = String::new();
    for problem in ALL {
        let body = problem.body();
        writeln!(list, "{} {}: {}. {}", body.status, body.code, body.title, body.detail).unwrap();
    }
    expect![[r#""#]].assert_eq(&list);
}

#[tokio::test]
async fn a_problem_is_sent_as_problem_json() {
    let response = Problem::RateLimited(Duration::from_millis(29_001)).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    expect![[r#""#]].assert_eq(std::str::from_utf8(&body).unwrap());
}

#[test]
fn codes_are_unique() {
    let mut codes: Vec<_> = ALL.iter().map(Problem::code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ALL.len());
}
