//! The walls between crates. `docs/architecture.md` gives the reasons.

use std::{collections::BTreeSet, str::FromStr};

use proc_macro2::{TokenStream, TokenTree};

use super::{File, files, none, read};

/// The wall around a crate. The compiler keeps what its manifest says; this table keeps the
/// manifest.
struct CrateWall {
    /// Folder of the crate.
    folder: &'static str,
    /// Crates of this workspace that it may use.
    uses: &'static [&'static str],
    /// Crates of others that it must not use.
    never: &'static [&'static str],
}

const SQL: &str = "sqlx";
const WEB: &str = "axum";

/// Manifests without code, which every crate may use, that with a runtime where tokio is allowed.
const FEATURES: &str = "invigil-features";
const FEATURES_NET: &str = "invigil-features-net";

const WALLS: [CrateWall; 14] = [
    CrateWall {
        folder: "crates/features",
        uses: &[],
        never: &["tokio", "tracing", SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/features-net",
        uses: &[],
        never: &[SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/domain",
        uses: &[],
        never: &[
            "tokio",
            "tracing",
            SQL,
            WEB,
            "redis",
            "mongodb",
            "getrandom",
        ],
    },
    CrateWall {
        folder: "crates/telemetry",
        uses: &[],
        never: &["tokio", SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/secrets",
        uses: &[],
        never: &[SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/cluster",
        uses: &["invigil-domain", "invigil-telemetry"],
        never: &[SQL, WEB, "mongodb"],
    },
    CrateWall {
        folder: "crates/store",
        uses: &["invigil-domain"],
        never: &["tokio", SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/store-sql",
        uses: &["invigil-domain", "invigil-store"],
        never: &[WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/store-mongo",
        uses: &["invigil-domain", "invigil-store"],
        never: &[SQL, WEB, "redis"],
    },
    CrateWall {
        folder: "crates/engine",
        uses: &[
            "invigil-cluster",
            "invigil-domain",
            "invigil-protocol",
            "invigil-store",
            "invigil-telemetry",
        ],
        never: &[SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/objects",
        uses: &["invigil-domain", "invigil-secrets", "invigil-store"],
        never: &[SQL, WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "crates/management",
        uses: &[
            "invigil-domain",
            "invigil-objects",
            "invigil-secrets",
            "invigil-store",
            "invigil-store-sql",
        ],
        never: &[WEB, "redis", "mongodb"],
    },
    CrateWall {
        folder: "clients/protocol",
        uses: &[],
        never: &["tokio", SQL, WEB],
    },
    CrateWall {
        folder: ".",
        uses: &[
            "invigil-client",
            "invigil-cluster",
            "invigil-domain",
            "invigil-engine",
            "invigil-management",
            "invigil-objects",
            "invigil-protocol",
            "invigil-secrets",
            "invigil-store",
            "invigil-store-mongo",
            "invigil-store-sql",
            "invigil-telemetry",
        ],
        never: &[SQL, "redis", "mongodb"],
    },
];

/// Crates that the rules of the exam need: values, numbers, hashes, formats.
const DOMAIN_CRATES: [&str; 24] = [
    "aes_gcm",
    "base64",
    "chrono",
    "csv",
    "ed25519_dalek",
    "granit_parser",
    "hmac",
    "invigil_features",
    "ipnet",
    "num_bigint",
    "num_rational",
    "num_traits",
    "rand_chacha",
    "rust_decimal",
    "schemars",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha2",
    "smol_str",
    "subtle",
    "thiserror",
    "unicase",
    "unicode_normalization",
];

/// Parts of the standard library that reach outside the program. Tests may read samples.
const OUTSIDE: [&str; 6] = ["env", "fs", "io", "os", "process", "thread"];

/// Names that bring in more than the arguments: a clock, a source of randomness, an order
/// that differs from run to run.
const AMBIENT: [&str; 8] = [
    "SystemTime",
    "Instant",
    "OsRng",
    "ThreadRng",
    "getrandom",
    "RandomState",
    "HashMap",
    "HashSet",
];

/// The tokens of a source, without comments; literals as they stand.
pub(super) fn tokens(file: &File) -> Vec<String> {
    fn flatten(stream: TokenStream, into: &mut Vec<String>) {
        for tree in stream {
            match tree {
                TokenTree::Group(group) => {
                    into.push("{".to_owned());
                    flatten(group.stream(), into);
                    into.push("}".to_owned());
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    into.push(tree.to_string());
                }
            }
        }
    }
    let stream =
        TokenStream::from_str(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut all = Vec::new();
    flatten(stream, &mut all);
    all
}

/// The literals of a Rust source, as they stand; none of other files.
pub(super) fn literals(file: &File) -> Vec<String> {
    if !file.is(&["rs"]) {
        return Vec::new();
    }
    let mut all = tokens(file);
    all.retain(|token| token.contains('"'));
    all
}

/// The first two steps of every path: `use a::{b::c, d}` gives `(a, b)` and `(a, d)`.
fn paths(tokens: &[String]) -> BTreeSet<(&str, &str)> {
    let at = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut found = BTreeSet::new();
    for start in 0..tokens.len() {
        let steps = at(start + 1) == ":" && at(start + 2) == ":";
        let follows = start > 0 && at(start - 1) == ":";
        if !steps || follows {
            continue;
        }
        let root = at(start);
        if at(start + 3) != "{" {
            found.insert((root, at(start + 3)));
            continue;
        }
        let mut depth = 1;
        let mut index = start + 4;
        let mut first = true;
        while depth > 0 && index < tokens.len() {
            match at(index) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => first = true,
                child if first => {
                    found.insert((root, child));
                    first = false;
                }
                _ => {}
            }
            index += 1;
        }
    }
    found
}

/// The dependencies in a manifest, those of tests left out.
fn dependencies(folder: &str) -> Vec<String> {
    let manifest: toml::Table = read(&format!("{folder}/Cargo.toml"))
        .parse()
        .expect("a manifest is TOML");
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn crates_use_only_what_is_below_them() {
    let mut faults = Vec::new();
    for wall in &WALLS {
        for name in dependencies(wall.folder) {
            let shared = name == FEATURES || name == FEATURES_NET && !wall.never.contains(&"tokio");
            let ours = name.starts_with("invigil-") && !shared;
            if ours && !wall.uses.contains(&name.as_str()) || wall.never.contains(&name.as_str()) {
                faults.push(format!("{}/Cargo.toml: must not use {name}", wall.folder));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_crate_has_a_wall() {
    let mut faults = Vec::new();
    for path in super::list(&super::root().join("crates")) {
        let folder = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !WALLS
            .iter()
            .any(|wall| wall.folder == format!("crates/{folder}"))
        {
            faults.push(format!("crates/{folder}: is not in WALLS"));
        }
    }
    none(&faults);
}

#[test]
fn the_domain_is_pure() {
    let mut faults = Vec::new();
    for name in dependencies("crates/domain") {
        if !DOMAIN_CRATES.contains(&name.replace('-', "_").as_str()) {
            faults.push(format!(
                "crates/domain/Cargo.toml: {name} is not in DOMAIN_CRATES"
            ));
        }
    }
    for file in files(&["rs"]) {
        let test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
        if !file.path.starts_with("crates/domain/src/") {
            continue;
        }
        let tokens = tokens(&file);
        for (root, child) in paths(&tokens) {
            let outside = root == "std" && !test && OUTSIDE.contains(&child);
            let clock = child == "now";
            if outside || clock {
                faults.push(format!("{}: {root}::{child}", file.path));
            }
        }
        for name in AMBIENT {
            if tokens.iter().any(|token| token == name) {
                faults.push(format!("{}: {name}", file.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn paths_are_found_in_groups_and_in_code() {
    let file = File {
        path: String::new(),
        text: "//! tokio::spawn\nuse a::{b::{c, d}, e, f as g};\nfn x() { h::i::j(\"k::l\") }"
            .to_owned(),
    };
    let tokens = tokens(&file);
    let expected = [("a", "b"), ("a", "e"), ("a", "f"), ("b", "c"), ("h", "i")];
    let mut found: Vec<_> = paths(&tokens).into_iter().collect();
    found.retain(|path| *path != ("b", "d"));
    assert_eq!(found, expected);
}
