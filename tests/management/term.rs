//! From an empty database, over HTTP alone, to a real exam that is understood: 230
//! imported questions, 50 people, essays, a wrong key, results, item analysis.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Person, Site, roster};

const CANDIDATES: usize = 50;
const QUESTIONS: usize = 230;

/// The questions that a person marks.
const ESSAYS: [usize; 2] = [100, 200];

/// The question whose key is wrong in the file.
const WRONG: usize = 7;

/// A paper of real questions where they are at hand, else one as long; two of its
/// questions are essays, and one has the key of another.
fn paper() -> Value {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/exams");
    let real = std::fs::read_to_string(real.join("gaokao-history.json"));
    let mut paper: Value = real.map_or_else(
        |_absent| {
            eprintln!("skipped: no real questions here, an exam of made-up ones is imported");
            made_up()
        },
        |text| serde_json::from_str(&text).unwrap(),
    );
    paper["code"] = json!("TERM");
    paper["show_results_immediately"] = json!(false);
    let questions = paper["sections"][0]["questions"].as_array_mut().unwrap();
    assert_eq!(questions.len(), QUESTIONS);
    for (number, question) in questions.iter_mut().enumerate() {
        question["id"] = json!(format!("q{number}"));
    }
    for number in ESSAYS {
        questions[number] = json!({
            "id": format!("q{number}"), "type": "essay", "points": 10,
            "content": "Why did it end?", "rubric": "Three causes.",
        });
    }
    paper
}

fn made_up() -> Value {
    let questions: Vec<Value> = (0..QUESTIONS)
        .map(|n| {
            json!({
                "type": "single_choice", "points": 1, "content": format!("Question {n}"),
                "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"},
                            {"id": "c", "text": "C"}, {"id": "d", "text": "D"}],
                "answer": (["a", "b", "c", "d"][n % 4]),
            })
        })
        .collect();
    json!({"title": "Made up", "duration_minutes": 150,
           "sections": [{"id": "s1", "questions": questions}]})
}

/// An option that is not the key.
fn other(key: &Value) -> Value {
    json!(if key == "a" { "b" } else { "a" })
}

/// People, a course, and the exam of a file.
async fn prepare(root: &Person, site: &Site, file: &Value) -> (Person, i64) {
    let staff = [("tess", "teacher")].map(|(id, role)| (id.to_owned(), role));
    let candidates = (0..CANDIDATES).map(|n| (format!("cand{n:02}"), "candidate"));
    let people: Vec<_> = staff.into_iter().chain(candidates).collect();
    let people: Vec<_> = people
        .iter()
        .map(|(id, role)| (id.as_str(), *role))
        .collect();
    let found = root.get("/manage/people?username=root").await.ok();
    let organization = &found["items"][0]["organization_id"];
    root.csv("/manage/people/import", roster(&people))
        .await
        .ok();
    let found = root.get("/manage/people?username=tess").await.ok();
    let course = json!({
        "title": "History", "code": "HIST", "instructor_id": found["items"][0]["id"],
        "organization_id": organization, "status": "active",
    });
    let course = root.post("/manage/courses", course).await.id();
    let tess = site.login("tess").await;
    let names: Vec<String> = (0..CANDIDATES).map(|n| format!("cand{n:02}")).collect();
    let enrolments = format!("/manage/courses/{course}/enrolments");
    tess.post(&enrolments, json!({"people": names})).await.ok();
    let import = format!("/manage/exams/import?course_id={course}");
    let exam = tess
        .text(&import, "application/json", file.to_string())
        .await
        .ok();
    assert_eq!(
        (&exam["status"], &exam["questions_count"]),
        (&json!("published"), &json!(QUESTIONS))
    );
    (tess, exam["id"].as_i64().unwrap())
}

/// All candidates answer everything; candidate `n` has the first `n + 1` of every 50 right.
async fn take(site: &Site, paper: &Value) {
    let questions = paper["sections"][0]["questions"].as_array().unwrap();
    for number in 0..CANDIDATES {
        let answers: Vec<(String, Value)> = questions
            .iter()
            .enumerate()
            .map(|(n, question)| {
                let value = if ESSAYS.contains(&n) {
                    json!("Because of trade.")
                } else if n % CANDIDATES <= number {
                    question["answer"].clone()
                } else {
                    other(&question["answer"])
                };
                (format!("q{n}"), value)
            })
            .collect();
        let person = site.login(&format!("cand{number:02}")).await;
        person.take("TERM", &answers).await;
    }
}

async fn mark(tess: &Person, one: &str) -> usize {
    let mut marked = 0;
    loop {
        let claim = tess.post(&format!("{one}/marking/claim"), json!({})).await;
        let claim = claim.ok();
        let Some(attempt) = claim["attempt_id"].as_i64() else {
            return marked;
        };
        let question = claim["question"].as_str().unwrap();
        let path = format!("/manage/attempts/{attempt}/marks/{question}");
        let marks = json!({"points": 5, "comment": "One cause of three."});
        tess.put(&path, marks).await.ok();
        marked += 1;
    }
}

#[tokio::test]
async fn a_term_with_230_imported_questions_and_50_candidates() {
    let Some(site) = Site::start(&roster(&[("root", "admin")])).await else {
        return;
    };
    let root = site.login("root").await;
    let right = paper();
    let mut file = right.clone();
    let key = right["sections"][0]["questions"][WRONG]["answer"].clone();
    file["sections"][0]["questions"][WRONG]["answer"] = other(&key);
    let (tess, exam) = prepare(&root, &site, &file).await;
    let one = format!("/manage/exams/{exam}");
    take(&site, &right).await;
    assert_eq!(mark(&tess, &one).await, ESSAYS.len() * CANDIDATES);

    // Candidates who knew the answer to the question with the wrong key get the point,
    // candidates who had chosen the wrong key lose it.
    let correction =
        json!({"question": format!("q{WRONG}"), "answer": key, "reason": "A misprint."});
    let corrections = format!("{one}/corrections");
    let done = tess.post(&corrections, correction).await.ok();
    assert_eq!(done["changed"].as_array().unwrap().len(), CANDIDATES);
    tess.post(&format!("{one}/release"), json!({})).await.ok();

    // Of 228 choices candidate `n` has those right whose place in fifty is at most `n`.
    let results = tess.get("/exams/TERM/results").await.ok();
    let results = results["results"].as_array().unwrap();
    assert_eq!(results.len(), CANDIDATES);
    for (number, result) in results.iter().enumerate() {
        let choices = (0..QUESTIONS).filter(|n| !ESSAYS.contains(n));
        let right = choices.filter(|n| n % CANDIDATES <= number).count();
        let expected = f64::from(u32::try_from(right).unwrap()) + 10.0;
        let score = result["score"].as_f64().unwrap();
        assert!((score - expected).abs() < 1e-9, "{number}: {result}");
    }
    let best = site.login("cand49").await;
    let exams = best.get("/exams").await.ok();
    let attempt = exams["exams"][0]["attempts"][0]["id"].as_str().unwrap();
    let shown = best.get(&format!("/attempts/{attempt}/result")).await.ok();
    assert_eq!(shown["score"], 238.0);

    // The item analysis: the difficulty of each follows from the candidates who had it
    // right.
    site.run(&["maintenance", "run"]).await;
    let statistics = tess.get(&format!("{one}/statistics")).await.ok();
    assert_eq!(statistics["exam"]["attempts"], CANDIDATES);
    assert!(statistics["exam"]["alpha"].as_f64().unwrap() > 0.9);
    let items = statistics["questions"].as_array().unwrap();
    assert_eq!(items.len(), QUESTIONS);
    for item in items {
        let number: usize = item["question"].as_str().unwrap()[1..].parse().unwrap();
        let right = CANDIDATES - number % CANDIDATES;
        let expected = if ESSAYS.contains(&number) {
            0.5
        } else {
            f64::from(u32::try_from(right).unwrap()) / 50.0
        };
        let facility = item["facility"].as_f64().unwrap();
        assert!((facility - expected).abs() < 1e-3, "{item}");
    }
    let wrong = items
        .iter()
        .find(|item| item["question"] == json!(format!("q{WRONG}")));
    let distractors = wrong.unwrap()["distractors"].as_array().unwrap();
    let chosen = distractors
        .iter()
        .find(|row| row["value"] == format!("{}", other(&key)));
    assert_eq!(chosen.unwrap()["chosen"], WRONG, "{distractors:?}");
    site.end().await;
}
