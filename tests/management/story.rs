//! A teacher's term: from an empty database to an exam that is marked, regraded,
//! released and understood.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Site, roster};

const CANDIDATES: usize = 50;

fn people() -> Vec<(String, String)> {
    let staff = [("root", "admin"), ("tess", "teacher"), ("theo", "teacher")];
    let staff = staff.map(|(id, role)| (id.to_owned(), role.to_owned()));
    let candidates = (0..CANDIDATES).map(|n| (format!("cand{n:02}"), "candidate".to_owned()));
    staff.into_iter().chain(candidates).collect()
}

/// A choice with a right answer `b`, but for one that says `a` and is wrong.
fn choice(number: usize) -> Value {
    json!({
        "type": "single_choice",
        "content": format!("\u{5149}\u{5408}\u{4f5c}\u{7528}: question {number} of the treaties"),
        "answer": if number == 1 { "a" } else { "b" },
        "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}, {"id": "c", "text": "C"}],
    })
}

#[tokio::test]
async fn a_teacher_runs_an_exam_from_nothing() {
    let people = people();
    let people: Vec<_> = people
        .iter()
        .map(|(id, role)| (id.as_str(), role.as_str()))
        .collect();
    let Some(site) = Site::start(&roster(&people)).await else {
        return;
    };
    let root = site.login("root").await;
    let tess = site.login("tess").await;
    let theo = site.login("theo").await;

    // The course.
    let number_of = async |name: &str| -> i64 {
        let found = root
            .get(&format!("/manage/people?username={name}"))
            .await
            .ok();
        found["items"][0]["id"].as_i64().unwrap()
    };
    let organization = root.get("/manage/people?username=tess").await.ok();
    let organization = organization["items"][0]["organization_id"]
        .as_i64()
        .unwrap();
    let course = root
        .post(
            "/manage/courses",
            json!({
                "title": "History", "code": "HIST", "instructor_id": number_of("tess").await,
                "organization_id": organization, "status": "active",
            }),
        )
        .await
        .id();
    let names: Vec<String> = (0..CANDIDATES).map(|n| format!("cand{n:02}")).collect();
    let enrolled = tess
        .post(
            &format!("/manage/courses/{course}/enrolments"),
            json!({"people": names}),
        )
        .await
        .ok();
    assert_eq!(enrolled["changed"], CANDIDATES);

    // The bank: one teacher drafts, the other reviews.
    let mut questions = Vec::new();
    for number in 0..6 {
        let definition = match number {
            5 => json!({"type": "essay", "content": "Why did it end?", "rubric": "Three causes."}),
            number => choice(number),
        };
        let question = tess
            .post(
                "/manage/questions",
                json!({
                    "organization_id": organization, "definition": definition,
                        "title": format!("T{number}"),
                    "tags": ["treaties"], "default_points": if number == 5 { 4 } else { 2 },
                }),
            )
            .await
            .id();
        let one = format!("/manage/questions/{question}");
        let review = format!("{one}/review");
        tess.on(Method::POST, &one, &review, json!({"action": "submit"}))
            .await
            .ok();
        let own = tess
            .on(Method::POST, &one, &review, json!({"action": "approve"}))
            .await;
        assert_eq!(own.refusal(), (409, "wrong_state"));
        theo.on(Method::POST, &one, &review, json!({"action": "approve"}))
            .await
            .ok();
        questions.push(question);
    }
    let found = tess
        .get("/manage/questions?q=%E5%90%88%E4%BD%9C&limit=3")
        .await
        .ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    assert_eq!(found["items"][0]["highlights"][0], json!([1, 3]));

    // The exam.
    let exam = tess
        .post(
            "/manage/exams",
            json!({
                "code": "HIST-1", "title": "Treaties", "organization_id": organization,
                "course_id": course, "duration_minutes": 60, "show_results_immediately": false,
                "grading_config": {"scale": [[80, "A"], [50, "B"], [0, "C"]]},
            }),
        )
        .await
        .id();
    let one = format!("/manage/exams/{exam}");
    let empty = tess
        .on(Method::POST, &one, &format!("{one}/publish"), json!({}))
        .await;
    assert_eq!(empty.refusal(), (422, "invalid"));
    let placed: Vec<Value> = questions
        .iter()
        .zip(0..)
        .map(|(id, n)| json!({"question_id": id, "id": format!("q{n}")}))
        .collect();
    tess.on(
        Method::PUT,
        &one,
        &format!("{one}/composition"),
        json!({"sections": [{"id": "s1", "title": "All", "questions": placed}]}),
    )
    .await
    .ok();
    let ready = tess.post(&format!("{one}/check"), json!({})).await.ok();
    assert_eq!(ready["errors"], json!([]));
    tess.put(
        &format!("{one}/accommodations/cand00"),
        json!({"time_factor": 1.5, "extra_minutes": 10, "reason": "dyslexia"}),
    )
    .await;
    let published = tess
        .on(Method::POST, &one, &format!("{one}/publish"), json!({}))
        .await
        .ok();
    assert_eq!(
        (&published["status"], &published["questions_count"]),
        (&json!("published"), &json!(6))
    );

    // Fifty people take it: the first `n % 5` choices right, an essay by the even ones.
    for number in 0..CANDIDATES {
        let person = site.login(&format!("cand{number:02}")).await;
        let mut answers: Vec<(String, Value)> = (0..5)
            .map(|q| {
                (
                    format!("q{q}"),
                    json!(if q <= number % 5 { "b" } else { "c" }),
                )
            })
            .collect();
        if number % 2 == 0 {
            answers.push(("q5".to_owned(), json!("Because of trade.")));
        }
        if number == 49 {
            let path = "/exams/HIST-1/attempts";
            let begun = person.post(path, json!({})).await.ok()["attempt"].clone();
            let exchange = format!("/attempts/{}/exchange", begun.as_str().unwrap());
            person.post(&exchange, json!({})).await.ok();
            for (id, action) in [("c1", "pause"), ("c2", "resume")] {
                let command = json!({
                    "id": id, "target": {"attempt": begun}, "action": action,
                    "args": {"reason": "A fire alarm."},
                });
                let done = tess.post("/exams/HIST-1/commands", command).await.ok();
                assert_eq!(done["done"], 1, "{done}");
            }
        }
        let attempt = person.take("HIST-1", &answers).await;
        let view = person.get(&format!("/attempts/{attempt}")).await.ok();
        if number == 0 {
            let ms = view["deadline_at"].as_i64().unwrap() - view["started_at"].as_i64().unwrap();
            assert!(
                (100 * 60_000..101 * 60_000).contains(&ms),
                "60 x 1.5 + 10 minutes: {view}"
            );
        }
        let hidden = person.get(&format!("/attempts/{attempt}/result")).await;
        assert_eq!(hidden.refusal(), (403, "not_released"));
    }

    // The actions of staff on an attempt are in the exam's log, with their reasons.
    let late = site.login("cand00").await;
    let again = late.post("/exams/HIST-1/attempts", json!({})).await;
    assert_eq!(again.refusal(), (403, "no_attempts_left"));
    let log = tess.get(&format!("{one}/proctor-log")).await.ok();
    let seen: Vec<_> = log["items"].as_array().unwrap().iter().collect();
    assert_eq!(seen.len(), 2, "{log}");
    assert_eq!(
        (&seen[1]["event_type"], &seen[1]["reason"]),
        (&json!("paused"), &json!("A fire alarm."))
    );

    // Marking, by two people at once; no name is shown.
    let early = tess.post(&format!("{one}/release"), json!({})).await;
    assert_eq!(early.refusal(), (409, "wrong_state"));
    let queue = tess.get(&format!("{one}/marking?limit=500")).await.ok();
    assert_eq!(queue["items"].as_array().unwrap().len(), 25);
    assert!(!queue.to_string().contains("cand"), "{queue}");
    let mut marked = 0;
    loop {
        let mine = tess
            .post(&format!("{one}/marking/claim"), json!({}))
            .await
            .ok();
        let Some(attempt) = mine["attempt_id"].as_i64() else {
            break;
        };
        let path = format!("/manage/attempts/{attempt}/marks/q5");
        let much = tess.put(&path, json!({"points": 4.5})).await;
        assert_eq!(
            (much.refusal(), much.fields()),
            ((422, "invalid"), vec!["points"])
        );
        tess.put(
            &path,
            json!({
                "points": 2.5, "comment": "Two causes.",
                "rubric": [{"criterion": "causes", "points": 2.5}],
            }),
        )
        .await
        .ok();
        marked += 1;
    }
    assert_eq!(marked, 25);

    // A key that was wrong: `a` was the key of q1, candidates from n % 5 >= 1 said b.
    let key = json!({"question": "q1", "answer": "b", "reason": "The key was that of q0."});
    let preview = tess
        .post(&format!("{one}/corrections?preview=true"), key.clone())
        .await
        .ok();
    assert_eq!(preview["attempts"], 50);
    assert_eq!(preview["changed"].as_array().unwrap().len(), 40);
    let before = tess.get(&format!("{one}/attempts?limit=500")).await.ok();
    let again = tess
        .post(&format!("{one}/corrections?preview=true"), key.clone())
        .await
        .ok();
    assert_eq!(
        again["changed"], preview["changed"],
        "a preview changes nothing"
    );
    let done = tess.post(&format!("{one}/corrections"), key).await.ok();
    assert_eq!(done["changed"], preview["changed"]);
    let after = tess.get(&format!("{one}/attempts?limit=500")).await.ok();
    let sum = |page: &Value| -> f64 {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|row| row["score"].as_f64().unwrap()).sum()
    };
    assert!((sum(&after) - sum(&before) - 80.0).abs() < 1e-9);
    assert!(
        after["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["status"] == "graded")
    );

    // Released, and seen by the candidates whose results they are.
    tess.post(&format!("{one}/release"), json!({})).await.ok();
    let best = site.login("cand04").await;
    let exams = best.get("/exams").await.ok();
    let attempt = exams["exams"][0]["attempts"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let result = best.get(&format!("/attempts/{attempt}/result")).await.ok();
    assert_eq!(
        (&result["score"], &result["grade"]),
        (&json!(12.5), &json!("A"))
    );
    let results = tess.get("/exams/HIST-1/results").await.ok();
    assert_eq!(results["results"].as_array().unwrap().len(), CANDIDATES);

    // The statistics.
    site.run(&["maintenance", "run"]).await;
    let statistics = tess.get(&format!("{one}/statistics")).await.ok();
    assert_eq!(statistics["exam"]["attempts"], 50);
    let item = |key: &str| {
        let questions = statistics["questions"].as_array().unwrap();
        questions
            .iter()
            .find(|row| row["question"] == key)
            .unwrap()
            .clone()
    };
    let facility = |key: &str| item(key)["facility"].as_f64().unwrap();
    assert!((facility("q0") - 1.0).abs() < 1e-9);
    assert!((facility("q2") - 0.6).abs() < 1e-9);
    assert!(item("q2")["discrimination"].as_f64().unwrap() > 0.5);
    assert_eq!(item("q2")["distractors"][0]["chosen"], 30);
    assert!(statistics["exam"]["alpha"].is_number());
    let question = tess
        .get(&format!("/manage/questions/{}", questions[2]))
        .await
        .ok();
    assert_eq!(question["usage_count"], 50);

    // The events are on record, and sealed.
    let trail = root.get("/manage/audit?table=key_corrections").await.ok();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1);
    let said = site.run(&["audit", "verify"]).await;
    assert!(said.contains("no break"), "{said}");
    site.end().await;
}
