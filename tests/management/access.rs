//! Every route of the management side refuses the callers whom its declaration shuts out.

use invigil::web::{DeclaredRoute, RouteAccess, declared_routes};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    harness::{Person, Reply},
    world::{World, world},
};

/// Returns a value that a schema of the description allows.
fn sample(description: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = description.pointer(reference.trim_start_matches('#'));
        return sample(description, schema.unwrap());
    }
    match schema["type"].as_str() {
        Some("string") => json!("x"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.map(|name| {
                let name = name.as_str().unwrap();
                let value = sample(description, &schema["properties"][name]);
                (name.to_owned(), value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// Sends a request that reaches the check of the caller: its body can be parsed.
async fn call(caller: &Person, route: &DeclaredRoute, description: &Value) -> Reply {
    let method = route.method.clone().unwrap();
    let path = route.path.strip_prefix("/api/v1").unwrap();
    if path == "/manage/people/import" {
        let roster = "id,name,email,role,code,exams,time_factor,extra_minutes\n";
        let roster = format!("{roster}new,New,,candidate,code-new,,,\n");
        return caller.csv(path, roster).await;
    }
    if path == "/manage/exams/import" {
        let exam = include_str!("../../config/samples/demo-quiz.yaml");
        return caller.text(path, "application/yaml", exam.to_owned()).await;
    }
    let operation = &description["paths"][&route.path][method.as_str().to_lowercase()];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let body = (method != Method::GET).then(|| sample(description, schema));
    let path = path
        .replace("{question}", "q")
        .replace("{username}", "cand")
        .replace(['{', '}'], "");
    let numbers = ["id", "session", "file", "attempt"];
    let path: Vec<&str> = path
        .split('/')
        .map(|part| if numbers.contains(&part) { "1" } else { part })
        .collect();
    caller
        .send(method, &path.join("/"), Some("\"1\""), body)
        .await
}

async fn check_route(
    world: &World,
    strangers: &[Person; 3],
    description: &Value,
    route: &DeclaredRoute,
) {
    let [nobody, candidate, proctor] = strangers;
    let reply = call(nobody, route, description).await;
    assert_eq!(reply.status, 401, "nobody at {route:?}: {reply:?}");
    let mut refused = Vec::new();
    if route.access != RouteAccess::OwnAccount {
        refused.extend([candidate, proctor]);
    }
    if route.access == RouteAccess::Administrator {
        refused.push(&world.tess);
    }
    for caller in refused {
        let reply = call(caller, route, description).await;
        assert_eq!(reply.refusal(), (403, "forbidden"), "{route:?}: {reply:?}");
    }
}

#[tokio::test]
async fn every_route_refuses_those_whom_its_declaration_shuts_out() {
    let Some(world) = world().await else { return };
    let candidate = world.site.login("cand").await;
    let strangers = [
        candidate.with_token(&json!("nobody")),
        candidate,
        world.site.login("pat").await,
    ];
    let description = world.root.fetch("/api/openapi.json", None).await;
    let description: Value = description.json().await.unwrap();
    let mut checked = 0;
    for route in declared_routes() {
        match route.access {
            RouteAccess::OwnAccount | RouteAccess::Manager | RouteAccess::Administrator => {
                check_route(&world, &strangers, &description, &route).await;
                checked += 1;
            }
            RouteAccess::Public
            | RouteAccess::Link
            | RouteAccess::FirstMessage
            | RouteAccess::Person
            | RouteAccess::Owner
            | RouteAccess::Attempt
            | RouteAccess::ExamStaff
            | RouteAccess::ExamTeacher => {
                assert!(!route.path.starts_with("/api/v1/manage"), "{route:?}");
            }
        }
    }
    assert!(checked > 60, "{checked}");
    world.site.end().await;
}
