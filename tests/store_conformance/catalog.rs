//! People, exams, log-ins and secrets.

use std::{sync::Arc, time::Duration};

use invigil_domain::{id::PersonId, time::Timestamp};
use invigil_store::{
    Error, ExamScope, LoginRow, PersonRole, RequestOrigin, RosterPerson, StoredExam,
};
use rust_decimal::Decimal;

use crate::fixture::{MORNING, Store, at, exam, furnish, person, version};

pub(crate) async fn the_newest_version_of_every_exam_is_listed(store: Arc<dyn Store>) {
    assert_eq!(store.list_exams().await.unwrap(), []);
    store
        .upsert_exams(&[exam("MATH", 1), exam("HIST", 1)])
        .await
        .unwrap();
    store.upsert_exams(&[exam("HIST", 2)]).await.unwrap();
    assert_eq!(
        store.list_exams().await.unwrap(),
        [exam("HIST", 2), exam("MATH", 1)]
    );
    assert_eq!(
        store.read_exam_version(&version("HIST", 1)).await.unwrap(),
        Some(exam("HIST", 1))
    );
    assert_eq!(
        store.read_exam_version(&version("HIST", 3)).await.unwrap(),
        None
    );
    store.upsert_exams(&[exam("HIST", 1)]).await.unwrap();
    assert_eq!(
        store.list_exams().await.unwrap(),
        [exam("HIST", 1), exam("MATH", 1)]
    );
    store.upsert_exams(&[]).await.unwrap();
}

pub(crate) async fn exams_go_in_all_or_none(store: Arc<dyn Store>) {
    let broken = StoredExam {
        definition: r#"{"sections": 1}"#.into(),
        ..exam("ZOO", 1)
    };
    let outcome = store.upsert_exams(&[exam("ART", 1), broken]).await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
    assert_eq!(store.list_exams().await.unwrap(), []);
    assert_eq!(
        store.read_exam_version(&version("ART", 1)).await.unwrap(),
        None
    );
}

pub(crate) async fn people_are_added_and_replaced(store: Arc<dyn Store>) {
    let full = RosterPerson {
        id: "\u{8003}\u{751f}-1 \u{1f600}'\"".into(),
        name: "A \u{202e}name, with 'quotes' and \\".to_owned(),
        email: "a@example.org".to_owned(),
        role: PersonRole::Teacher,
        exams: ExamScope::Some(vec!["Z".into(), "A".into(), "\u{e9}".into()]),
        groups: ["Room 2", "\u{6559}\u{5ba4}, \"1\"", "{a}"]
            .into_iter()
            .collect(),
        time_factor: Decimal::new(13_333_333, 7),
        extra_time: Duration::from_millis(1),
    };
    let none = RosterPerson {
        exams: ExamScope::Some(Vec::new()),
        role: PersonRole::Admin,
        ..person("none")
    };
    let proctor = RosterPerson {
        role: PersonRole::Proctor,
        ..person("proctor")
    };
    let people = [(full.clone(), [1; 32]), (none, [2; 32]), (proctor, [3; 32])];
    store.upsert_people(&people).await.unwrap();
    for row in &people {
        assert_eq!(
            person_and_code(&*store, &row.0.id).await.as_ref(),
            Some(row)
        );
    }
    let renamed = RosterPerson {
        name: "new".to_owned(),
        exams: ExamScope::All,
        ..full.clone()
    };
    store
        .upsert_people(&[(full, [8; 32]), (renamed.clone(), [9; 32])])
        .await
        .unwrap();
    assert_eq!(
        person_and_code(&*store, &renamed.id).await,
        Some((renamed, [9; 32]))
    );
    assert_eq!(
        store.read_credentials(&"PROCTOR".into()).await.unwrap(),
        None
    );
    store.upsert_people(&[]).await.unwrap();
}

async fn person_and_code(store: &dyn Store, id: &PersonId) -> Option<(RosterPerson, [u8; 32])> {
    let found = store.read_credentials(id).await.unwrap()?;
    Some((found.person, found.access_code?))
}

fn login(token: [u8; 32], person: &str, expires_at: Timestamp) -> LoginRow {
    LoginRow {
        token,
        person: person.into(),
        expires_at,
        origin: RequestOrigin {
            address: "2001:db8::1".parse().unwrap(),
            user_agent: Some("test".to_owned()),
        },
    }
}

pub(crate) async fn a_login_token_is_replaced(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let at = |seconds: u64| at(seconds * 1_000);
    let [first, second, third, fourth] = [[1; 32], [2; 32], [3; 32], [4; 32]];
    let who = async |token, when| store.verify_login(token, when).await.unwrap();
    let ann = Some(person("ann"));
    store
        .insert_login(&login(first, "ann", at(100)))
        .await
        .unwrap();
    let until = store
        .rotate_login_token(&first, &second, at(10))
        .await
        .unwrap();
    assert_eq!(until, Some(at(100)), "it lives no longer than before");
    // Requests under way with the old token go on, also if the response was lost.
    assert_eq!(who(&first, at(39)).await, ann);
    let until = store
        .rotate_login_token(&first, &third, at(39))
        .await
        .unwrap();
    assert_eq!(until, Some(at(100)));
    assert_eq!(who(&second, at(39)).await, None, "lost with its answer");
    assert_eq!(who(&third, at(99)).await, ann);
    assert_eq!(who(&third, at(100)).await, None);
    // The repeat gave the first token no more time; a later use of that token ends all.
    assert_eq!(who(&first, at(40)).await, None);
    assert_eq!(who(&third, at(40)).await, None);
    assert_eq!(
        store
            .rotate_login_token(&third, &fourth, at(41))
            .await
            .unwrap(),
        None
    );
    // A made-up token lets no one in, and the old token is one for a log-out.
    let [first, second] = [[5; 32], [6; 32]];
    assert_eq!(
        store
            .rotate_login_token(&fourth, &first, at(1))
            .await
            .unwrap(),
        None
    );
    store
        .insert_login(&login(first, "ann", at(100)))
        .await
        .unwrap();
    store
        .rotate_login_token(&first, &second, at(10))
        .await
        .unwrap();
    store.end_login(&first).await.unwrap();
    assert_eq!(who(&second, at(11)).await, None);
}

pub(crate) async fn people_go_in_all_or_none(store: Arc<dyn Store>) {
    let outcome = store
        .upsert_people(&[(person("ann"), [1; 32]), (person(""), [1; 32])])
        .await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
    assert_eq!(store.read_credentials(&"ann".into()).await.unwrap(), None);
}

pub(crate) async fn a_login_holds_until_it_expires_or_is_ended(store: Arc<dyn Store>) {
    furnish(&*store).await;
    for token in [[1; 32], [2; 32]] {
        store
            .insert_login(&login(token, "ann", at(100)))
            .await
            .unwrap();
    }
    assert_eq!(
        store.verify_login(&[1; 32], at(99)).await.unwrap(),
        Some(person("ann"))
    );
    assert_eq!(store.verify_login(&[1; 32], at(100)).await.unwrap(), None);
    assert_eq!(store.verify_login(&[3; 32], MORNING).await.unwrap(), None);
    store.end_login(&[1; 32]).await.unwrap();
    store.end_login(&[1; 32]).await.unwrap();
    assert_eq!(store.verify_login(&[1; 32], MORNING).await.unwrap(), None);
    assert_eq!(
        store.verify_login(&[2; 32], MORNING).await.unwrap(),
        Some(person("ann"))
    );
    let outcome = store.insert_login(&login([4; 32], "nobody", at(1))).await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
}

pub(crate) async fn the_first_secret_of_a_name_stays(store: Arc<dyn Store>) {
    let fresh: Vec<[u8; 32]> = (1..=8).map(|byte| [byte; 32]).collect();
    let calls = fresh
        .iter()
        .map(|secret| store.ensure_secret("pepper", secret));
    let kept = futures_util::future::join_all(calls).await;
    let first = *kept[0].as_ref().unwrap();
    assert!(fresh.contains(&first));
    assert!(kept.iter().all(|secret| *secret.as_ref().unwrap() == first));
    assert_eq!(
        store.ensure_secret("pepper", &[99; 32]).await.unwrap(),
        first
    );
    assert_eq!(
        store.ensure_secret("other", &[99; 32]).await.unwrap(),
        [99; 32]
    );
}
