//! The question bank: versions, reviews, search and draws.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, Site, roster};

async fn staffed() -> Option<(Site, Person, Person, i64)> {
    let people = [("root", "admin"), ("tess", "teacher")];
    let site = Site::start(&roster(&people)).await?;
    let (root, tess) = (site.login("root").await, site.login("tess").await);
    let found = root.get("/manage/people?username=tess").await.ok();
    let organization = found["items"][0]["organization_id"].as_i64().unwrap();
    Some((site, root, tess, organization))
}

#[tokio::test]
async fn a_question_that_was_approved_changes_by_a_new_version() {
    let Some((site, root, tess, organization)) = staffed().await else {
        return;
    };
    let draft = json!({
        "organization_id": organization, "title": "Treaty",
        "definition": {"type": "true_false", "content": "A treaty binds.", "answer": true},
    });
    let id = tess.post("/manage/questions", draft).await.id();
    let one = format!("/manage/questions/{id}");
    let review = format!("{one}/review");

    // A draft changes in place; an invalid question is refused with the place of its fault.
    let wrong = json!({"definition": {"answer": "perhaps"}});
    let reply = tess.on(Method::PATCH, &one, &one, wrong).await;
    assert_eq!(
        (reply.refusal(), reply.fields()),
        ((422, "invalid"), vec!["definition.answer"])
    );
    let same = tess
        .on(
            Method::PATCH,
            &one,
            &one,
            json!({"definition": {"answer": false}}),
        )
        .await
        .ok();
    assert_eq!((&same["id"], &same["version"]), (&json!(id), &json!(1)));

    let early = root
        .on(Method::POST, &one, &review, json!({"action": "approve"}))
        .await;
    assert_eq!(early.refusal(), (409, "wrong_state"));
    tess.on(Method::POST, &one, &review, json!({"action": "submit"}))
        .await
        .ok();
    let approved = root
        .on(
            Method::POST,
            &one,
            &review,
            json!({"action": "approve", "notes": "Good."}),
        )
        .await
        .ok();
    assert_eq!(approved["status"], "active");

    let next = tess
        .on(
            Method::PATCH,
            &one,
            &one,
            json!({"definition": {"content": "Treaties bind states."}}),
        )
        .await
        .ok();
    assert_eq!(
        (&next["version"], &next["root_id"]),
        (&json!(2), &json!(id))
    );
    assert_eq!(
        (&next["status"], &next["review_status"]),
        (&json!("draft"), &json!("pending"))
    );
    let old = tess.get(&one).await.ok();
    assert_eq!(old["is_latest_version"], false);
    assert_eq!(old["definition"]["content"], "A treaty binds.");
    let again = tess
        .on(Method::PATCH, &one, &one, json!({"title": "x"}))
        .await;
    assert_eq!(again.refusal(), (409, "wrong_state"));

    // The search finds by stems, and the newest version only.
    let found = tess.get("/manage/questions?q=treaty").await.ok();
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{found}");
    assert_eq!(items[0]["version"], 2);
    site.end().await;
}

#[tokio::test]
async fn questions_are_found_in_any_language_and_drawn_alike_by_a_seed() {
    let Some((site, root, _, organization)) = staffed().await else {
        return;
    };
    let category = root
        .post(
            "/manage/question-categories",
            json!({"organization_id": organization, "name": "All", "code": "ALL"}),
        )
        .await
        .id();
    let below = root
        .post(
            "/manage/question-categories",
            json!({
                "organization_id": organization, "name": "Part", "code": "PART",
                "parent_id": category,
            }),
        )
        .await
        .id();
    let texts = [
        "\u{690d}\u{7269}\u{7684}\u{5149}\u{5408}\u{4f5c}\u{7528}",
        "\u{6297}\u{6218}\u{65f6}\u{671f}\u{7684}\u{571f}\u{5730}\u{653f}\u{7b56}",
        "Plants need light for photosynthesis",
        "The treaty of Nanjing, 1842",
        "\u{3072}\u{304b}\u{308a} light",
    ];
    for (text, difficulty) in texts.iter().zip(["easy", "easy", "hard", "easy", "easy"]) {
        root.post(
            "/manage/questions",
            json!({
                "organization_id": organization, "category_id": below, "difficulty": difficulty,
                "tags": ["drawn"], "definition": {"type": "essay", "content": text},
            }),
        )
        .await
        .ok();
    }
    let search = async |query: &str| -> Vec<String> {
        let found = root.get(&format!("/manage/questions?{query}")).await.ok();
        let items = found["items"].as_array().unwrap().iter();
        let content = |item: &Value| item["definition"]["content"].as_str().unwrap().to_owned();
        items.map(content).collect()
    };
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02X}").unwrap();
            text
        })
    };
    for (words, hits) in [
        ("\u{5149}\u{5408}\u{4f5c}\u{7528}", vec![0]),
        ("\u{5408}\u{4f5c}", vec![0]),
        ("\u{571f}", vec![1]),
        ("\u{5408}\u{5149}", vec![]),
        ("photosynthesis", vec![2]),
        ("treaties", vec![3]),
        ("1842", vec![3]),
        ("light -plants", vec![4]),
        ("\"light for\"", vec![2]),
    ] {
        let found = search(&format!("q={}", encoded(words))).await;
        let wanted: Vec<_> = hits.iter().map(|&n: &usize| texts[n].to_owned()).collect();
        assert_eq!(found, wanted, "{words}");
    }
    let filtered = search(&format!(
        "category_id={category}&difficulty=hard&tags=drawn"
    ))
    .await;
    assert_eq!(filtered, [texts[2]]);

    // Only active questions are drawn: the bank also has the author's own drafts, which are
    // not.
    let exam = root
        .post(
            "/manage/exams",
            json!({
                "code": "D", "title": "Drawn", "organization_id": organization,
                "duration_minutes": 9,
            }),
        )
        .await
        .id();
    let one = format!("/manage/exams/{exam}");
    let draw = json!({"section": "s", "count": 2, "tags": ["drawn"], "seed": 7});
    let none = root
        .on(Method::POST, &one, &format!("{one}/draw"), draw.clone())
        .await;
    assert_eq!(
        (none.refusal(), none.fields()),
        ((422, "invalid"), vec!["count"])
    );
    let mut connection = site.database.connection().await;
    sqlx::query("UPDATE questions SET status = 'active'")
        .execute(&mut connection)
        .await
        .unwrap();
    let first = root
        .on(Method::POST, &one, &format!("{one}/draw"), draw.clone())
        .await
        .ok();
    assert_eq!(first["questions"].as_array().unwrap().len(), 2);
    let emptied = json!({"sections": []});
    root.on(Method::PUT, &one, &format!("{one}/composition"), emptied)
        .await
        .ok();
    let second = root
        .on(Method::POST, &one, &format!("{one}/draw"), draw)
        .await
        .ok();
    assert_eq!(first, second);
    site.end().await;
}

#[tokio::test]
async fn a_file_of_230_questions_is_an_exam_and_fills_the_bank() {
    let Some((site, _, tess, _)) = staffed().await else {
        return;
    };
    let file = |changed: usize| {
        let questions: Vec<Value> = (0..230)
            .map(|n| {
                let edition = if n == changed { "changed" } else { "first" };
                json!({
                    "id": format!("q{n}"), "type": "true_false", "answer": true, "points": 2,
                    "content": format!("Statement {n}, {edition}"),
                })
            })
            .collect();
        let exam = json!({
            "code": "BIG", "title": "Big", "duration_minutes": 60,
            "sections": [{"id": "s", "questions": questions}],
        });
        exam.to_string()
    };
    let path = "/manage/exams/import";
    let broken = file(999).replace("true_false", "riddle");
    let reply = tess.text(path, "application/json", broken).await;
    assert_eq!(
        (reply.refusal(), reply.fields().len()),
        ((422, "invalid"), 230)
    );
    let first = tess.text(path, "application/json", file(999)).await.ok();
    assert_eq!(
        (
            &first["status"],
            &first["questions_count"],
            &first["total_points"]
        ),
        (&json!("published"), &json!(230), &json!(460.0))
    );
    // The next edition shares the questions that it did not change.
    let second = tess.text(path, "application/json", file(7)).await.ok();
    assert_eq!(second["id"], first["id"]);
    assert_ne!(second["version"], first["version"]);
    let mut connection = site.database.connection().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM questions")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 231);
    site.end().await;
}
