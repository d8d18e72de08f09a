//! Evidence over real HTTP: the web layer on a port, files in a folder or on a real S3 server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic")]

#[path = "evidence/folder.rs"]
mod folder;
#[path = "evidence/harness.rs"]
mod harness;
#[path = "evidence/s3.rs"]
mod s3;
#[path = "evidence/shared.rs"]
mod shared;

/// Each case runs with files in a folder, and once more with files on S3.
macro_rules! at_every_place {
    ($($case:ident,)*) => {
        mod in_a_folder {
            $(#[tokio::test] async fn $case() {
                crate::shared::$case(crate::harness::Site::folder).await;
            })*
        }

        mod on_s3 {
            $(#[tokio::test] async fn $case() {
                crate::shared::$case(crate::harness::Site::s3).await;
            })*
        }
    };
}

at_every_place! {
    a_file_goes_the_whole_way,
    what_may_not_be_evidence_is_refused,
    what_is_anothers_is_not_found,
    an_attempt_has_so_many_files_an_hour,
    ten_minutes_after_its_end_an_attempt_gets_no_more,
    a_link_ends,
    old_files_are_removed_and_those_that_never_came,
    looks_of_staff_are_logged,
}
