//! Requests that must not work: other organisations, other people's rows, columns that are
//! not a client's, invalid values, and changes on top of changes.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::world;

#[tokio::test]
async fn what_is_not_ones_own_is_not_there() {
    let Some(world) = world().await else { return };
    let (tess, other) = (&world.tess, &world.other);
    for path in [
        format!("/manage/organizations/{}", other.organization),
        format!("/manage/people/{}", other.teacher),
        format!("/manage/courses/{}", other.course),
        format!("/manage/exams/{}", other.exam),
        format!("/manage/exams/{}/composition", other.exam),
        format!("/manage/exams/{}/statistics", other.exam),
        format!("/manage/questions/{}", other.question),
    ] {
        let reply = tess.get(&path).await;
        assert_eq!(reply.refusal(), (404, "not_found"), "{path}");
        let there = world.root.get(&path).await;
        assert!(there.status != 403, "{path}: {there:?}");
    }
    for path in ["organizations", "people", "courses", "exams", "questions"] {
        let list = tess.get(&format!("/manage/{path}?limit=500")).await.ok();
        let text = list.to_string();
        assert!(
            !text.contains("OTHER") && !text.contains("\"olga\""),
            "{path}: {text}"
        );
        let foreign = list["items"].as_array().unwrap().iter();
        let foreign = foreign.filter(|row| row["organization_id"] == other.organization);
        assert_eq!(foreign.count(), 0, "{path}");
    }
    // Into the other organisation, and out of the own.
    let into = json!({"organization_id": other.organization, "definition": {
        "type": "essay", "content": "?"}});
    let reply = tess.post("/manage/questions", into).await;
    assert_eq!(reply.refusal(), (403, "forbidden"));
    let one = format!("/manage/exams/{}", world.mine.exam);
    let moved = json!({"organization_id": other.organization});
    let reply = tess.on(Method::PATCH, &one, &one, moved).await;
    assert_eq!(reply.refusal(), (403, "forbidden"));
    let steal = json!({"sections": [{"id": "s", "questions": [{"question_id": other.question}]}]});
    let composition = format!("{one}/composition");
    let reply = tess.on(Method::PUT, &one, &composition, steal).await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        (
            (422, "invalid"),
            vec!["sections[0].questions[0].question_id"]
        )
    );
    let cand = world.site.login("cand").await;
    for path in [
        "/manage/exams",
        "/manage/questions",
        "/manage/people",
        "/manage/audit",
    ] {
        assert_eq!(cand.get(path).await.refusal(), (403, "forbidden"), "{path}");
    }
    assert_eq!(
        tess.get("/manage/audit").await.refusal(),
        (403, "forbidden")
    );
    world.site.end().await;
}

#[tokio::test]
async fn changes_are_of_what_was_seen_and_of_what_is_a_clients() {
    let Some(world) = world().await else { return };
    let (tess, mine) = (&world.tess, &world.mine);
    let one = format!("/manage/exams/{}", mine.exam);

    // Two people change the same row.
    let seen = tess.get(&one).await;
    let change = async |etag: Option<&str>, patch: Value| {
        tess.send(Method::PATCH, &one, etag, Some(patch)).await
    };
    let first = change(Some(&seen.etag), json!({"title": "First"})).await;
    assert!(first.status.is_success());
    let second = change(Some(&seen.etag), json!({"title": "Second"})).await;
    assert_eq!(second.refusal(), (412, "stale"));
    let blind = change(None, json!({"title": "Blind"})).await;
    assert_eq!(blind.refusal(), (428, "precondition_required"));
    assert_eq!(tess.get(&one).await.body["title"], "First");

    // Columns that no client may set.
    for key in [
        "id",
        "revision",
        "status",
        "current_version_id",
        "created_by",
        "attempts_count",
    ] {
        let reply = tess.on(Method::PATCH, &one, &one, json!({key: 7})).await;
        assert_eq!(reply.refusal(), (422, "invalid"), "{key}");
    }
    let person = format!("/manage/people/{}", mine.teacher);
    for key in [
        "password_hash",
        "access_code_hmac",
        "role",
        "failed_login_attempts",
    ] {
        let reply = world
            .root
            .on(Method::PATCH, &person, &person, json!({key: "x"}))
            .await;
        assert_eq!(reply.refusal(), (422, "invalid"), "{key}");
    }

    // Values that the table does not take, each with its field.
    for (patch, field) in [
        (json!({"duration_minutes": 0}), "duration_minutes"),
        (json!({"max_attempts": 11}), "max_attempts"),
        (json!({"type": "riddle"}), "type"),
        (json!({"course_id": 999_999}), "course_id"),
        (
            json!({
                "available_from": "2026-01-02T00:00:00Z",
                "available_until": "2026-01-01T00:00:00Z",
            }),
            "available_until",
        ),
    ] {
        let reply = world.root.on(Method::PATCH, &one, &one, patch).await;
        assert_eq!(
            (reply.refusal(), reply.fields()),
            ((422, "invalid"), vec![field])
        );
    }
    let code = json!({
        "code": "E-A", "title": "Again", "organization_id": mine.organization,
        "duration_minutes": 1,
    });
    let twice = world.root.post("/manage/exams", code).await;
    assert_eq!(
        (twice.refusal(), twice.fields()),
        ((409, "duplicate"), vec!["code"])
    );

    // SQL where a value is expected stays a value.
    let nasty = "x'); DROP TABLE users; --";
    let found = tess
        .get("/manage/questions?q=x%27%29%3B%20DROP%20TABLE%20users%3B%20--%20%26%3C-%3E%28%21")
        .await
        .ok();
    assert_eq!(found["items"], json!([]));
    let renamed = tess
        .on(Method::PATCH, &one, &one, json!({"title": nasty}))
        .await
        .ok();
    assert_eq!(renamed["title"], nasty);
    let begins = world
        .root
        .get("/manage/people?username=t%25%27%20OR%201%3D1")
        .await
        .ok();
    assert_eq!(begins["items"], json!([]));

    // Rows in use stay.
    let course = format!("/manage/courses/{}", mine.course);
    let seen = world.root.get(&course).await;
    let reply = world
        .root
        .send(Method::DELETE, &course, Some(&seen.etag), None)
        .await;
    assert_eq!(reply.refusal(), (409, "in_use"));
    assert_eq!(reply.body["detail"], "It is used by exams.");
    let seen = tess.get(&one).await;
    let gone = tess
        .send(Method::DELETE, &one, Some(&seen.etag), None)
        .await;
    assert_eq!(gone.status, 204);
    world.site.end().await;
}

#[tokio::test]
async fn people_are_imported_all_or_none_and_log_in_by_password() {
    let Some(world) = world().await else { return };
    let root = &world.root;
    let header = "id,name,email,role,code,exams,time_factor,extra_minutes\n";
    let path = format!("/manage/people/import?course_id={}", world.mine.course);
    let bad = format!("{header}new1,New,,candidate,code-new1,,,\nnew2,,,pilot,code-new2,,0.5,\n");
    let reply = root.csv(&path, bad).await;
    assert_eq!(reply.refusal(), (422, "invalid"));
    assert!(
        reply
            .fields()
            .iter()
            .all(|field| field.starts_with("line 3")),
        "{reply:?}"
    );
    let foreign =
        format!("{header}new1,New,,candidate,code-new1,,,\nolga,Mine,,teacher,code-new2,,,\n");
    let reply = root.csv(&path, foreign).await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        ((422, "invalid"), vec!["[1].id"])
    );
    let none = root.get("/manage/people?username=new1").await.ok();
    assert_eq!(none["items"], json!([]));

    // Groups of candidates come with a roster, or with a person.
    let grouped = "id,name,role,code,exams,groups\nnew1,New,candidate,code-new1,,Room 2; Room 1\n";
    root.csv(&path, grouped.to_owned()).await.ok();
    let found = root.get("/manage/people?username=new1").await.ok();
    assert_eq!(found["items"][0]["groups"], json!(["Room 1", "Room 2"]));
    let pia = |groups: Value| {
        json!({"username": "pia", "name": "Pia", "groups": groups,
               "organization_id": world.mine.organization})
    };
    let reply = root
        .post("/manage/people", pia(json!(["Room 1", ""])))
        .await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        ((422, "invalid"), vec!["groups"])
    );
    let added = root.post("/manage/people", pia(json!(["Room 1"]))).await;
    assert_eq!(added.ok()["groups"], json!(["Room 1"]));

    let many = (0..2_000).fold(String::new(), |mut text, n| {
        writeln!(text, "bulk{n:05},Bulk {n},,candidate,code-{n},,,").unwrap();
        text
    });
    let done = root.csv(&path, format!("{header}{many}")).await.ok();
    assert_eq!(
        done,
        json!({"created": 2000, "updated": 0, "enrolled": 2000})
    );

    // A password, its change, and the lock after ten failures.
    let tess = format!("/manage/people/{}", world.mine.teacher);
    let short = root
        .put(&format!("{tess}/credentials"), json!({"password": "short"}))
        .await;
    assert_eq!(
        (short.refusal(), short.fields()),
        ((422, "invalid"), vec!["password"])
    );
    root.put(
        &format!("{tess}/credentials"),
        json!({"password": "correct horse"}),
    )
    .await;
    assert_eq!(
        world.tess.get("/manage/exams").await.refusal(),
        (401, "unauthorized")
    );
    let password = |password: &str| json!({"id": "tess", "password": password});
    let signed_in = world
        .site
        .login_with(password("correct horse"))
        .await
        .unwrap();
    let change = json!({"current": "wrong horse", "new": "battery staple"});
    let reply = signed_in.put("/manage/me/password", change).await;
    assert_eq!(reply.refusal(), (401, "wrong_credentials"));
    let change = json!({"current": "correct horse", "new": "battery staple"});
    assert_eq!(
        signed_in.put("/manage/me/password", change).await.status,
        204
    );
    signed_in.get("/manage/exams").await.ok();
    for _ in 0..10 {
        let status = world
            .site
            .login_with(password("correct horse"))
            .await
            .err()
            .unwrap();
        assert_eq!(status, 401);
    }
    let locked = world
        .site
        .login_with(password("battery staple"))
        .await
        .err();
    assert_eq!(locked.unwrap(), 429);
    let row = root.get(&tess).await.ok();
    assert!(row["locked_until"].is_string(), "{row}");
    world.site.run(&["maintenance", "run"]).await;
    let events = root.get("/manage/security-events").await.ok();
    assert!(
        events.to_string().contains("failed_login_burst"),
        "{events}"
    );

    // Private data is sealed, masked, and opens after the keys were changed.
    let private = format!("{tess}/private");
    let wrong = root.put(&private, json!({"phone": "not-a-phone"})).await;
    assert_eq!(
        (wrong.refusal(), wrong.fields()),
        ((422, "invalid"), vec!["phone"])
    );
    let row = root
        .put(&private, json!({"phone": "+8613800138000"}))
        .await
        .ok();
    assert_eq!(row["phone_masked"], "+86*******8000");
    let said = world.site.run(&["keys", "rotate"]).await;
    assert_eq!(said, "1 values sealed with key 2\n");
    let open = root.get(&private).await.ok();
    assert_eq!(open, json!({"phone": "+8613800138000", "id_card": null}));
    let other = format!("/manage/people/{}/private", world.other.teacher);
    root.put(&other, json!({"phone": "+8613800138000"}))
        .await
        .ok();
    let mut connection = world.site.database.connection().await;
    let trail: String = sqlx::query_scalar("SELECT string_agg(a::text, ' ') FROM audit_logs AS a")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(!trail.contains("13800138000") && !trail.contains("argon2"));
    let log = std::fs::read_to_string(world.site.dir.path().join("log")).unwrap();
    assert!(!log.contains("13800138000") && !log.contains("battery") && !log.contains("code-"));
    world.site.end().await;
}
