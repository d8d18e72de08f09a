//! The spool: whatever happens to the disk, what was said yes to comes back.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, 64).unwrap().spool
}

fn frame(number: usize) -> Vec<u8> {
    format!("frame {number}").into_bytes()
}

/// Everything that waits, in order, without forgetting any of it.
fn all(dir: &Path) -> Vec<Vec<u8>> {
    drain(&mut open(dir))
}

fn drain(spool: &mut Spool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(batch) = spool.peek(3, 40).unwrap() {
        frames.extend(batch.frames.iter().cloned());
        spool.forget(&batch).unwrap();
    }
    assert!(spool.is_empty());
    frames
}

fn newest(dir: &Path) -> PathBuf {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segments = entries.filter(|path| segment_number(path).is_some());
    segments.max().unwrap()
}

#[test]
fn frames_come_back_in_order_after_a_restart() {
    let dir = folder();
    let mut spool = open(dir.path());
    let frames: Vec<_> = (0..50).map(frame).collect();
    for some in frames.chunks(7) {
        spool.append(some).unwrap();
    }
    assert!(
        fs::read_dir(dir.path()).unwrap().count() > 3,
        "segments rotate"
    );
    drop(spool);
    assert_eq!(all(dir.path()), frames);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "and are removed"
    );
}

#[test]
fn what_is_forgotten_makes_room_and_what_is_not_comes_again() {
    let dir = folder();
    let mut spool = open(dir.path());
    let frames: Vec<_> = (0..30).map(frame).collect();
    for one in &frames {
        spool.append(std::slice::from_ref(one)).unwrap();
    }
    let before = spool.bytes();
    let batch = spool.peek(5, 10_000).unwrap().unwrap();
    assert_eq!(spool.peek(5, 10_000).unwrap().unwrap().frames, batch.frames);
    spool.forget(&batch).unwrap();
    assert!(spool.bytes() < before);
    drop(spool);
    let left = all(dir.path());
    // Within a segment, the position is not kept.
    assert!(frames.ends_with(&left) && left.len() >= 30 - batch.frames.len());
}

#[test]
fn a_frame_longer_than_the_bound_comes_alone() {
    let dir = folder();
    let mut spool = open(dir.path());
    let long = vec![7; 100_000];
    spool.append(&[long.clone(), frame(1)]).unwrap();
    assert_eq!(
        spool.peek(9, 10).unwrap().unwrap().frames,
        std::slice::from_ref(&long)
    );
    assert_eq!(drain(&mut spool), [long, frame(1)]);
    assert!(spool.peek(9, 9).unwrap().is_none());
    spool.append(&[frame(2)]).unwrap();
    assert_eq!(drain(&mut spool), [frame(2)]);
}

#[test]
fn a_full_disk_takes_nothing_and_then_goes_on() {
    let dir = folder();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(dir.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no small file system can be mounted here");
        return;
    }
    let mut spool = Spool::open(dir.path(), 8 * 1024).unwrap().spool;
    let chunk = vec![vec![1; 3_000]];
    let mut kept = 0;
    while spool.append(&chunk).is_ok() {
        kept += 1;
    }
    assert!(kept > 5);
    assert!(spool.append(&chunk).is_err());
    let batch = spool.peek(3, 100_000).unwrap().unwrap();
    spool.forget(&batch).unwrap();
    spool.append(&chunk).unwrap();
    let left = drain(&mut spool).len();
    let path = dir.path().to_owned();
    drop(spool);
    let unmounted = std::process::Command::new("umount").arg(&path).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(left, kept - batch.frames.len() + 1);
}

proptest! {
    /// A write that was torn anywhere takes only what was not said yes to.
    #[test]
    fn a_torn_end_costs_only_what_was_torn(
        counts in prop::collection::vec(1..5_usize, 1..6),
        cut in 0..200_u64,
    ) {
        let dir = folder();
        let mut spool = Spool::open(dir.path(), 1_000_000).unwrap().spool;
        let mut ends = vec![(0, 0)];
        let mut frames = Vec::new();
        for count in counts {
            let some: Vec<_> = (0..count).map(|index| frame(frames.len() + index)).collect();
            spool.append(&some).unwrap();
            frames.extend(some);
            ends.push((spool.bytes(), frames.len()));
        }
        drop(spool);
        let path = newest(dir.path());
        let size = fs::metadata(&path).unwrap().len();
        let left = size.saturating_sub(cut);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
        let back = all(dir.path());
        prop_assert!(frames.starts_with(&back), "nothing is invented");
        let safe = ends.iter().rev().find(|(end, _)| *end <= left).unwrap().1;
        prop_assert!(back.len() >= safe, "{} of {safe}", back.len());
        // And it goes on.
        let mut spool = open(dir.path());
        spool.append(&[frame(99)]).unwrap();
        let back = drain(&mut spool);
        prop_assert_eq!(back.last(), Some(&frame(99)));
    }

    /// Damage anywhere costs at most the rest of its segment, and no panic.
    #[test]
    fn a_flipped_bit_costs_at_most_the_rest_of_its_segment(
        position in 0..4_000_usize,
        bit in 0..8_u32,
    ) {
        let dir = folder();
        let mut spool = Spool::open(dir.path(), 200).unwrap().spool;
        let frames: Vec<_> = (0..60).map(frame).collect();
        for some in frames.chunks(4) {
            spool.append(some).unwrap();
        }
        drop(spool);
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut paths: Vec<_> = entries.map(|one| one.unwrap().path()).collect();
        paths.sort();
        let path = &paths[position % paths.len()];
        let mut bytes = fs::read(path).unwrap();
        let at = position / paths.len() % bytes.len();
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        let back = all(dir.path());
        prop_assert!(back.iter().all(|frame| frames.contains(frame)), "nothing is invented");
        prop_assert!(back.is_sorted_by_key(|frame| frames.iter().position(|one| one == frame)));
        prop_assert!(frames.len() - back.len() <= 20, "{} came back", back.len());
    }
}
