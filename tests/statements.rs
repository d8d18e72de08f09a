//! Every statement of the SQL stores and of the management side, prepared against the migrated
//! schema: a misspelt column fails here, named by its file and statement.
//!
//! Statements are the string literals that begin with a word of [`BEGINNINGS`]. A constant
//! within a `format!` is put in its place; a part that is known only at run time needs a
//! sample in [`SAMPLES`] or a reason in [`EXCEPTIONS`].

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they skip"
)]

#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "support/servers.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use invigil_store_sql::{postgres::PostgresStore, sqlite::SqliteStore};
use postgres_server::Database;
use proc_macro2::{TokenStream, TokenTree};
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr, SqlStr, SqliteConnection};

const STORES: &str = "crates/store-sql/src";
const MANAGEMENT: &str = "crates/management/src";

/// First words of a statement.
const BEGINNINGS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

/// Parts that are known at run time only, each with a value that it may have.
const SAMPLES: &[(&str, &str)] = &[("{column}_", "phone_")];

/// Parameters whose type comes with the value, and the text that says it instead.
const TYPES: &[(&str, &str)] = &[
    ("least(now(), $3 -", "least(now(), $3::timestamptz -"),
    ("($3 IS NOT NULL", "($3::text[] IS NOT NULL"),
    (
        "jsonb_array_elements($2 ->",
        "jsonb_array_elements($2::jsonb ->",
    ),
];

/// Beginnings of statements that cannot be prepared from their source, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("{} WHERE t.id", SELECT_OF_A_RESOURCE),
    ("INSERT INTO {table} ({list})", COLUMNS_OF_A_RESOURCE),
    ("INSERT INTO exams ({columns}", COLUMNS_OF_A_RESOURCE),
    (
        "SELECT to_jsonb(t) FROM (SELECT {} FROM {}",
        COLUMNS_OF_A_RESOURCE,
    ),
    ("UPDATE {table} SET ({list})", COLUMNS_OF_A_RESOURCE),
    ("SELECT revision FROM {}", COLUMNS_OF_A_RESOURCE),
    ("DELETE FROM {}", COLUMNS_OF_A_RESOURCE),
];

const SELECT_OF_A_RESOURCE: &str = "the part is a constant of its resource, prepared by itself";
const COLUMNS_OF_A_RESOURCE: &str =
    "table and columns are a resource's; tests/management makes, changes and removes each";

/// A statement in a source file.
struct FoundStatement {
    path: String,
    text: String,
}

/// A string literal of a source file.
struct TextLiteral {
    /// Name of the constant that it defines.
    constant: Option<String>,
    /// True if it is the text of a `format!`.
    is_format: bool,
    text: String,
}

/// Rust sources below a folder, without those of tests.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The string literals of a stream of tokens.
fn literals(stream: TokenStream, found: &mut Vec<TextLiteral>) {
    let mut constant = None;
    let mut before: Vec<String> = Vec::new();
    for tree in stream {
        match &tree {
            TokenTree::Group(group) => {
                let start = found.len();
                literals(group.stream(), found);
                let is_format = before.ends_with(&["format".to_owned(), "!".to_owned()]);
                if let Some(first) = found.get_mut(start).filter(|_| is_format) {
                    first.is_format = true;
                }
            }
            TokenTree::Literal(literal) => {
                if let Some(text) = string_value(&literal.to_string()) {
                    let constant = constant.take();
                    found.push(TextLiteral {
                        constant,
                        is_format: false,
                        text,
                    });
                }
            }
            TokenTree::Ident(name) => {
                if before.last().is_some_and(|word| word == "const") {
                    constant = Some(name.to_string());
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => constant = None,
            TokenTree::Punct(_) => {}
        }
        before.push(tree.to_string());
    }
}

/// The value of a string literal; `None` for other literals.
fn string_value(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        let raw = raw.trim_matches('#');
        return Some(raw.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    let quoted = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut value = String::new();
    let mut rest = quoted.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        match rest.next()? {
            'n' => value.push('\n'),
            '\n' => while rest.next_if(|next| next.is_whitespace()).is_some() {},
            escaped => value.push(escaped),
        }
    }
    Some(value)
}

/// Puts constants and samples in the place of a format text's parts.
fn filled(text: &str, constants: &BTreeMap<String, String>) -> String {
    let mut text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    for (name, value) in constants {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    for (part, sample) in SAMPLES {
        text = text.replace(part, sample);
    }
    text
}

/// True if the text begins like a statement, or with a part and goes on like one.
fn is_statement(text: &str) -> bool {
    let text = text.trim_start();
    let after_part = text.starts_with('{') && text.contains(" WHERE ");
    let word = text.split_whitespace().next().unwrap_or_default();
    after_part || BEGINNINGS.contains(&word) && text.len() > word.len()
}

/// The statements below a folder; `faults` gets those that cannot be put together.
fn statements(folder: &str, faults: &mut Vec<String>) -> Vec<FoundStatement> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for path in sources(folder) {
        let stream = TokenStream::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let path = path.strip_prefix(root).unwrap().display().to_string();
        let mut found = Vec::new();
        literals(stream, &mut found);
        let constants: BTreeMap<String, String> = found
            .iter()
            .filter_map(|literal| Some((literal.constant.clone()?, literal.text.clone())))
            .collect();
        for literal in found {
            let mut text = literal.text;
            if literal.is_format {
                text = filled(&text, &constants);
            }
            let begins = |(beginning, _): &(&str, &str)| text.trim_start().starts_with(beginning);
            if !is_statement(&text) || EXCEPTIONS.iter().any(begins) {
                continue;
            }
            if literal.is_format && text.contains('{') {
                faults.push(format!("{path}: neither sample nor exception for {text}"));
                continue;
            }
            text = text.replace('\u{1}', "{").replace('\u{2}', "}");
            all.push(FoundStatement {
                path: path.clone(),
                text,
            });
        }
    }
    all
}

fn safe(text: &str) -> SqlStr {
    AssertSqlSafe(text.to_owned()).into_sql_str()
}

#[tokio::test]
async fn postgres_knows_every_table_and_column() {
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    PostgresStore::grant_roles(&database.url).await.unwrap();
    let mut connection = database.connection().await;
    let mut faults = Vec::new();
    let mut all = statements(STORES, &mut faults);
    all.retain(|statement| !statement.path.contains("/sqlite"));
    all.extend(statements(MANAGEMENT, &mut faults));
    assert!(all.len() > 150, "found only {} statements", all.len());
    for FoundStatement { path, text } in &all {
        let typed = TYPES.iter().fold(text.clone(), |text, (parameter, typed)| {
            text.replace(parameter, typed)
        });
        match connection.prepare(safe(&typed)).await {
            Ok(_) => {}
            // A parameter's type comes with its value. The columns were checked before.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P18") => {}
            Err(error) => faults.push(format!("{path}: {error}\n{text}\n")),
        }
    }
    connection.close().await.unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    database.remove().await;
}

#[tokio::test]
async fn sqlite_knows_every_table_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let file = format!("sqlite://{}", dir.path().join("invigil.db").display());
    let mut connection = SqliteConnection::connect(&file).await.unwrap();
    let mut faults = Vec::new();
    let mut all = statements(STORES, &mut faults);
    all.retain(|statement| {
        statement.path.contains("/sqlite") || statement.path.contains("/shared")
    });
    assert!(all.len() > 30, "found only {} statements", all.len());
    for FoundStatement { path, text } in &all {
        if let Err(error) = (&mut connection).prepare(safe(text)).await {
            faults.push(format!("{path}: {error}\n{text}\n"));
        }
    }
    connection.close().await.unwrap();
    store.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_statement_is_put_together_from_its_parts() {
    let source = r##"
        const PART: &str = "SELECT a\n FROM t";
        fn f() { g(format!("{PART} WHERE x = '{{}}'"), "no statement", r#"UPDATE t SET "b" = 1"#) }
    "##;
    let mut found = Vec::new();
    literals(TokenStream::from_str(source).unwrap(), &mut found);
    let constants = BTreeMap::from([("PART".to_owned(), found[0].text.clone())]);
    assert_eq!(found[0].constant.as_deref(), Some("PART"));
    assert!(found[1].is_format && !found[2].is_format);
    let text = filled(&found[1].text, &constants);
    assert_eq!(text, "SELECT a\n FROM t WHERE x = '\u{1}\u{2}'");
    let kept: Vec<bool> = found.iter().map(|one| is_statement(&one.text)).collect();
    assert_eq!(kept, [true, true, false, true]);
}
