//! Embeds the pages from `clients/web/dist`, which `npm run build` makes. The
//! program builds without pages too, so the folder must exist; changed pages
//! rebuild the program.

use std::{fs, io};

fn main() -> io::Result<()> {
    fs::create_dir_all("clients/web/dist")?;
    println!("cargo::rerun-if-changed=clients/web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
