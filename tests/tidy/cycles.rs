//! Knots of imports: modules of a crate that use each other in a circle, so that none can be
//! read, tested or moved without the rest.
//!
//! A room (a module at the top of its crate) counts as one module with all that is below it.
//! The exception is a room whose own file only lists modules, as `peers` of the engine: its
//! messages are below the attempts, its service is above them, so its modules count.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, files, imports, list, none, root};

/// Knots that stand for now: the crate's folder, and the modules. A knot that is gone must
/// leave this list, and none should join it.
const ALLOWED: [(&str, &[&str]); 2] = [
    (
        "crates/domain",
        &["admission", "exam", "integrity", "timing"],
    ),
    ("src", &["config", "web"]),
];

/// A path of names, such as `crate::board::BoardRow` without its `crate`.
type Names = Vec<String>;

/// The imports of a module.
#[derive(Default)]
struct ModuleImports {
    /// Paths from the root of the crate, by `use` or in code.
    uses: BTreeSet<Names>,
    /// Names that `use` gives to paths, for who imports them from here.
    aliases: BTreeMap<String, Names>,
    /// True if there is more than lists of modules and re-exports.
    has_code: bool,
}

/// The modules of a crate, by their paths. The root has the empty one.
type Modules = BTreeMap<Names, ModuleImports>;

impl ModuleImports {
    /// Adds the imports in the source of the module at `place`.
    fn add(&mut self, place: &Names, mut tokens: Vec<String>) {
        drop_tests(&mut tokens);
        let mut index = 0;
        while index < tokens.len() {
            let start = index;
            if tokens[index] == "#" {
                index = skip_group(&tokens, index + 1);
                continue;
            }
            let public = tokens[index] == "pub";
            if public {
                index += 1;
                if tokens[index] == "{" {
                    index = skip_group(&tokens, index);
                }
            }
            if tokens[index] == "use" {
                let mut found = Vec::new();
                index = read_paths(&tokens, index + 1, &[], &mut found);
                for (path, name) in found {
                    let Some(path) = from_root(place, &path) else {
                        continue;
                    };
                    self.aliases.insert(name, path.clone());
                    // The root re-exports what callers need: that binds it to nothing.
                    if !(public && place.is_empty()) {
                        self.uses.insert(path);
                    }
                }
            } else if tokens[index] == "mod" && tokens[index + 2] == ";" {
                index += 3;
            } else {
                self.has_code |= tokens[index] != ";";
                let mut found = Vec::new();
                let path = is_anchor(&tokens[index]) && is_step(&tokens, index + 1);
                index = if path {
                    read_paths(&tokens, index, &[], &mut found)
                } else {
                    index + 1
                };
                let paths = found.iter().filter_map(|(path, _)| from_root(place, path));
                self.uses.extend(paths);
            }
            assert!(index > start, "the reader goes on");
        }
    }
}

fn is_anchor(token: &str) -> bool {
    ["crate", "self", "super"].contains(&token)
}

/// True if `::` stands there.
fn is_step(tokens: &[String], index: usize) -> bool {
    tokens.get(index).is_some_and(|token| token == ":")
        && tokens.get(index + 1).is_some_and(|token| token == ":")
}

/// Returns the index after the group that begins at `index` or behind a `!`.
fn skip_group(tokens: &[String], mut index: usize) -> usize {
    let mut depth = 0;
    while index < tokens.len() {
        match tokens[index].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        index += 1;
        if depth == 0 && tokens[index - 1] != "!" {
            break;
        }
    }
    index
}

/// Removes the modules of tests.
fn drop_tests(tokens: &mut Vec<String>) {
    const MARK: [&str; 7] = ["#", "{", "cfg", "{", "test", "}", "}"];
    let mut index = 0;
    while index + MARK.len() < tokens.len() {
        let marked = tokens[index..]
            .iter()
            .zip(MARK)
            .all(|(one, two)| one == two);
        let mut end = index + MARK.len();
        while marked && tokens[end] == "#" {
            end = skip_group(tokens, end + 1);
        }
        if marked && tokens[end] == "mod" {
            end = skip_group(tokens, end + 2);
            tokens.drain(index..end);
        } else {
            index += 1;
        }
    }
}

/// Reads a path or a tree of them, each with the name that it gets. Returns the index after.
fn read_paths(
    tokens: &[String],
    mut index: usize,
    before: &[String],
    found: &mut Vec<(Names, String)>,
) -> usize {
    let mut path = before.to_vec();
    while index < tokens.len() {
        if tokens[index] == "{" {
            index += 1;
            while tokens[index] != "}" {
                index = read_paths(tokens, index, &path, found);
                index += usize::from(tokens[index] == ",");
            }
            return index + 1;
        }
        path.push(tokens[index].clone());
        index += 1;
        if !is_step(tokens, index) {
            break;
        }
        index += 2;
    }
    // `a::b::{self}` is `a::b`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(index).is_some_and(|token| token == "as") {
        name.clone_from(&tokens[index + 1]);
        index += 2;
    }
    found.push((path, name));
    index
}

/// Returns the path from the root of the crate; none if it leads to another crate.
fn from_root(place: &Names, path: &Names) -> Option<Names> {
    let mut rest = path.as_slice();
    let mut base = place.clone();
    match rest.first()?.as_str() {
        "crate" => base.clear(),
        "self" | "super" => {}
        _ => return None,
    }
    while let Some((first, others)) = rest.split_first()
        && is_anchor(first)
    {
        if first == "super" {
            base.pop();
        }
        rest = others;
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Follows re-exports from a path to the module that it leads to.
fn resolve(modules: &Modules, mut path: Names) -> Names {
    for _ in 0..10 {
        let known = (0..=path.len())
            .rev()
            .find(|length| modules.contains_key(&path[..*length]))
            .unwrap_or_default();
        let module = &path[..known];
        let alias = path
            .get(known)
            .and_then(|name| modules.get(module)?.aliases.get(name));
        let Some(target) = alias else {
            return module.to_vec();
        };
        path = [target.as_slice(), &path[known + 1..]].concat();
    }
    path
}

/// Returns the module that counts for one: the topmost on the way to it that has code.
fn unit(modules: &Modules, module: &Names) -> Names {
    let above = (1..module.len()).map(|length| &module[..length]);
    above
        .into_iter()
        .find(|path| modules.get(*path).is_some_and(|module| module.has_code))
        .map_or_else(|| module.clone(), <[String]>::to_vec)
}

/// Returns the knots of a crate, each with the imports that tie it.
fn knots(modules: &Modules) -> BTreeMap<Names, Vec<String>> {
    let show = |names: &Names| match names.as_slice() {
        [] => "crate".to_owned(),
        names => names.join("::"),
    };
    let mut edges: BTreeMap<Names, BTreeMap<Names, String>> = BTreeMap::new();
    for (place, module) in modules {
        let from = unit(modules, place);
        for path in &module.uses {
            let target = resolve(modules, path.clone());
            let to = unit(modules, &target);
            if from != to && modules.get(&to).is_some_and(|module| module.has_code) {
                let import = format!("{} uses {}", show(place), show(path));
                edges.entry(from.clone()).or_default().insert(to, import);
            }
        }
    }
    let reached = |from: &Names| {
        let (mut seen, mut pending) = (BTreeSet::new(), vec![from]);
        while let Some(one) = pending.pop() {
            for next in edges.get(one).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    pending.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<Names, BTreeSet<Names>> = edges
        .keys()
        .map(|from| (from.clone(), reached(from)))
        .collect();
    let mut found = BTreeMap::new();
    for (one, reached) in reach.iter().filter(|(one, reached)| reached.contains(*one)) {
        let back = |other: &&Names| reach.get(*other).is_some_and(|its| its.contains(one));
        let knot: Vec<&Names> = reached.iter().filter(back).collect();
        let ties = knot.iter().filter_map(|from| edges.get(*from)).flatten();
        let ties = ties.filter(|(to, _)| knot.contains(to));
        let ties = ties.map(|(_, import)| import.clone()).collect();
        found.insert(knot.into_iter().map(show).collect(), ties);
    }
    found
}

/// Reads the modules among `sources` that are in the folder `src`.
fn modules(src: &str, sources: &[File]) -> Modules {
    let mut modules = Modules::new();
    for file in sources {
        let path = file.path.strip_prefix(src).and_then(|path| {
            let path = path.strip_prefix('/')?;
            path.strip_suffix(".rs")
        });
        let Some(path) = path else { continue };
        let mut place: Names = path.split('/').map(str::to_owned).collect();
        if place.contains(&"tests".to_owned()) || place[0] == "bin" {
            continue;
        }
        if place.len() == 1 && ["lib", "main"].contains(&path) {
            place.clear();
        }
        let module = modules.entry(place.clone()).or_default();
        module.add(&place, imports::tokens(file));
    }
    modules
}

#[test]
fn modules_are_in_no_knot_of_imports() {
    let sources = files(&["rs"]);
    let crates = list(&root().join("crates"));
    let crates = crates.iter().map(|path| {
        let folder = path.file_name().expect("a name").to_string_lossy();
        format!("crates/{folder}")
    });
    let mut faults = Vec::new();
    let mut allowed: BTreeSet<_> = ALLOWED.into();
    for folder in crates.chain(["src".to_owned()]) {
        let src = if folder == "src" {
            folder.clone()
        } else {
            format!("{folder}/src")
        };
        let modules = modules(&src, &sources);
        assert!(!modules.is_empty(), "{folder} has modules");
        for (knot, ties) in knots(&modules) {
            let known = |(of, modules): &(&str, &[&str])| *of == folder && knot == *modules;
            if let Some(known) = allowed.iter().copied().find(known) {
                allowed.remove(&known);
            } else {
                let (knot, ties) = (knot.join(", "), ties.join("\n    "));
                faults.push(format!("{folder}: {knot} are a knot:\n    {ties}"));
            }
        }
    }
    for (folder, knot) in allowed {
        let knot = knot.join(", ");
        faults.push(format!(
            "{folder}: {knot} are no knot: strike it from ALLOWED"
        ));
    }
    none(&faults);
}

#[test]
fn a_knot_is_found_behind_groups_aliases_and_re_exports() {
    let file = |path: &str, text: &str| File {
        path: format!("src/{path}.rs"),
        text: text.to_owned(),
    };
    let sources = [
        file(
            "lib",
            "mod a; mod b; mod c; pub use b::deep::Deep; pub use crate::a::Top;",
        ),
        file("a", "use crate::b::{Shown, other}; struct Top;"),
        file(
            "b",
            "pub(crate) mod deep; mod other; pub(crate) use self::deep::Deep as Shown;",
        ),
        file("b/deep", "fn deep() { crate::c::help() } struct Deep;"),
        file(
            "b/other",
            "fn other() {} #[cfg(test)] mod tests { use crate::a::Top; }",
        ),
        file("c", "//! Uses crate::b.\nfn help(_: crate::Top) {}"),
    ];
    let found: Vec<_> = knots(&modules("src", &sources)).into_iter().collect();
    let [(knot, ties)] = found.as_slice() else {
        panic!("one knot, not {found:?}");
    };
    assert_eq!(knot, &["a", "b::deep", "c"]);
    assert_eq!(
        ties,
        &["a uses b::Shown", "b::deep uses c::help", "c uses Top"]
    );
}
