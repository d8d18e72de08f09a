//! Uploads to S3 by the links that it honours, and their confirmation.

use std::time::Duration;

use object_store::{
    Attribute, Attributes, ObjectStore as _, PutOptions, aws::AmazonS3Builder, path::Path as Key,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ACCESS_KEY, SECRET_KEY, Site, png};

fn picture(bytes: usize) -> Value {
    json!({"kind": "snapshot", "content_type": "image/png", "bytes": bytes})
}

/// The headers of an upload.
fn headers(announced: &Value) -> Vec<(&str, &str)> {
    let headers = announced["upload"]["headers"].as_object().unwrap();
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_link_is_good_for_what_was_announced_alone() {
    let site = Site::s3("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let announced = site.announce(id, &ann, picture(50)).await.ok();
    let url = site.whole(&announced["upload"]["url"]);
    assert!(!url.contains(SECRET_KEY));
    // Pages may send it there, and show it from there.
    let home = site.send(Method::GET, "/", "", None).await;
    let policy = home.headers["content-security-policy"].to_str().unwrap();
    let (server, _) = url.split_once("/bucket/").unwrap();
    for source in [
        "connect-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
    ] {
        assert!(policy.contains(&format!("{source} {server};")), "{policy}");
    }
    let expected = headers(&announced);
    for (name, _) in &expected {
        let mut changed = expected.clone();
        changed.retain(|(other, _)| other != name);
        let reply = site.request(Method::PUT, &url, &changed, &png(50)).await;
        assert!(reply.status.is_client_error(), "without {name}: {reply:?}");
        changed.push((name, "text/html"));
        let reply = site.request(Method::PUT, &url, &changed, &png(50)).await;
        assert_eq!(reply.status, 403, "another {name}");
    }
    for method in [Method::GET, Method::DELETE, Method::POST] {
        let reply = site.request(method.clone(), &url, &expected, b"").await;
        assert!(reply.status.is_client_error(), "{method}: {reply:?}");
    }
    assert_eq!(site.files(), Vec::<String>::new());
    assert_eq!(site.upload(&announced, &png(50)).await.status, 200);
    let [file] = &site.files()[..] else {
        panic!("one file")
    };
    assert!(file.starts_with(&format!("exams/here/ART/{id}/")), "{file}");
}

#[tokio::test]
async fn no_link_can_be_forged() {
    let site = Site::s3("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let kept = site.store(id, &ann, &png(50)).await;
    let link = site.link(id, &tess, &kept).await.ok();
    let get = site.whole(&link["url"]);
    let announced = site.announce(id, &ann, picture(50)).await.ok();
    let put = site.whole(&announced["upload"]["url"]);
    let expected = headers(&announced);
    for (method, url, headers) in [
        (Method::GET, &get, &[][..]),
        (Method::PUT, &put, &expected[..]),
    ] {
        let start = url.find("/bucket/").unwrap() + 1;
        assert!(url.len() - start > 300);
        for index in start..url.len() {
            let mut forged = url.clone().into_bytes();
            forged[index] = if forged[index] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            let reply = site
                .request(method.clone(), &forged, headers, &png(50))
                .await;
            assert!(!reply.status.is_success(), "{forged}: {reply:?}");
        }
    }
    assert_eq!(site.files().len(), 1);
}

#[tokio::test]
async fn what_is_there_is_looked_at_before_it_counts() {
    let site = Site::s3("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let announced = site.announce(id, &ann, picture(50)).await.ok();
    let url = announced["upload"]["url"].as_str().unwrap();
    let (server, _) = url.split_once("/bucket/").unwrap();
    // A client with the key, as no candidate's is.
    let bucket = AmazonS3Builder::new()
        .with_endpoint(server)
        .with_allow_http(true)
        .with_bucket_name("bucket")
        .with_region("us-east-1")
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .unwrap();
    let name = announced["id"].as_str().unwrap();
    let key = Key::from(format!("exams/here/ART/{id}/{name}.png"));
    let cases = [
        (50, "text/html", (415, "type_not_allowed")),
        (49, "image/png", (400, "bad_request")),
        (51, "image/png", (413, "too_large")),
    ];
    for (size, content_type, (status, code)) in cases {
        let attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        let options = PutOptions::from(attributes);
        bucket
            .put_opts(&key, png(size).into(), options)
            .await
            .unwrap();
        let refusal = site.done(id, &ann, &announced).await.refusal();
        assert_eq!(refusal, (status, code.to_owned()), "{size} {content_type}");
        assert_eq!(site.list(id, &tess).await[0]["state"], "pending");
        assert_eq!(site.link(id, &tess, &announced).await.status, 409);
        assert_eq!(site.files(), Vec::<String>::new());
    }
    // The same by the link, whose size no signature binds; then the announced size.
    for (size, expected) in [(49, 400), (51, 413), (50, 204)] {
        site.upload(&announced, &png(size)).await.ok();
        assert_eq!(site.done(id, &ann, &announced).await.status, expected);
    }
    assert_eq!(site.files().len(), 1);
}

#[tokio::test]
async fn while_the_server_is_away_nothing_is_confirmed_or_forgotten() {
    // Nothing listens there.
    let settings = "url = \"s3://bucket\"\nendpoint = \"http://127.0.0.1:9\"\n\
                    access_key = \"x\"\nsecret_key = \"x\"";
    let site = Site::folder(settings).await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let announced = site.announce(id, &ann, picture(50)).await.ok();
    let refusal = site.done(id, &ann, &announced).await.refusal();
    assert_eq!(refusal, (503, "unavailable".to_owned()));
    let late = site.now() + Duration::from_hours(25);
    assert!(site.app.evidence.remove_expired(late).await.is_err());
    assert_eq!(site.list(id, &tess).await.len(), 1);
}
