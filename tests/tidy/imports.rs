//! Who may use whom. `docs/architecture.md` says why.

use std::{collections::BTreeSet, str::FromStr};

use proc_macro2::{TokenStream, TokenTree};

use super::{File, files, none, read};

/// What a part of the tree must not use.
struct Layer {
    /// Its module is `{path}.rs` and everything in `{path}/`.
    path: &'static str,
    /// Crates.
    crates: &'static [&'static str],
    /// Modules of this crate.
    modules: &'static [&'static str],
}

const LAYERS: [Layer; 9] = [
    Layer {
        path: "src/domain",
        crates: &[],
        modules: &[
            "cli",
            "cluster",
            "config",
            "engine",
            "management",
            "secrets",
            "store",
            "telemetry",
            "web",
        ],
    },
    Layer {
        path: "src/engine",
        crates: &["sqlx", "redis", "mongodb", "axum"],
        modules: &["cli", "management", "web"],
    },
    Layer {
        path: "src/store",
        crates: &["axum", "redis"],
        modules: &["cli", "cluster", "engine", "management", "web"],
    },
    Layer {
        path: "src/cluster",
        crates: &["axum", "sqlx", "mongodb"],
        modules: &["cli", "engine", "store", "web"],
    },
    Layer {
        path: "src/management",
        crates: &["axum", "redis", "mongodb"],
        modules: &["cli", "cluster", "engine", "web"],
    },
    Layer {
        path: "src/media",
        crates: &["axum", "redis", "mongodb", "sqlx"],
        modules: &[
            "cli",
            "cluster",
            "config",
            "engine",
            "management",
            "store",
            "web",
        ],
    },
    Layer {
        path: "src/evidence",
        crates: &["axum", "redis", "mongodb", "sqlx"],
        modules: &["cli", "cluster", "config", "engine", "management", "web"],
    },
    Layer {
        path: "src/web",
        crates: &["sqlx", "redis", "mongodb"],
        modules: &["cli"],
    },
    Layer {
        path: "clients/protocol",
        crates: &["tokio", "sqlx", "axum", "invigil"],
        modules: &[],
    },
];

/// All that the rules of the exam need: values, numbers, hashes, formats.
const DOMAIN_CRATES: [&str; 23] = [
    "aes_gcm",
    "base64",
    "chrono",
    "csv",
    "ed25519_dalek",
    "granit_parser",
    "hmac",
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

/// What of the standard library reaches outside the program. Tests may read samples.
const OUTSIDE: [&str; 6] = ["env", "fs", "io", "os", "process", "thread"];

/// The names that something outside the arguments would come by: a clock, a
/// source of randomness, an order that differs from run to run.
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

impl Layer {
    fn holds(&self, file: &File) -> bool {
        let rest = file.path.strip_prefix(self.path);
        rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }
}

/// The tokens of a source, without comments; literals as they stand.
fn tokens(file: &File) -> Vec<String> {
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

/// The crates that the package may use outside tests, as they are named in code.
fn dependencies() -> Vec<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let names = manifest["dependencies"].as_table().expect("a table").keys();
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn layers_use_only_what_is_below_them() {
    let mut faults = Vec::new();
    for file in files(&["rs"]) {
        for layer in LAYERS.iter().filter(|layer| layer.holds(&file)) {
            let tokens = tokens(&file);
            for (root, child) in paths(&tokens) {
                if layer.crates.contains(&root) {
                    faults.push(format!("{}: {} must not use {root}", file.path, layer.path));
                }
                if matches!(root, "crate" | "super") && layer.modules.contains(&child) {
                    faults.push(format!(
                        "{}: {} must not use {child}",
                        file.path, layer.path
                    ));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn the_domain_is_pure() {
    let dependencies = dependencies();
    let foreign: Vec<&str> = dependencies
        .iter()
        .map(String::as_str)
        .filter(|name| !DOMAIN_CRATES.contains(name))
        .collect();
    let mut faults = Vec::new();
    for file in files(&["rs"]) {
        let test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
        if !LAYERS[0].holds(&file) {
            continue;
        }
        let tokens = tokens(&file);
        for (root, child) in paths(&tokens) {
            let outside = root == "std" && !test && OUTSIDE.contains(&child);
            let clock = child == "now";
            if foreign.contains(&root) || outside || clock {
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
fn only_the_store_and_the_management_side_speak_sql() {
    let mut faults = Vec::new();
    for file in files(&["rs"]) {
        let may = ["src/store", "src/management"];
        if !file.path.starts_with("src/") || may.iter().any(|part| file.path.starts_with(part)) {
            continue;
        }
        if paths(&tokens(&file))
            .iter()
            .any(|(root, _)| *root == "sqlx")
        {
            faults.push(format!("{}: uses sqlx", file.path));
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
