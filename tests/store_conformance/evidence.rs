//! Rows of evidence files.

use std::{sync::Arc, time::Duration};

use invigil_domain::{
    evidence::EvidenceKind,
    id::{AttemptId, EvidenceId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, Error, EvidenceQuota, EvidenceRow};

use crate::fixture::{MORNING, Store, at, furnish, start};

/// An id, by its number.
fn id(number: u64) -> EvidenceId {
    format!("{number:032x}").into()
}

/// Evidence that was announced so many milliseconds into the morning.
fn evidence(attempt: AttemptId, number: u64, ms: u64) -> EvidenceRow {
    EvidenceRow {
        attempt,
        id: id(number),
        kind: EvidenceKind::Snapshot,
        content_type: "image/png".to_owned(),
        bytes: 5 << 32,
        file: format!("HIST/{attempt}/{number}.png"),
        session: None,
        event: None,
        at: at(ms),
        stored_at: None,
    }
}

/// A quota above every case here.
const PLENTY: EvidenceQuota = EvidenceQuota {
    max_files: u32::MAX,
    since: MORNING,
};

async fn put(store: &dyn Store, row: &EvidenceRow) {
    assert_eq!(
        store.announce_file(row, PLENTY).await.unwrap(),
        AnnounceOutcome::Kept
    );
}

pub(crate) async fn evidence_comes_back_as_it_was(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (ann, bob) = (start(&*store, "ann").await, start(&*store, "bob").await);
    let mut rows = Vec::new();
    for (number, kind) in EvidenceKind::ALL.into_iter().enumerate() {
        let number = u64::try_from(number).unwrap();
        let mut row = evidence(ann, number, 10 - number);
        row.kind = kind;
        row.session = Some("session-1".into());
        row.event = Some(i64::MAX.cast_unsigned() - number);
        put(&*store, &row).await;
        rows.insert(0, row);
    }
    put(&*store, &evidence(bob, 99, 1)).await;
    assert_eq!(store.list_files(ann).await.unwrap(), rows);
    assert_eq!(store.list_files(AttemptId(-1)).await.unwrap(), []);
    assert_eq!(
        store.find_file(ann, &id(1)).await.unwrap().as_ref(),
        Some(&rows[2])
    );

    // Under another attempt no file is found and none changes.
    assert_eq!(store.find_file(bob, &id(1)).await.unwrap(), None);
    assert!(!store.confirm_file(bob, &id(1), at(50)).await.unwrap());
    assert!(store.confirm_file(ann, &id(1), at(60)).await.unwrap());
    assert!(store.confirm_file(ann, &id(1), at(70)).await.unwrap());
    rows[2].stored_at = Some(at(60));
    assert_eq!(store.list_files(ann).await.unwrap(), rows);
}

pub(crate) async fn evidence_of_nothing_is_refused(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let ann = start(&*store, "ann").await;
    let right = evidence(ann, 1, 1);
    let wrong = [
        evidence(AttemptId(-1), 1, 1),
        EvidenceRow {
            id: "../secret".into(),
            ..right.clone()
        },
        EvidenceRow {
            bytes: 0,
            ..right.clone()
        },
        EvidenceRow {
            bytes: u64::MAX,
            ..right.clone()
        },
    ];
    for row in wrong {
        let outcome = store.announce_file(&row, PLENTY).await;
        assert!(
            matches!(outcome, Err(Error::Rejected { .. })),
            "{outcome:?}"
        );
    }
    put(&*store, &right).await;
    let twice = store.announce_file(&right, PLENTY).await;
    assert!(matches!(twice, Err(Error::Rejected { .. })), "{twice:?}");
    assert_eq!(store.list_files(ann).await.unwrap(), [right]);
}

pub(crate) async fn an_attempt_has_no_more_evidence_than_allowed(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (ann, bob) = (start(&*store, "ann").await, start(&*store, "bob").await);
    put(&*store, &evidence(ann, 0, 0)).await;
    let allowed = EvidenceQuota {
        max_files: 3,
        since: MORNING,
    };
    // Twenty puts at once; the file of the very start no longer counts.
    let rows: Vec<_> = (1..=20)
        .map(|number| evidence(ann, number, number))
        .collect();
    let puts = rows.iter().map(|row| store.announce_file(row, allowed));
    let outcomes = futures_util::future::join_all(puts).await;
    let kept: Vec<_> = store.list_files(ann).await.unwrap();
    assert_eq!(kept.len(), 4);
    let mut refused = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            AnnounceOutcome::Kept => {}
            AnnounceOutcome::TooMany(oldest) => {
                assert_eq!(oldest, kept[1].at);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 17);
    let later = EvidenceQuota {
        max_files: 3,
        since: kept[1].at,
    };
    let row = evidence(ann, 30, 30);
    assert_eq!(
        store.announce_file(&row, later).await.unwrap(),
        AnnounceOutcome::Kept
    );
    let row = evidence(bob, 31, 30);
    assert_eq!(
        store.announce_file(&row, allowed).await.unwrap(),
        AnnounceOutcome::Kept
    );
}

pub(crate) async fn old_evidence_is_found_and_forgotten(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let ann = start(&*store, "ann").await;
    for (number, ms) in [(1, 100), (2, 200), (3, 300), (4, 400)] {
        put(&*store, &evidence(ann, number, ms)).await;
    }
    for number in [1, 3] {
        store.confirm_file(ann, &id(number), at(999)).await.unwrap();
    }
    let expired = async |before: u64, unstored: u64, limit: u32| {
        let rows = store
            .list_expired(at(before), at(unstored), limit)
            .await
            .unwrap();
        let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(expired(100, 200, 9).await, []);
    assert_eq!(expired(101, 200, 9).await, [id(1)]);
    assert_eq!(expired(0, 201, 9).await, [id(2)]);
    assert_eq!(expired(301, 401, 9).await, [id(1), id(2), id(3), id(4)]);
    assert_eq!(expired(0, 401, 1).await, [id(2)]);
    assert_eq!(expired(401, 0, 1).await, [id(1)]);
    let long_ago = Timestamp::from_ms(0) - Duration::from_hours(1);
    assert_eq!(store.list_expired(long_ago, long_ago, 9).await.unwrap(), []);

    store.delete_rows(&[id(1), id(4), id(77)]).await.unwrap();
    store.delete_rows(&[]).await.unwrap();
    let left: Vec<_> = store
        .list_files(ann)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(left, [id(2), id(3)]);
}
