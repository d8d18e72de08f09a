//! The pages are embedded from `clients/web/dist`, which `npm run build` makes.
//! The program builds without them too, so the folder must exist; and it must
//! be built again when they change.

use std::{fs, io};

fn main() -> io::Result<()> {
    fs::create_dir_all("clients/web/dist")?;
    println!("cargo::rerun-if-changed=clients/web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
