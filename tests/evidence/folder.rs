//! Files through the engine itself: its links, and content other than announced.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Site, png, until};

/// Files that begin as those of each type do.
fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let padded = |head: &[u8]| {
        let mut content = head.to_vec();
        content.resize(600, 0);
        content
    };
    let webm = padded(b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm");
    let mut opus = padded(b"OggS");
    opus[28..36].copy_from_slice(b"OpusHead");
    vec![
        ("snapshot", "image/jpeg", padded(b"\xff\xd8\xff\xe0")),
        ("snapshot", "image/png", png(600)),
        ("screen", "image/webp", padded(b"RIFF\0\0\0\0WEBP")),
        ("audio", "audio/webm", webm.clone()),
        ("audio", "audio/ogg", padded(b"OggS")),
        ("audio", "audio/ogg", opus),
        ("audio", "audio/mpeg", padded(b"ID3")),
        ("audio", "audio/wav", padded(b"RIFF\0\0\0\0WAVE")),
        ("video", "video/webm", webm),
        ("screen", "video/mp4", padded(b"\0\0\0\x18ftypisom")),
    ]
}

#[tokio::test]
async fn content_is_what_it_was_announced_as() {
    let site = Site::folder("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let samples = samples();
    let mut kept = 0;
    for (kind, content_type, _) in &samples {
        for (_, other, content) in &samples {
            let body = json!({"kind": kind, "content_type": content_type, "bytes": 600});
            let announced = site.announce(id, &ann, body).await.ok();
            let put = site.upload(&announced, content).await;
            let sound_or_film = |name: &str| name.ends_with("/webm");
            let same = content_type == other || sound_or_film(content_type) && sound_or_film(other);
            let expected = if same { 204 } else { 415 };
            assert_eq!(put.status, expected, "{other} as {content_type}");
            kept += usize::from(same);
            if !same {
                continue;
            }
            let link = site.link(id, &tess, &announced).await.ok();
            let url = site.whole(&link["url"]);
            let shown = site.request(Method::GET, &url, &[], b"").await;
            assert_eq!(shown.headers["content-type"], *content_type);
            // Nothing in it can run, and no cache keeps it.
            let policy = shown.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("sandbox"), "{policy}");
            assert_eq!(shown.headers["x-content-type-options"], "nosniff");
            assert_eq!(shown.headers["cache-control"], "no-store");
        }
    }
    assert_eq!(site.files().len(), kept);
    let mode = site
        .dir()
        .join("data/evidence")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn what_is_not_as_announced_leaves_nothing() {
    let site = Site::folder("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let bytes = 3 << 20;
    let body = json!({"kind": "snapshot", "content_type": "image/png", "bytes": bytes});
    let announced = site.announce(id, &ann, body).await.ok();
    let mut page = b"<html><script>".to_vec();
    page.resize(bytes, b' ');
    let cases = [
        (page, (415, "type_not_allowed")),
        (Vec::new(), (415, "type_not_allowed")),
        (png(bytes)[..3].to_vec(), (415, "type_not_allowed")),
        (png(bytes)[..5].to_vec(), (400, "bad_request")),
        (png(bytes - 1), (400, "bad_request")),
        (png(bytes + 1), (413, "too_large")),
    ];
    for (content, (status, code)) in cases {
        let refusal = site.upload(&announced, &content).await.refusal();
        assert_eq!(refusal, (status, code.to_owned()), "{}", content.len());
        until(async || site.files(), Vec::is_empty).await;
    }

    // In chunks, whose sum is not announced.
    let path = announced["upload"]["url"].as_str().unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\n", site.address());
    let mut socket = TcpStream::connect(site.address()).await.unwrap();
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    socket.write_all(chunked.as_bytes()).await.unwrap();
    let content = png(bytes + 1);
    for part in content.chunks(1 << 16) {
        let size = format!("{:x}\r\n", part.len());
        let chunk = [size.as_bytes(), part, b"\r\n"].concat();
        socket.write_all(&chunk).await.unwrap();
    }
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    until(async || site.files(), Vec::is_empty).await;

    // By a client that goes away in the middle.
    let mut socket = TcpStream::connect(site.address()).await.unwrap();
    let whole = format!("{head}Content-Length: {bytes}\r\n\r\n");
    socket.write_all(whole.as_bytes()).await.unwrap();
    socket.write_all(&content[..2 << 20]).await.unwrap();
    until(async || site.files(), |files| !files.is_empty()).await;
    drop(socket);
    until(async || site.files(), Vec::is_empty).await;

    // The link is still good for what was announced.
    assert_eq!(site.upload(&announced, &png(bytes)).await.status, 204);
    assert_eq!(site.files().len(), 1);
}

#[tokio::test]
async fn what_a_killed_process_left_of_an_upload_goes_too() {
    let site = Site::folder("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let body = json!({"kind": "snapshot", "content_type": "image/png", "bytes": 50});
    let announced = site.announce(id, &ann, body).await.ok();
    let late = site.now() + Duration::from_hours(25);
    site.store(id, &ann, &png(50)).await;
    let rest = format!("ART/{id}/{}.png#1", announced["id"].as_str().unwrap());
    std::fs::write(site.path(&rest), "half of a picture").unwrap();
    assert_eq!(site.app.evidence.remove_expired(late).await.unwrap(), 1);
    assert_eq!(site.files().len(), 1);
    assert!(!site.files().contains(&rest));
}

#[tokio::test]
async fn no_link_can_be_forged() {
    let site = Site::folder("").await;
    let (id, ann) = site.attempt("ann", "ART", None).await;
    let tess = site.login("tess").await;
    let kept = site.store(id, &ann, &png(50)).await;
    let link = site.link(id, &tess, &kept).await.ok();
    let get = site.whole(&link["url"]);
    let body = json!({"kind": "snapshot", "content_type": "image/png", "bytes": 50});
    let announced = site.announce(id, &ann, body).await.ok();
    let put = site.whole(&announced["upload"]["url"]);
    let refused = (403, "link_not_valid".to_owned());
    for (method, url) in [(Method::GET, &get), (Method::PUT, &put)] {
        let start = url.rfind('/').unwrap() + 1;
        assert!(url.len() - start > 100);
        for index in start..url.len() {
            let mut forged = url.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            let reply = site.request(method.clone(), &forged, &[], &png(50)).await;
            assert_eq!(reply.refusal(), refused, "at {index}");
        }
    }
    // A link to read does not write, nor the other way round; another kind of token is no
    // link.
    let reply = site.request(Method::PUT, &get, &[], &png(50)).await;
    assert_eq!(reply.refusal(), refused);
    let reply = site.request(Method::GET, &put, &[], b"").await;
    assert_eq!(reply.refusal(), refused);
    let start = put.rfind('/').unwrap() + 1;
    for other in [ann.as_str(), tess.as_str(), "x", "..%2f..%2fsecret"] {
        let url = format!("{}{other}", &put[..start]);
        let reply = site.request(Method::GET, &url, &[], b"").await;
        assert_eq!(reply.refusal(), refused, "{other}");
    }
    assert_eq!(site.files().len(), 1);
    // Nor is a link a token.
    let token = get.rsplit('/').next().unwrap();
    assert_eq!(site.link(id, token, &kept).await.status, 401);
}
