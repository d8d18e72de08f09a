//! Lists of enrolments, accommodations and log-ins; categories; and the limits of an
//! organisation.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{harness::Person, world::world};

fn column<'a>(page: &'a Value, name: &str) -> Vec<&'a Value> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|row| &row[name]).collect()
}

#[tokio::test]
async fn enrolments_and_accommodations_are_listed_and_taken_back() {
    let Some(world) = world().await else { return };
    let (root, tess) = (&world.root, &world.tess);
    let enrolments = format!("/manage/courses/{}/enrolments", world.mine.course);
    let wanted = json!({"people": ["cand", "tess"]});
    tess.post(&enrolments, wanted).await.ok();
    let dropped = json!({"people": ["tess"], "status": "dropped"});
    tess.post(&enrolments, dropped).await.ok();
    let first = tess.get(&format!("{enrolments}?limit=1")).await.ok();
    assert_eq!(column(&first, "username").len(), 1);
    let next = format!("{enrolments}?limit=1&after={}", first["next"]);
    let second = tess.get(&next).await.ok();
    assert_eq!(second["next"], Value::Null);
    let active = tess.get(&format!("{enrolments}?status=active")).await.ok();
    assert_eq!(column(&active, "username"), ["cand"]);
    let strange = format!("/manage/courses/{}/enrolments", world.other.course);
    assert_eq!(tess.get(&strange).await.refusal(), (404, "not_found"));

    let accommodations = format!("/manage/exams/{}/accommodations", world.mine.exam);
    let one = format!("{accommodations}/cand");
    let more = json!({"time_factor": 1.25, "extra_minutes": 5, "reason": "dyslexia"});
    tess.put(&one, more).await;
    let list = tess.get(&accommodations).await.ok();
    assert_eq!(column(&list, "username"), ["cand"]);
    let row = &list["items"][0];
    assert_eq!(
        (&row["time_factor"], &row["extra_minutes"], &row["reason"]),
        (&json!(1.25), &json!(5), &json!("dyslexia"))
    );
    let strange = format!("/manage/exams/{}/accommodations", world.other.exam);
    assert_eq!(tess.get(&strange).await.refusal(), (404, "not_found"));
    let taken = async |who: &Person| who.send(Method::DELETE, &one, None, None).await;
    assert_eq!(taken(tess).await.status, 204);
    assert_eq!(taken(root).await.refusal(), (404, "not_found"));
    assert_eq!(tess.get(&accommodations).await.ok()["items"], json!([]));
    world.site.end().await;
}

#[tokio::test]
async fn categories_of_courses_are_a_tree() {
    let Some(world) = world().await else { return };
    let root = &world.root;
    let all = "/manage/course-categories";
    let draft = |code: &str, parent: Option<i64>| {
        json!({"organization_id": world.mine.organization, "name": code, "code": code,
               "parent_id": parent})
    };
    let arts = root.post(all, draft("ARTS", None)).await.id();
    let music = root.post(all, draft("MUSIC", Some(arts))).await.id();
    let taken = root.post(all, draft("ARTS", None)).await;
    assert_eq!(taken.refusal(), (409, "duplicate"));
    let one = format!("{all}/{arts}");
    let circle = json!({"parent_id": music});
    let reply = root.on(Method::PATCH, &one, &one, circle).await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        ((422, "invalid"), vec!["parent_id"])
    );
    let course = format!("/manage/courses/{}", world.mine.course);
    let filed = json!({"category_id": music});
    root.on(Method::PATCH, &course, &course, filed).await.ok();
    let below = root.get(&format!("{all}?parent_id={arts}")).await.ok();
    assert_eq!(column(&below, "courses"), [1]);
    let used = format!("{all}/{music}");
    let etag = root.get(&used).await.etag;
    let reply = root.send(Method::DELETE, &used, Some(&etag), None).await;
    assert_eq!(reply.refusal(), (409, "in_use"));
    let stale = root.send(
        Method::PATCH,
        &one,
        Some("\"9\""),
        Some(json!({"name": "x"})),
    );
    assert_eq!(stale.await.refusal(), (412, "stale"));
    // A teacher sees them and changes none.
    let seen = world.tess.get(all).await.ok();
    assert_eq!(column(&seen, "code"), ["ARTS", "MUSIC"]);
    let reply = world.tess.post(all, draft("MINE", None)).await;
    assert_eq!(reply.refusal(), (403, "forbidden"));
    world.site.end().await;
}

#[tokio::test]
async fn log_ins_are_listed_and_ended_and_their_tokens_replaced() {
    let Some(world) = world().await else { return };
    let (first, second) = (
        world.site.login("cand").await,
        world.site.login("cand").await,
    );
    let own = "/manage/me/sessions";
    let list = first.get(own).await.ok();
    assert_eq!(column(&list, "current"), [true, false]);
    assert!(!list.to_string().contains("token"), "{list}");
    let other = list["items"][1]["id"].as_i64().unwrap();
    let end = format!("{own}/{other}");
    let ended = first.send(Method::DELETE, &end, None, None).await;
    assert_eq!(ended.status, 204);
    assert_eq!(second.get("/exams").await.refusal(), (401, "unauthorized"));
    let again = first.send(Method::DELETE, &end, None, None).await;
    assert_eq!(again.refusal(), (404, "not_found"));
    // A candidate ends no other person's log-in, an administrator does.
    let found = world.root.get("/manage/people?username=cand").await.ok();
    let theirs = format!("/manage/people/{}/sessions", found["items"][0]["id"]);
    assert_eq!(first.get(&theirs).await.refusal(), (403, "forbidden"));
    let seen = world.root.get(&theirs).await.ok();
    assert_eq!(column(&seen, "current"), [false]);
    let one = format!("{theirs}/{}", seen["items"][0]["id"]);

    // Another token for the same log-in; the one before is good for a moment more.
    let fresh = first.post("/login/rotate", json!({})).await.ok();
    assert_ne!(fresh["token"], json!(first.token));
    let rotated = first.with_token(&fresh["token"]);
    rotated.get("/exams").await.ok();
    first.get("/exams").await.ok();
    let mut connection = world.site.database.connection().await;
    sqlx::query("UPDATE user_sessions SET rotated_at = rotated_at - interval '31 seconds'")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(first.get("/exams").await.refusal(), (401, "unauthorized"));
    assert_eq!(rotated.get("/exams").await.refusal(), (401, "unauthorized"));
    let refused = rotated.post("/login/rotate", json!({})).await;
    assert_eq!(refused.refusal(), (401, "unauthorized"));
    let events = "/manage/security-events?event_type=replaced_token_used";
    let events = world.root.get(events).await.ok();
    assert_eq!(events["items"][0]["severity"], "high", "{events}");
    let gone = world.root.send(Method::DELETE, &one, None, None).await;
    assert_eq!(gone.refusal(), (404, "not_found"));
    world.site.end().await;
}

#[tokio::test]
async fn an_organisation_has_limits_and_can_end() {
    let Some(world) = world().await else { return };
    let root = &world.root;
    let organization = world.other.organization;
    let one = format!("/manage/organizations/{organization}");
    let limits = json!({"max_users": 2, "max_exams": 1});
    root.on(Method::PATCH, &one, &one, limits).await.ok();
    let person =
        |name: &str| json!({"username": name, "name": name, "organization_id": organization});
    root.post("/manage/people", person("otto")).await.ok();
    let reply = root.post("/manage/people", person("oskar")).await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        ((422, "invalid"), vec!["organization_id"])
    );
    assert!(reply.body.to_string().contains("2 people"), "{reply:?}");
    let header = "id,name,email,role,code,exams,time_factor,extra_minutes\n";
    let import = format!("/manage/people/import?organization_id={organization}");
    let roster = format!("{header}oskar,O,,candidate,code-o,,,\n");
    let reply = root.csv(&import, roster).await;
    assert_eq!(reply.fields(), ["organization_id"]);
    let exam = json!({"code": "E-C", "title": "C", "organization_id": organization,
                      "duration_minutes": 30});
    let reply = root.post("/manage/exams", exam).await;
    assert_eq!(reply.fields(), ["organization_id"]);

    // Signed-in people are out, and no one gets in, until the organisation is active again.
    let olga = world.site.login("olga").await;
    olga.get("/exams").await.ok();
    let end = json!({"is_active": false});
    root.on(Method::PATCH, &one, &one, end).await.ok();
    assert_eq!(olga.get("/exams").await.refusal(), (401, "unauthorized"));
    assert_eq!(
        olga.get("/manage/exams").await.refusal(),
        (401, "unauthorized")
    );
    let credentials = json!({"id": "olga", "code": "code-olga"});
    let refused = world.site.login_with(credentials).await;
    assert_eq!(refused.err(), Some(reqwest::StatusCode::UNAUTHORIZED));
    let again = json!({"is_active": true});
    root.on(Method::PATCH, &one, &one, again).await.ok();
    olga.get("/exams").await.ok();
    world.site.end().await;
}
