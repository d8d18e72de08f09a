//! Chains of seals: each seal covers its entry and the seal before it, so that a changed,
//! missing or added entry breaks its chain.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::model::AuditEntry;

/// Returns the seal of an entry after another one.
pub(super) fn entry_seal(key: &[u8; 32], before: &[u8], number: i64, body: &str) -> Vec<u8> {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(before);
    mac.update(&number.to_be_bytes());
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Returns the first break of a chain; none if the chain is intact.
pub(super) fn find_break(
    key: &[u8; 32],
    entries: &[AuditEntry],
    length: i64,
    end: &[u8],
) -> Option<String> {
    let mut seal = Vec::new();
    for (entry, number) in entries.iter().zip(1..) {
        if entry.seal_no != Some(number) {
            return Some(format!("entry {number} is missing or duplicated"));
        }
        seal = entry_seal(key, &seal, number, &entry.body);
        if entry.seal.as_ref() != Some(&seal) {
            return Some(format!("entry {number} (id {}) was changed", entry.id));
        }
    }
    let missing = i64::try_from(entries.len()) != Ok(length) || seal != end;
    missing.then(|| format!("the chain ends after {} of {length} entries", entries.len()))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::*;
    use crate::ids::AuditEntryId;

    const KEY: [u8; 32] = [7; 32];

    fn sealed_chain(bodies: &[&str]) -> (Vec<AuditEntry>, Vec<u8>) {
        let mut seal = Vec::new();
        let entries = bodies.iter().zip(1..).map(|(body, number)| {
            seal = entry_seal(&KEY, &seal, number, body);
            AuditEntry {
                id: AuditEntryId(number),
                created_at: DateTime::UNIX_EPOCH,
                table_name: "users".to_owned(),
                day: NaiveDate::default(),
                body: (*body).to_owned(),
                seal_no: Some(number),
                seal: Some(seal.clone()),
            }
        });
        let entries: Vec<AuditEntry> = entries.collect();
        (entries, seal)
    }

    #[test]
    fn a_chain_shows_what_was_done_to_it() {
        let whole = || sealed_chain(&["a", "b", "c"]);
        let check = |change: fn(&mut Vec<AuditEntry>)| {
            let (mut entries, end) = whole();
            change(&mut entries);
            find_break(&KEY, &entries, 3, &end)
        };
        assert_eq!(check(|_| {}), None);
        let changed = Some("entry 2 (id 2) was changed".to_owned());
        assert_eq!(check(|entries| entries[1].body = "x".to_owned()), changed);
        assert_eq!(
            check(|entries| drop(entries.remove(1))),
            Some("entry 2 is missing or duplicated".to_owned())
        );
        assert_eq!(
            check(|entries| drop(entries.pop())),
            Some("the chain ends after 2 of 3 entries".to_owned())
        );
        let (forged, _) = sealed_chain(&["a", "x", "c"]);
        assert!(find_break(&[8; 32], &forged, 3, &whole().1).is_some());
    }
}
