//! All problems in the form that clients see.

use std::fmt::Write as _;

use axum::body::to_bytes;
use expect_test::expect;

use super::*;

const ALL: [Problem; 34] = [
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
    Problem::TypeNotAllowed,
    Problem::LinkNotValid,
    Problem::RateLimited(Duration::from_millis(29_001)),
    Problem::Internal,
    Problem::Overloaded,
    Problem::Unavailable,
    Problem::Invalid(Vec::new()),
    Problem::Duplicate(String::new()),
    Problem::InUse(String::new()),
    Problem::WrongState(String::new()),
    Problem::Stale,
    Problem::PreconditionRequired,
    Problem::ServersOnly,
];

#[test]
fn every_problem_has_a_status_a_code_and_a_sentence() {
    let mut list = String::new();
    for problem in ALL {
        let body = problem.body();
        writeln!(
            list,
            "{} {}: {}. {}",
            body.status, body.code, body.title, body.detail
        )
        .unwrap();
    }
    expect![[r"
        400 bad_request: Bad request. 
        401 unauthorized: Not signed in. Sign in, and send the token that you get.
        401 wrong_credentials: Wrong name or access code. This name and this access code do not belong together.
        403 forbidden: Not allowed. Your role does not allow this.
        403 not_open: Not open yet. The exam has not opened yet.
        403 closed: Closed. The exam can no longer be entered.
        403 no_attempts_left: No attempts left. You have used all your attempts at this exam.
        403 wrong_password: Wrong password. The exam asks for another password.
        403 address_not_allowed: Address not allowed. The exam may not be taken from your address.
        403 not_enrolled: Not enrolled. You are not among the candidates of this exam.
        403 another_device: Open elsewhere. The attempt is open on another device.
        403 origin_not_allowed: Origin not allowed. Pages of another site may not use the engine.
        403 not_released: Result not released. The exam does not show this result, or not yet.
        404 not_found: Not found. There is nothing here that you may see.
        404 not_handed_in: Not handed in. The attempt is not handed in yet.
        405 method_not_allowed: Method not allowed. This address knows other methods only.
        408 timed_out: Took too long. The request took too long.
        409 superseded: Superseded. Another session owns the attempt.
        409 conflict: Conflict. The id was used for another command.
        413 too_large: Body too large. The body is larger than allowed.
        415 unsupported_media_type: Not JSON. Send the body as application/json.
        415 type_not_allowed: Type not allowed. Files of this type, or of this content, are not taken here.
        403 link_not_valid: Link not valid. The link has ended, or was changed. Ask for another.
        429 rate_limited: Too many tries. Try again in 30 seconds.
        500 internal: Engine fault. The engine has a fault, which is in its log.
        503 overloaded: Overloaded. The engine takes no new work for a moment.
        503 unavailable: Store not available. What lasts is not available for a moment. Try again.
        422 invalid: Not right. Some fields are not right; `errors` says which and why.
        409 duplicate: Taken. Another one has this already; `errors` says what.
        409 in_use: In use. It is used by .
        409 wrong_state: Not possible now. 
        412 stale: Changed meanwhile. Somebody changed it since you read it. Read it again.
        428 precondition_required: Revision missing. Send the ETag that you read as If-Match.
        501 servers_only: Needs PostgreSQL. Exams and people are kept in files here; managing them needs PostgreSQL.
    "]].assert_eq(&list);
}

#[tokio::test]
async fn a_problem_is_sent_as_problem_json() {
    let response = Problem::RateLimited(Duration::from_millis(29_001)).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    expect![[r#"{"type":"urn:invigil:problem:rate_limited","title":"Too many tries","status":429,"detail":"Try again in 30 seconds.","code":"rate_limited"}"#]].assert_eq(std::str::from_utf8(&body).unwrap());
}

#[test]
fn codes_are_unique() {
    let mut codes: Vec<_> = ALL.iter().map(Problem::code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ALL.len());
}
