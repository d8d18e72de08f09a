//! `invigil demo`: the embedded engine with sample exams and people. Without a
//! data directory, every demo begins with an empty store.

mod candidates;

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use invigil::{config::Config, web::access_code_key};
use invigil_domain::{
    exam::definition::{self, FileFormat, ParsedExam},
    roster::{self, RosterEntry},
};

use super::{files, serve, stores::OpenStore};

const EXAMS: [&str; 2] = [
    include_str!("../../config/samples/demo-all.yaml"),
    include_str!("../../config/samples/demo-quiz.yaml"),
];
/// The exam that simulated candidates take.
const SIMULATED_EXAM: &str = "DEMO-ALL";
const ROSTER: &str = include_str!("../../config/samples/roster.csv");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 selects a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Directory of the data [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Simulated candidates of DEMO-ALL, at most 1000
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(..=1000))]
    candidates: u16,
}

pub(super) async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.server.listen = args.listen;
    config.database.url = None;
    config.mongodb.url = None;
    // Removed at the end of this function, after the store is closed.
    let temporary = tempfile::Builder::new().prefix("invigil-demo-").tempdir();
    let temporary = temporary.context("make a temporary directory")?;
    config.database.data = args.data.unwrap_or_else(|| temporary.path().to_owned());

    let exams = sample_exams();
    let people = roster::parse_roster(ROSTER).expect("the sample roster is valid");
    let simulated = candidates::roster_entries(args.candidates, SIMULATED_EXAM);
    let greeting = describe_samples(&exams, &people);
    let stores = OpenStore::open(&config.database).await?;
    let catalog = stores.catalog();
    let stored: Vec<_> = exams.iter().map(files::to_stored_exam).collect();
    catalog
        .upsert_exams(&stored)
        .await
        .context("cannot store the sample exams")?;
    let people = people
        .into_iter()
        .chain(simulated.iter().cloned())
        .collect();
    let people = files::to_stored_people(people, &access_code_key(&*catalog).await?);
    catalog
        .upsert_people(&people)
        .await
        .context("cannot store the sample people")?;

    serve::run_engine(stores, config, |address| {
        super::print_text(&format!(
            "\nOpen http://{address}/ and sign in.\n\n{greeting}\n{}",
            watch_hint(address, simulated.len())
        ))?;
        candidates::start_candidates(simulated, address, SIMULATED_EXAM);
        Ok(())
    })
    .await
}

fn sample_exams() -> Vec<ParsedExam> {
    EXAMS
        .iter()
        .map(|text| {
            definition::parse_exam(text, FileFormat::Yaml).expect("the sample exams are valid")
        })
        .collect()
}

/// Lists the sample people with their access codes, and the sample exams.
fn describe_samples(exams: &[ParsedExam], people: &[RosterEntry]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, code: &str, what: &str| {
        writeln!(text, "  {name:<12} {code:<14} {what}").expect("writing to a string cannot fail");
    };
    line("name", "access code", "");
    for RosterEntry { person, code } in people {
        line(person.id.as_str(), code, person.role.as_str());
    }
    line("", "", "");
    line("exam", "", "");
    for ParsedExam { exam, .. } in exams {
        line(exam.code.as_str(), "", &exam.title);
    }
    text
}

/// Describes how the sample proctor watches the simulated candidates.
fn watch_hint(address: SocketAddr, simulated: usize) -> String {
    format!(
        "{simulated} simulated candidates take {SIMULATED_EXAM}; a proctor watches them with\n  \
         invigil watch --exam {SIMULATED_EXAM} --server http://{address} --user paula --code plum-4\n"
    )
}

#[cfg(test)]
mod tests {
    use invigil_domain::person::PersonRole;

    use super::*;

    #[test]
    fn the_samples_are_right_and_can_be_taken_and_watched() {
        let exams = sample_exams();
        let people = roster::parse_roster(ROSTER).unwrap();
        for role in [PersonRole::Candidate, PersonRole::Proctor] {
            let of_role = people
                .iter()
                .find(|entry| entry.person.role == role)
                .unwrap();
            assert!(
                exams
                    .iter()
                    .all(|parsed| of_role.person.exams.contains(&parsed.exam.code))
            );
        }
        for code in ["apple-1", "DEMO-QUIZ"] {
            assert!(describe_samples(&exams, &people).contains(code));
        }
    }
}
