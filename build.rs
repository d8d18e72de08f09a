//! Prepares the files that the program embeds: the pages from `clients/web/dist`, which
//! `npm run build` makes, and what a browser asks for of Swagger UI, a fifth of its archive. The
//! program builds without pages too, so their folder must exist; changed pages rebuild it.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, Cursor},
    path::Path,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The folder in the archive, and the files that `src/web/openapi/browser.rs` serves.
const SWAGGER_UI: &str = "swagger-ui-5.17.14/dist";
const SWAGGER_UI_FILES: [&str; 7] = [
    "favicon-16x16.png",
    "favicon-32x32.png",
    "index.css",
    "index.html",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

fn main() -> Result<(), Box<dyn Error>> {
    fs::create_dir_all("clients/web/dist")?;
    println!("cargo::rerun-if-changed=clients/web/dist");
    println!("cargo::rerun-if-changed=build.rs");

    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script by it"
    )]
    let folder = env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in SWAGGER_UI_FILES {
        let mut packed = archive.by_name(&format!("{SWAGGER_UI}/{name}"))?;
        io::copy(
            &mut packed,
            &mut File::create(Path::new(&folder).join(name))?,
        )?;
    }
    Ok(())
}
