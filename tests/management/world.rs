//! Two organisations that know nothing of each other.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, Site, roster};

/// Two organisations with a teacher, a course and an exam each.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) root: Person,
    pub(crate) tess: Person,
    pub(crate) mine: Place,
    pub(crate) other: Place,
}

pub(crate) struct Place {
    pub(crate) organization: i64,
    pub(crate) course: i64,
    pub(crate) exam: i64,
    pub(crate) question: i64,
    pub(crate) teacher: i64,
}

pub(crate) async fn world() -> Option<World> {
    let people = [
        ("root", "admin"),
        ("tess", "teacher"),
        ("olga", "teacher"),
        ("cand", "candidate"),
        ("pat", "proctor"),
    ];
    let site = Site::start(&roster(&people)).await?;
    site.run(&["admin", "root"]).await;
    let root = site.login("root").await;
    let id_of = async |name: &str| -> Value {
        let found = root.get(&format!("/manage/people?username={name}")).await;
        found.ok()["items"][0].clone()
    };
    let (tess, olga) = (id_of("tess").await, id_of("olga").await);
    let first = tess["organization_id"].as_i64().unwrap();
    let second = root
        .post(
            "/manage/organizations",
            json!({"name": "Other", "code": "OTHER", "type": "school"}),
        )
        .await
        .id();
    let olga = olga["id"].as_i64().unwrap();
    let one = format!("/manage/people/{olga}");
    root.on(
        Method::PATCH,
        &one,
        &one,
        json!({"organization_id": second}),
    )
    .await
    .ok();
    for (organization, roles) in [(first, json!([])), (second, json!(["teacher"]))] {
        let roles = json!({"organization_id": organization, "roles": roles});
        root.put(&format!("{one}/roles"), roles).await.ok();
    }
    let mine = furnish(&root, first, tess["id"].as_i64().unwrap(), "A").await;
    let other = furnish(&root, second, olga, "B").await;
    let tess = site.login("tess").await;
    Some(World {
        site,
        root,
        tess,
        mine,
        other,
    })
}

async fn furnish(root: &Person, organization: i64, teacher: i64, letter: &str) -> Place {
    let course = root
        .post(
            "/manage/courses",
            json!({
                "title": letter, "code": format!("C-{letter}"), "instructor_id": teacher,
                "organization_id": organization,
            }),
        )
        .await
        .id();
    let exam = root
        .post(
            "/manage/exams",
            json!({
                "code": format!("E-{letter}"), "title": letter, "organization_id": organization,
                "course_id": course, "duration_minutes": 30,
            }),
        )
        .await
        .id();
    let question = root
        .post(
            "/manage/questions",
            json!({
                "organization_id": organization,
                "definition": {"type": "essay", "content": format!("Why {letter}?")},
            }),
        )
        .await
        .id();
    Place {
        organization,
        course,
        exam,
        question,
        teacher,
    }
}
