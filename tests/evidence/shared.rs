//! Promises that every place of files keeps.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use invigil_domain::time::Timestamp;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::harness::{Site, png, until};

/// A picture of five bytes less than a part of an upload, and of more than three.
const SIZES: [usize; 2] = [(1 << 20) - 5, (3 << 20) + 7];

fn picture(bytes: usize) -> Value {
    json!({"kind": "snapshot", "content_type": "image/png", "bytes": bytes})
}

pub(crate) async fn a_file_goes_the_whole_way<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let (tess, paul) = (site.login("tess").await, site.login("paul").await);
    let before = site.now();
    for size in SIZES {
        let content = png(size);
        let mut body = picture(size);
        body["event"] = json!(size);
        body["session"] = json!("s-1");
        let reply = site.announce(id, &ann, body).await;
        assert_eq!(reply.status, 201);
        let announced = reply.ok();
        let until = Timestamp::from_ms(announced["upload"]["expires_at"].as_i64().unwrap());
        assert!(before + Duration::from_mins(5) <= until);
        assert!(until <= site.now() + Duration::from_mins(5));

        // Nothing can be read, or confirmed, before it is there.
        assert_eq!(site.done(id, &ann, &announced).await.refusal().0, 409);
        assert_eq!(site.link(id, &tess, &announced).await.refusal().0, 409);
        assert_eq!(
            site.list(id, &tess).await.last().unwrap()["state"],
            "pending"
        );
        let put = site.upload(&announced, &content).await;
        assert!(put.status.is_success(), "{put:?}");
        assert_eq!(site.done(id, &ann, &announced).await.status, 204);
        assert_eq!(site.done(id, &ann, &announced).await.status, 204);

        let listed = site.list(id, &paul).await.pop().unwrap();
        let at = Timestamp::from_ms(listed["at"].as_i64().unwrap());
        assert!(before <= at && at <= site.now());
        let expected = json!({
            "id": announced["id"], "kind": "snapshot", "at": listed["at"],
            "content_type": "image/png", "bytes": size, "event": size, "session": "s-1",
            "state": "stored",
        });
        assert_eq!(listed, expected);
        for person in [&tess, &paul] {
            is_shown(
                &site,
                &site.link(id, person, &announced).await.ok(),
                &content,
            )
            .await;
        }

        // Evidence does not change: the same link uploads nothing else.
        let other = site.upload(&announced, &png(size)).await;
        assert!([409, 412].contains(&other.status.as_u16()), "{other:?}");
    }
    for listed in site.list(id, &tess).await {
        let end = format!("ART/{id}/{}.png", listed["id"].as_str().unwrap());
        assert!(
            site.files().iter().any(|file| file.ends_with(&end)),
            "{end}"
        );
    }
}

/// A link shows a picture, whole and in parts.
async fn is_shown(site: &Site, link: &Value, content: &[u8]) {
    let url = site.whole(&link["url"]);
    let shown = site.request(Method::GET, &url, &[], b"").await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.headers[header::CONTENT_TYPE], "image/png");
    assert!(shown.content == content);
    let part = [("range", "bytes=1-3")];
    let part = site.request(Method::GET, &url, &part, b"").await;
    assert_eq!(
        (part.status.as_u16(), &part.content[..]),
        (206, &b"PNG"[..])
    );
    let range = part.headers[header::CONTENT_RANGE].to_str().unwrap();
    assert_eq!(range, format!("bytes 1-3/{}", content.len()));
    let beyond = [("range", "bytes=99999999-")];
    let beyond = site.request(Method::GET, &url, &beyond, b"").await;
    assert_eq!(beyond.status, 416);
}

pub(crate) async fn what_may_not_be_evidence_is_refused<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("file_bytes = 5000").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let changed = |name: &str, value: Value| {
        let mut body = picture(5000);
        body[name] = value;
        body
    };
    let cases = [
        (picture(5001), 413, "too_large"),
        (picture(0), 400, "bad_request"),
        (changed("bytes", json!(-1)), 400, "bad_request"),
        (changed("bytes", Value::Null), 400, "bad_request"),
        (changed("kind", json!("diary")), 400, "bad_request"),
        (changed("kind", json!("audio")), 415, "type_not_allowed"),
        (
            changed("content_type", json!("image/svg+xml")),
            415,
            "type_not_allowed",
        ),
        (
            changed("content_type", json!("text/html")),
            415,
            "type_not_allowed",
        ),
        (changed("content_type", json!("")), 415, "type_not_allowed"),
        (changed("event", json!(u64::MAX)), 400, "bad_request"),
        (changed("session", json!("")), 400, "bad_request"),
        (changed("session", json!("a\u{0}b")), 400, "bad_request"),
        (
            changed("session", json!("s".repeat(65))),
            400,
            "bad_request",
        ),
    ];
    for (body, status, code) in cases {
        let refusal = site.announce(id, &ann, body.clone()).await.refusal();
        assert_eq!(refusal, (status, code.to_owned()), "{body}");
    }
    assert_eq!(site.list(id, &tess).await, Vec::<Value>::new());
    // The largest allowed file passes, and parameters of its type do no harm.
    let largest = changed("content_type", json!("image/PNG; q=1"));
    let announced = site.announce(id, &ann, largest).await.ok();
    let put = site.upload(&announced, &png(5000)).await;
    assert!(put.status.is_success(), "{put:?}");
}

pub(crate) async fn what_is_anothers_is_not_found<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("").await;
    let (anns, ann) = site.attempt("ann", "ART", None).await;
    let (bobs, bob) = site.attempt("bob", "ART", None).await;
    let (others, _) = site.attempt("ann", "OTHER", None).await;
    let (tess, olga) = (site.login("tess").await, site.login("olga").await);
    let announced = site.announce(anns, &ann, picture(50)).await.ok();
    site.upload(&announced, &png(50)).await.ok();

    // By another candidate, and by the owner or staff under another attempt.
    let not_found = (404, "not_found".to_owned());
    assert_eq!(
        site.announce(anns, &bob, picture(9)).await.refusal(),
        not_found
    );
    assert_eq!(site.done(anns, &bob, &announced).await.refusal(), not_found);
    assert_eq!(site.done(bobs, &bob, &announced).await.refusal(), not_found);
    assert_eq!(
        site.link(bobs, &tess, &announced).await.refusal(),
        not_found
    );
    assert_eq!(
        site.link(others, &olga, &announced).await.refusal(),
        not_found
    );
    let path = format!("/api/v1/attempts/{anns}/evidence");
    for stranger in [&bob, &olga] {
        let list = site.send(Method::GET, &path, stranger, None).await;
        assert_eq!(list.refusal(), not_found);
        assert_eq!(
            site.link(anns, stranger, &announced).await.refusal(),
            not_found
        );
    }
    let nothing = json!({"id": "../../secret"});
    assert_eq!(site.link(anns, &tess, &nothing).await.status, 404);
    let nothing = json!({"id": "0".repeat(32)});
    assert_eq!(site.link(anns, &tess, &nothing).await.refusal(), not_found);

    // Candidates do not look, staff do not upload, and a stranger does neither.
    let forbidden = (403, "forbidden".to_owned());
    for own in [&ann, &site.login("ann").await] {
        let list = site.send(Method::GET, &path, own, None).await;
        assert_eq!(list.refusal(), forbidden);
        assert_eq!(site.link(anns, own, &announced).await.refusal(), forbidden);
    }
    assert_eq!(
        site.announce(anns, &tess, picture(9)).await.refusal(),
        forbidden
    );
    assert_eq!(
        site.done(anns, &tess, &announced).await.refusal(),
        forbidden
    );
    assert_eq!(site.announce(anns, "", picture(9)).await.status, 401);
    assert_eq!(site.done(anns, "", &announced).await.status, 401);
    assert_eq!(site.link(anns, "", &announced).await.status, 401);
    assert_eq!(site.list(bobs, &tess).await, Vec::<Value>::new());
}

pub(crate) async fn an_attempt_has_so_many_files_an_hour<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("files_per_hour = 3").await;
    let (anns, ann) = site.attempt("ann", "ART", None).await;
    let (bobs, bob) = site.attempt("bob", "ART", None).await;
    for _ in 0..3 {
        site.announce(anns, &ann, picture(50)).await.ok();
    }
    let refused = site.announce(anns, &ann, picture(50)).await;
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    let wait = refused.headers[header::RETRY_AFTER].to_str().unwrap();
    assert!(
        (3500..=3600).contains(&wait.parse::<u32>().unwrap()),
        "{wait}"
    );
    site.announce(bobs, &bob, picture(50)).await.ok();
}

pub(crate) async fn ten_minutes_after_its_end_an_attempt_gets_no_more<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("").await;
    let ago = |minutes| Some(site.now() - Duration::from_mins(minutes));
    let (id, ann) = site.attempt("ann", "ART", ago(9)).await;
    site.store(id, &ann, &png(50)).await;
    let (id, bob) = site.attempt("bob", "ART", ago(11)).await;
    let refused = site.announce(id, &bob, picture(50)).await;
    assert_eq!(refused.refusal(), (409, "wrong_state".to_owned()));
}

pub(crate) async fn a_link_ends<F: Future<Output = Site>>(site: impl FnOnce(&'static str) -> F) {
    let site = site("link_seconds = 1").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let late = site.announce(id, &ann, picture(50)).await.ok();
    // On a busy machine a link may end before its use.
    let upload = async || {
        let announced = site.announce(id, &ann, picture(50)).await.ok();
        (site.upload(&announced, &png(50)).await.status, announced)
    };
    let (_, announced) = until(upload, |(status, _)| status.is_success()).await;
    site.done(id, &ann, &announced).await.ok();
    let link = site.link(id, &tess, &announced).await.ok();
    let url = site.whole(&link["url"]);
    let look = || site.request(Method::GET, &url, &[], b"");
    let ended = until(look, |reply| reply.status != 200).await;
    assert_eq!(ended.status, 403);
    assert!(site.now().as_ms() + 1000 >= link["expires_at"].as_i64().unwrap());
    assert_eq!(site.upload(&late, &png(50)).await.status, 403);
    assert_eq!(site.files().len(), 1);
    // Another one is good again.
    let look = async || {
        let link = site.link(id, &tess, &announced).await.ok();
        let url = site.whole(&link["url"]);
        site.request(Method::GET, &url, &[], b"").await.status
    };
    until(look, |status| *status == 200).await;
}

pub(crate) async fn old_files_are_removed_and_those_that_never_came<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("days = 30").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let kept = site.store(id, &ann, &png(50)).await;
    site.announce(id, &ann, picture(50)).await.ok();
    // Uploaded and never confirmed, where the client confirms.
    let announced = site.announce(id, &ann, picture(60)).await.ok();
    site.upload(&announced, &png(60)).await.ok();
    let stored = site.list(id, &tess).await;
    let stored = stored.iter().filter(|row| row["state"] == "stored").count();

    let after = |hours| site.now() + Duration::from_hours(hours);
    let sweep = async |hours| {
        site.app
            .evidence
            .remove_expired(after(hours))
            .await
            .unwrap()
    };
    assert_eq!(sweep(23).await, 0);
    assert_eq!(site.files().len(), 2);
    assert_eq!(sweep(25).await, 3 - stored);
    assert_eq!(site.files().len(), stored);
    assert_eq!(site.list(id, &tess).await[0]["id"], kept["id"]);
    assert_eq!(sweep(30 * 24 - 1).await, 0);

    // A file that is gone already does not stop the others.
    let gone = site
        .files()
        .into_iter()
        .find(|file| file.contains(kept["id"].as_str().unwrap()));
    std::fs::remove_file(site.path(&gone.unwrap())).unwrap();
    let link = site.link(id, &tess, &kept).await.ok();
    let shown = site
        .request(Method::GET, &site.whole(&link["url"]), &[], b"")
        .await;
    assert_eq!(shown.status, 404);
    assert_eq!(sweep(30 * 24 + 1).await, stored);
    assert_eq!(site.files(), Vec::<String>::new());
    assert_eq!(site.list(id, &tess).await, Vec::<Value>::new());
    assert_eq!(site.link(id, &tess, &kept).await.status, 404);
}

/// A log that is read afterwards.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) async fn looks_of_staff_are_logged<F: Future<Output = Site>>(
    site: impl FnOnce(&'static str) -> F,
) {
    let site = site("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let (paul, olga) = (site.login("paul").await, site.login("olga").await);
    let announced = site.store(id, &ann, &png(50)).await;
    let log = Log::default();
    let writer = log.clone();
    // The runtime of this test is this thread alone, and so is the subscriber.
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let link = site.link(id, &paul, &announced).await.ok();
    site.link(id, &olga, &announced).await;
    site.list(id, &paul).await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let looks: Vec<_> = text
        .lines()
        .filter(|line| line.contains("looks at"))
        .collect();
    assert_eq!(looks.len(), 2, "{text}");
    for look in looks {
        assert!(
            look.contains(&format!("person=paul attempt.id={id}")),
            "{look}"
        );
    }
    // The link itself would give every reader of the log the file.
    let secret = link["url"].as_str().unwrap();
    assert!(!text.contains(&secret[secret.len() - 20..]), "{text}");
    assert!(!text.contains("olga"), "{text}");
}
