//! One choice of features: whatever a command builds, a package has the features that it has in
//! the whole workspace. Otherwise it is built again, with all that stands on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    thread,
};

use super::{list, none, root};

/// The packages of a build with their features.
type Chosen = BTreeMap<String, String>;

/// Macros and build scripts are left out: cargo chooses features for them apart.
const WITHOUT_TESTS: &str = "normal,no-proc-macro";
const WITH_TESTS: &str = "normal,dev,no-proc-macro";

/// Returns what cargo builds for a selection of the workspace.
fn choose(selection: &[&str], edges: &str) -> Chosen {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--edges", edges])
        .args(["--format", "{p}|{f}"])
        .args(selection)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    let problem = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{selection:?}: {status}: {problem}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'))
        .map(|(package, features)| (package.to_owned(), features.to_owned()))
        .collect()
}

/// The features of `all` that a choice lacks.
fn lacking<'a>(choice: &str, all: &'a str) -> Vec<&'a str> {
    let has: BTreeSet<&str> = choice.split(',').collect();
    all.split(',').filter(|name| !has.contains(name)).collect()
}

/// The packages of a selection that lack features which they have in the whole workspace.
fn faults(workspace: &Chosen, selection: &[&str], edges: &str) -> Vec<String> {
    let choice = choose(selection, edges);
    // The program's own features are the purpose of building without them.
    let differs = choice
        .iter()
        .filter(|(package, _)| selection.len() < 3 || !package.starts_with("invigil v"))
        .filter(|(package, features)| workspace.get(*package) != Some(features));
    differs
        .map(|(package, features)| {
            let all = workspace.get(package).map_or("", String::as_str);
            let missing = lacking(features, all);
            format!("{package} without {missing:?} by {selection:?}")
        })
        .collect()
}

/// The names of the workspace's packages.
fn members() -> Vec<String> {
    let mut folders = vec![root().to_owned(), root().join("loadtest")];
    folders.extend(list(&root().join("crates")));
    folders.extend(["protocol", "rust"].map(|name| root().join("clients").join(name)));
    folders
        .iter()
        .filter_map(|folder| std::fs::read_to_string(folder.join("Cargo.toml")).ok())
        .map(|text| text.parse::<toml::Table>().expect("a manifest is TOML"))
        .map(|manifest| {
            manifest["package"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect()
}

/// With two, rustls does not choose, and the first connection to `rediss://` panics.
#[test]
fn tls_has_one_provider() {
    let workspace = choose(&["--workspace"], WITH_TESTS);
    let second = workspace.keys().filter(|name| name.starts_with("aws-lc"));
    none(&second.cloned().collect::<Vec<_>>());
}

/// A fault is mended by naming the features in `crates/features`, or in `crates/features-net`.
#[test]
fn every_command_builds_a_dependency_with_the_same_features() {
    let workspace = choose(&["--workspace"], WITH_TESTS);
    assert!(workspace.len() > 100, "{} packages", workspace.len());
    let members = members();
    assert!(members.len() > 10, "found only {members:?}");
    let mut selections = vec![
        vec!["--workspace"],
        vec!["--package", "invigil", "--no-default-features"],
    ];
    selections.extend(members.iter().map(|name| vec!["--package", name.as_str()]));
    let (workspace, selections) = (&workspace, &selections);
    let found = thread::scope(|scope| {
        let halves = [WITHOUT_TESTS, WITH_TESTS].map(|edges| {
            scope.spawn(move || {
                let each = selections.iter();
                each.flat_map(|selection| faults(workspace, selection, edges))
                    .collect::<BTreeSet<_>>()
            })
        });
        halves.map(|half| half.join().expect("cargo answers"))
    });
    none(&found.into_iter().flatten().collect::<Vec<_>>());
}
