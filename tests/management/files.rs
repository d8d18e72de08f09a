//! Files that questions show.

use reqwest::{Method, header};
use serde_json::json;

use crate::world::world;

/// A picture of one dot.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[tokio::test]
async fn a_picture_is_kept_shown_and_removed() {
    let Some(world) = world().await else { return };
    let (root, tess) = (&world.root, &world.tess);
    let question = format!("/manage/questions/{}", world.mine.question);
    let files = format!("{question}/media");
    let added = root
        .upload(&format!("{files}?alt=A+dot"), PNG.to_vec())
        .await;
    assert_eq!(added.status, 201);
    let file = added.ok();
    assert_eq!(
        (&file["kind"], &file["alt"]),
        (&json!("image/png"), &json!("A dot"))
    );
    let address = file["address"].as_str().unwrap();

    // A client that knows the address reads the file, whole or in part, for good.
    let shown = tess.fetch(address, None).await;
    let head = |name| shown.headers()[name].to_str().unwrap();
    assert_eq!(head(header::CONTENT_TYPE), "image/png");
    assert_eq!(head(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(head(header::CACHE_CONTROL).contains("immutable"));
    assert!(head(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
    assert_eq!(shown.bytes().await.unwrap(), PNG);
    let part = tess.fetch(address, Some("bytes=1-3")).await;
    assert_eq!(part.status(), 206);
    let range = part.headers()[header::CONTENT_RANGE].to_str().unwrap();
    assert_eq!(range, format!("bytes 1-3/{}", PNG.len()));
    assert_eq!(part.bytes().await.unwrap().as_ref(), b"PNG");
    let tail = tess.fetch(address, Some("bytes=-4")).await;
    assert_eq!(tail.bytes().await.unwrap(), PNG[PNG.len() - 4..]);
    assert_eq!(tess.fetch(address, Some("bytes=999-")).await.status(), 416);
    let guessed = address.replace(".png", ".pdf");
    assert_eq!(tess.fetch(&guessed, None).await.status(), 404);

    // Programs, oversized files and files for another person's question are refused.
    for content in ["<svg xmlns='http://www.w3.org/2000/svg'/>", "<html>", ""] {
        let reply = root.upload(&files, content.as_bytes().to_vec()).await;
        assert_eq!(reply.refusal(), (422, "invalid"), "{content}");
    }
    let large = [PNG, &vec![0; 20 << 20]].concat();
    assert_eq!(root.upload(&files, large).await.status, 413);
    let strange = format!("/manage/questions/{}/media", world.other.question);
    let reply = tess.upload(&strange, PNG.to_vec()).await;
    assert_eq!(reply.refusal(), (404, "not_found"));
    assert_eq!(tess.get(&strange).await.refusal(), (404, "not_found"));

    // A file stays while a question shows it.
    let definition = json!({"definition": {
        "type": "essay", "content": format!("What is ![it]({address})?"),
    }});
    root.on(Method::PATCH, &question, &question, definition)
        .await
        .ok();
    let one = format!("{files}/{}", file["id"]);
    let reply = root.send(Method::DELETE, &one, None, None).await;
    assert_eq!(reply.refusal(), (409, "in_use"));
    let without = json!({"definition": {"type": "essay", "content": "What is it?"}});
    root.on(Method::PATCH, &question, &question, without)
        .await
        .ok();
    let reply = root.send(Method::DELETE, &one, None, None).await;
    assert_eq!(reply.status, 204);
    assert_eq!(root.get(&files).await.ok()["items"], json!([]));

    // The file itself goes a day later.
    let said = world.site.run(&["maintenance", "run"]).await;
    assert!(said.contains("media: 0 media files removed"), "{said}");
    assert_eq!(tess.fetch(address, None).await.status(), 200);
    let name = address.rsplit('/').next().unwrap();
    let path = world
        .site
        .dir
        .path()
        .join("media")
        .join(&name[..2])
        .join(name);
    let old = std::fs::File::options().write(true).open(&path).unwrap();
    let days_ago =
        old.metadata().unwrap().modified().unwrap() - std::time::Duration::from_hours(48);
    old.set_modified(days_ago).unwrap();
    let said = world.site.run(&["maintenance", "run"]).await;
    assert!(said.contains("media: 1 media files removed"), "{said}");
    assert_eq!(tess.fetch(address, None).await.status(), 404);
    world.site.end().await;
}
