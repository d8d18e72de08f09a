//! The same suite for every adapter: the promises that the engine and the web layer rely
//! on.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they skip"
)]

#[path = "store_conformance/attempts.rs"]
mod attempts;
#[path = "store_conformance/catalog.rs"]
mod catalog;
#[path = "store_conformance/evidence.rs"]
mod evidence;
#[path = "store_conformance/fencing.rs"]
mod fencing;
#[path = "store_conformance/fixture.rs"]
mod fixture;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "store_conformance/saving.rs"]
mod saving;
#[path = "support/servers.rs"]
mod servers;

use std::sync::Arc;

use fixture::Store;
use invigil_store_sql::{postgres::PostgresStore, sqlite::SqliteStore};
use postgres_server::Database;

/// Each case runs on a store of its own, once for every adapter.
macro_rules! on_every_store {
    ($($module:ident::$case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $case() {
                crate::on_sqlite(crate::$module::$case).await;
            })*
        }

        mod postgres {
            $(#[tokio::test] async fn $case() {
                crate::on_postgres(crate::$module::$case).await;
            })*
        }
    };
}

on_every_store! {
    saving::what_was_saved_comes_back_as_it_was,
    saving::a_stale_epoch_writes_nothing_while_others_are_saved,
    saving::a_repeated_batch_changes_nothing,
    saving::a_lower_version_never_overwrites,
    saving::data_that_no_column_takes_is_refused_and_nothing_is_written,
    saving::two_thousand_writes_are_one_batch,
    saving::any_sequence_of_writes_ends_as_the_model_says,
    attempts::an_attempt_is_made_as_it_was_asked_for,
    attempts::twenty_starts_at_once_make_one_attempt,
    attempts::a_person_has_no_more_attempts_than_allowed,
    attempts::a_start_of_what_is_not_there_is_refused,
    attempts::taking_raises_the_epoch,
    attempts::overdue_attempts_come_earliest_first,
    attempts::an_exam_lists_its_attempts,
    attempts::a_command_for_groups_is_for_their_candidates,
    attempts::a_timeline_is_read_by_cursor,
    attempts::an_attempt_is_about_its_version_for_good,
    attempts::a_command_is_done_once,
    attempts::outages_are_measured_between_signs_of_life,
    catalog::the_newest_version_of_every_exam_is_listed,
    catalog::exams_go_in_all_or_none,
    catalog::people_are_added_and_replaced,
    catalog::people_go_in_all_or_none,
    catalog::a_login_holds_until_it_expires_or_is_ended,
    catalog::a_login_token_is_replaced,
    catalog::the_first_secret_of_a_name_stays,
    evidence::evidence_comes_back_as_it_was,
    evidence::evidence_of_nothing_is_refused,
    evidence::an_attempt_has_no_more_evidence_than_allowed,
    evidence::old_evidence_is_found_and_forgotten,
}

async fn on_sqlite<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    let dir = tempfile::tempdir().unwrap();
    case(Arc::new(SqliteStore::open(dir.path()).await.unwrap())).await;
}

async fn on_postgres<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    case(Arc::new(
        PostgresStore::connect(&database.url, 4).await.unwrap(),
    ))
    .await;
    database.remove().await;
}
