//! The spool: appended frames come back, whatever happens to the disk.

use std::{collections::BTreeMap, process::Command};

use proptest::{prelude::*, sample::Index};
use tempfile::TempDir;

use super::*;

/// The files of a folder, by name.
type FolderFiles = BTreeMap<String, Vec<u8>>;

fn temp_folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open_clean(dir: &Path, segment_bytes: u64) -> Spool {
    let opened = Spool::open(dir, segment_bytes).unwrap();
    assert_eq!(opened.damaged, 0);
    opened.spool
}

/// A frame that is unique to its number.
fn frame_of(number: usize) -> Vec<u8> {
    format!("{number:04}").repeat(1 + number % 5).into_bytes()
}

fn frames_of(numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    numbers.map(frame_of).collect()
}

fn drain_all(spool: &mut Spool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(batch) = spool.peek_batch(3, 40).unwrap() {
        all.extend(batch.frames.iter().cloned());
        spool.forget_batch(&batch).unwrap();
    }
    assert!(spool.is_empty());
    all
}

fn read_files(dir: &Path) -> FolderFiles {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// Appends frames; returns the files, and the frames of each.
fn write_segments(counts: &[usize], segment_bytes: u64) -> (FolderFiles, Vec<Vec<Vec<u8>>>) {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), segment_bytes);
    let (mut next, mut by_segment) = (0, Vec::<Vec<_>>::new());
    for count in counts {
        let some = frames_of(next..next + count);
        spool.append_frames(&some).unwrap();
        next += count;
        by_segment.resize_with(spool.segments.len(), Vec::new);
        by_segment.last_mut().unwrap().extend(some);
    }
    (read_files(dir.path()), by_segment)
}

fn restore_files(files: &FolderFiles) -> TempDir {
    let dir = temp_folder();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Counts the frames that end before a byte of their segment.
fn whole_before(frames: &[Vec<u8>], byte: usize) -> usize {
    let ends = frames.iter().scan(HEADER.len(), |end, frame| {
        *end += FRAME_HEAD + frame.len();
        Some(*end)
    });
    ends.filter(|end| *end <= byte).count()
}

/// Cuts the newest file at a byte: whole frames come back, and the spool goes on.
fn check_cut(files: &FolderFiles, by_segment: &[Vec<Vec<u8>>], at: usize) {
    let mut files = files.clone();
    let newest = files.values_mut().next_back().unwrap();
    newest.truncate(at);
    let (last, older) = by_segment.split_last().unwrap();
    let whole = whole_before(last, at);
    let end = HEADER.len()
        + last[..whole]
            .iter()
            .map(|one| FRAME_HEAD + one.len())
            .sum::<usize>();
    let clean = at == 0 || at == end;
    let dir = restore_files(&files);
    let OpenedSpool { mut spool, damaged } = Spool::open(dir.path(), 64).unwrap();
    assert_eq!(damaged, u64::from(!clean), "cut at {at}");
    spool.append_frames(&[frame_of(9999)]).unwrap();
    drop(spool);
    // The torn bytes are gone: they are not found once more.
    let mut spool = open_clean(dir.path(), 64);
    let mut expected = older.concat();
    expected.extend_from_slice(&last[..whole]);
    expected.push(frame_of(9999));
    assert_eq!(drain_all(&mut spool), expected, "cut at {at}");
    assert_eq!(read_files(dir.path()), FolderFiles::new());
}

/// Changes a byte: the frames before it and those of other
/// segments come back, and the rest is still on disk.
fn check_flip(
    files: &FolderFiles,
    by_segment: &[Vec<Vec<u8>>],
    segment: usize,
    at: usize,
    mask: u8,
) {
    let mut files = files.clone();
    let newest = segment + 1 == files.len();
    let (name, bytes) = files.iter_mut().nth(segment).unwrap();
    let name = name.replace(".seg", ".damaged");
    bytes[at] ^= mask;
    let bytes = bytes.clone();
    let dir = restore_files(&files);
    let OpenedSpool { mut spool, damaged } = Spool::open(dir.path(), 64).unwrap();
    let whole = if at < HEADER.len() {
        0
    } else {
        whole_before(&by_segment[segment], at)
    };
    let mut expected = by_segment[..segment].concat();
    expected.extend_from_slice(&by_segment[segment][..whole]);
    expected.extend(by_segment[segment + 1..].concat());
    assert_eq!(drain_all(&mut spool), expected, "{at} of segment {segment}");
    assert_eq!(damaged, 1, "{at} of segment {segment}");
    let kept = read_files(dir.path());
    // A longer length of the very last frame cannot be told from a torn write.
    let last_length = newest && whole + 1 == by_segment[segment].len() && at >= HEADER.len();
    if kept.is_empty() {
        assert!(last_length, "{at} of segment {segment} is destroyed");
    } else {
        assert_eq!(kept, FolderFiles::from([(name, bytes)]));
    }
}

#[test]
fn frames_come_back_in_order_after_a_restart() {
    let dir = temp_folder();
    let deep = dir.path().join("not/yet/there");
    let mut spool = open_clean(&deep, 64);
    let all = frames_of(0..50);
    for some in all.chunks(7) {
        spool.append_frames(some).unwrap();
    }
    let size: usize = read_files(&deep).values().map(Vec::len).sum();
    assert_eq!(spool.disk_bytes(), size as u64);
    assert_eq!(
        read_files(&deep).len(),
        8,
        "each is over its bound after one append"
    );
    drop(spool);
    let mut spool = open_clean(&deep, 64);
    assert_eq!(spool.disk_bytes(), size as u64);
    assert_eq!(drain_all(&mut spool), all);
    assert_eq!((spool.disk_bytes(), read_files(&deep).len()), (0, 0));
}

#[test]
fn a_segment_ends_once_it_is_over_its_bound() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 100);
    for _ in 0..6 {
        spool.append_frames(&[vec![1; 30]]).unwrap();
    }
    let sizes: Vec<_> = read_files(dir.path()).values().map(Vec::len).collect();
    assert_eq!(sizes, [8 + 3 * 38, 8 + 3 * 38]);
    let batch = spool.peek_batch(2, 1000).unwrap().unwrap();
    spool.forget_batch(&batch).unwrap();
    assert_eq!(read_files(dir.path()).len(), 2);
    let batch = spool.peek_batch(2, 1000).unwrap().unwrap();
    assert_eq!(batch.frames.len(), 1, "a batch ends with its segment");
    spool.forget_batch(&batch).unwrap();
    assert_eq!((read_files(dir.path()).len(), spool.disk_bytes()), (1, 122));
    spool.forget_batch(&batch).unwrap();
    assert_eq!(
        drain_all(&mut spool).len(),
        3,
        "forgetting twice changes nothing"
    );
}

#[test]
fn an_old_segment_is_never_written_to() {
    let dir = temp_folder();
    open_clean(dir.path(), 1000)
        .append_frames(&[frame_of(1)])
        .unwrap();
    let before = read_files(dir.path());
    let mut spool = open_clean(dir.path(), 1000);
    assert_eq!(read_files(dir.path()), before);
    spool.append_frames(&[frame_of(2)]).unwrap();
    let after = read_files(dir.path());
    assert_eq!(after.len(), 2);
    assert_eq!(after.first_key_value(), before.first_key_value());
}

#[test]
fn a_folder_is_one_process_s_alone() {
    let dir = temp_folder();
    let spool = open_clean(dir.path(), 100);
    let other = Spool::open(dir.path(), 100).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ResourceBusy);
    drop(spool);
    open_clean(dir.path(), 100);
}

#[test]
fn what_cannot_be_read_at_all_stops_nothing() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 1);
    for number in 0..4 {
        spool.append_frames(&[frame_of(number)]).unwrap();
    }
    // While it is open, and before it is opened: a folder cannot be read as a file.
    let second = spool.path_of(2);
    fs::remove_file(&second).unwrap();
    assert_eq!(
        drain_all(&mut spool),
        [frame_of(0), frame_of(2), frame_of(3)]
    );
    spool.append_frames(&[frame_of(4)]).unwrap();
    spool.append_frames(&[frame_of(5)]).unwrap();
    let fifth = spool.path_of(5);
    drop(spool);
    fs::remove_file(&fifth).unwrap();
    fs::create_dir(&fifth).unwrap();
    let mut opened = Spool::open(dir.path(), 1).unwrap();
    assert_eq!(opened.damaged, 1);
    assert_eq!(drain_all(&mut opened.spool), [frame_of(5)]);
    assert!(fifth.with_extension("damaged").is_dir());
}

#[test]
fn what_nobody_understands_is_kept() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 100);
    spool.append_frames(&[frame_of(1)]).unwrap();
    let batch = spool.peek_batch(10, 1_000).unwrap().unwrap();
    let path = spool.path_of(1);
    spool.set_aside(&batch);
    spool.forget_batch(&batch).unwrap();
    assert!(spool.is_empty());
    assert!(path.with_extension("damaged").is_file());
}

#[test]
fn a_batch_is_bounded_but_never_empty() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 1_000_000);
    assert!(spool.peek_batch(9, 9).unwrap().is_none() && spool.is_empty());
    let long = vec![7; 100_000];
    spool
        .append_frames(&[long.clone(), vec![1; 6], vec![2; 6], vec![3; 6]])
        .unwrap();
    let batch = spool.peek_batch(9, 10).unwrap().unwrap();
    assert_eq!(batch.frames, [long]);
    assert_eq!(
        spool.peek_batch(9, 10).unwrap().unwrap().frames,
        batch.frames
    );
    spool.forget_batch(&batch).unwrap();
    assert_eq!(
        spool.peek_batch(9, 12).unwrap().unwrap().frames,
        [[1; 6], [2; 6]]
    );
    assert_eq!(
        spool.peek_batch(9, 17).unwrap().unwrap().frames,
        [[1; 6], [2; 6]]
    );
    assert_eq!(spool.peek_batch(1, 99).unwrap().unwrap().frames, [[1; 6]]);
    assert_eq!(spool.peek_batch(0, 0).unwrap().unwrap().frames, [[1; 6]]);
    let more = spool.peek_batch(2, 99).unwrap().unwrap();
    spool.forget_batch(&more).unwrap();
    spool.forget_batch(&batch).unwrap();
    assert_eq!(
        drain_all(&mut spool),
        [[3; 6]],
        "an older batch takes nothing back"
    );
}

#[test]
fn frames_that_could_not_be_read_again_are_refused() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 1000);
    spool.append_frames(&[]).unwrap();
    assert_eq!(read_files(dir.path()).len(), 0);
    for unfit in [Vec::new(), vec![0; FRAME_MAX + 1]] {
        let error = spool.append_frames(&[frame_of(1), unfit]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(spool.is_empty());
    }
    let longest = vec![5; FRAME_MAX];
    spool.append_frames(std::slice::from_ref(&longest)).unwrap();
    drop(spool);
    assert!(drain_all(&mut open_clean(dir.path(), 1000)) == [longest]);
}

#[test]
fn cut_anywhere_whole_frames_come_back() {
    let (files, by_segment) = write_segments(&[3, 3, 1, 4, 2, 1], 100);
    assert!(by_segment.len() > 1 && by_segment.last().unwrap().len() > 2);
    let newest = files.values().next_back().unwrap().len();
    for at in 0..=newest {
        check_cut(&files, &by_segment, at);
    }
}

#[test]
fn damaged_anywhere_the_others_come_back() {
    let (files, by_segment) = write_segments(&[3, 3, 1, 4, 2, 1], 100);
    for (segment, bytes) in files.values().enumerate() {
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                check_flip(&files, &by_segment, segment, at, mask);
            }
        }
    }
}

#[test]
fn zeros_behind_the_last_frame_are_no_frames() {
    let (mut files, by_segment) = write_segments(&[2, 2], 1000);
    files.values_mut().next_back().unwrap().extend([0; 4096]);
    let dir = restore_files(&files);
    let OpenedSpool { mut spool, damaged } = Spool::open(dir.path(), 1000).unwrap();
    assert_eq!(drain_all(&mut spool), by_segment.concat());
    assert_eq!((damaged, read_files(dir.path()).len()), (1, 0));
}

#[test]
fn a_tail_that_takes_too_long_to_search_is_kept() {
    let (mut files, by_segment) = write_segments(&[2], 1000);
    // A long frame might begin wherever the search looks.
    let tail = [0, 0, 0x40, 0].repeat(2 * 1024 * 1024);
    let newest = files.values_mut().next_back().unwrap();
    newest.extend(u32::to_le_bytes(60 * 1024 * 1024));
    newest.extend(tail);
    let dir = restore_files(&files);
    let OpenedSpool { mut spool, damaged } = Spool::open(dir.path(), 1000).unwrap();
    assert_eq!((drain_all(&mut spool), damaged), (by_segment.concat(), 1));
    let kept = read_files(dir.path()).into_values().next().unwrap();
    assert!(Some(&kept) == files.values().next_back());
}

#[test]
fn damage_is_never_overwritten_by_later_damage() {
    let (mut files, _) = write_segments(&[3], 1000);
    files.values_mut().next().unwrap()[10] ^= 1;
    let dir = restore_files(&files);
    assert_eq!(Spool::open(dir.path(), 1000).unwrap().damaged, 1);
    let first = read_files(dir.path());
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["00000000000000000001.damaged"]
    );
    let mut spool = open_clean(dir.path(), 1000);
    spool.append_frames(&[frame_of(1)]).unwrap();
    let names: Vec<_> = read_files(dir.path()).into_keys().collect();
    assert_eq!(
        names,
        ["00000000000000000001.damaged", "00000000000000000002.seg"]
    );
}

#[test]
fn damage_that_comes_while_it_is_open_costs_one_segment() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 1000);
    spool.append_frames(&frames_of(0..4)).unwrap();
    let path = spool.path_of(1);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(
        spool.peek_batch(9, 999).unwrap().unwrap().frames,
        frames_of(0..3)
    );
    spool.append_frames(&frames_of(4..6)).unwrap();
    assert_eq!(
        drain_all(&mut spool),
        [frames_of(0..3), frames_of(4..6)].concat()
    );
    assert_eq!(
        read_files(dir.path()),
        FolderFiles::from([("00000000000000000001.damaged".into(), bytes)])
    );
}

#[test]
fn files_of_others_are_left_alone() {
    let (mut files, by_segment) = write_segments(&[2], 1000);
    for name in [
        "1.seg",
        "+0000000000000000009.seg",
        "note.txt",
        "00000000000000000007.seg.old",
    ] {
        files.insert(name.into(), b"not a segment".into());
    }
    let dir = restore_files(&files);
    assert_eq!(
        drain_all(&mut open_clean(dir.path(), 1000)),
        by_segment.concat()
    );
    assert_eq!(read_files(dir.path()).len(), 4);
}

#[test]
fn where_a_write_cannot_be_taken_back_a_new_segment_begins() {
    let dir = temp_folder();
    let mut spool = open_clean(dir.path(), 1000);
    spool.append_frames(&[frame_of(1)]).unwrap();
    // A file that can only be read can neither be written nor cut.
    spool.writer = Some(File::open(spool.path_of(1)).unwrap());
    assert!(spool.append_frames(&[frame_of(2)]).is_err());
    spool.append_frames(&[frame_of(3)]).unwrap();
    assert_eq!(read_files(dir.path()).len(), 2);
    drop(spool);
    assert_eq!(
        drain_all(&mut open_clean(dir.path(), 1000)),
        [frame_of(1), frame_of(3)]
    );
}

#[test]
fn a_segment_that_cannot_be_made_leaves_nothing_behind() {
    let dir = temp_folder();
    let gone = dir.path().join("gone");
    let mut spool = open_clean(&gone, 1000);
    fs::remove_dir(&gone).unwrap();
    assert!(spool.append_frames(&[frame_of(1)]).is_err());
    assert!(spool.is_empty() && spool.disk_bytes() == 0);
    fs::create_dir(&gone).unwrap();
    spool.append_frames(&[frame_of(2)]).unwrap();
    assert_eq!(drain_all(&mut spool), [frame_of(2)]);
}

/// A file system that goes away with its owner, whatever a test does.
struct MountedDisk(TempDir);

impl Drop for MountedDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_takes_nothing_and_then_goes_on() {
    let dir = temp_folder();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(dir.path());
    if !mount.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no small file system can be mounted here, a full disk is not tested");
        return;
    }
    let dir = MountedDisk(dir);
    let path = dir.0.path();
    // Of several frames, some would still fit; both within a segment and for a new one.
    for segment_bytes in [1_000_000, 30_000, 1] {
        let mut spool = open_clean(path, segment_bytes);
        let long = |number: usize| vec![frame_of(number).repeat(100), frame_of(number).repeat(200)];
        let mut kept = Vec::new();
        while spool.append_frames(&long(kept.len())).is_ok() {
            kept.push(long(kept.len()));
        }
        assert!(kept.len() > 20);
        let (on_disk, bytes) = (read_files(path), spool.disk_bytes());
        let huge = [vec![1; 100], vec![2; 300_000]];
        assert!(spool.append_frames(&huge).is_err() && spool.append_frames(&huge).is_err());
        assert!(
            read_files(path) == on_disk && spool.disk_bytes() == bytes,
            "nothing of it stays"
        );
        let mut left = kept.concat();
        while spool.append_frames(&long(999)).is_err() {
            let batch = spool.peek_batch(10, 1_000_000).unwrap().unwrap();
            assert_eq!(batch.frames, left[..batch.frames.len()]);
            left.drain(..batch.frames.len());
            spool.forget_batch(&batch).unwrap();
        }
        assert!(left.len() < 2 * kept.len(), "forgetting made room");
        left.extend(long(999));
        drop(spool);
        let mut spool = open_clean(path, segment_bytes);
        let back = drain_all(&mut spool);
        assert!(back.ends_with(&left) && kept.concat().ends_with(&back[..back.len() - 2]));
    }
}

/// A step of the property test.
#[derive(Debug, Clone)]
enum SpoolStep {
    Append(usize),
    Peek(usize, usize),
    Forget,
    Reopen,
    /// A crash in the midst of a write.
    Tear(Index),
}

fn any_step() -> impl Strategy<Value = SpoolStep> {
    prop_oneof![
        4 => (1..6_usize).prop_map(SpoolStep::Append),
        4 => (1..8_usize, 0..80_usize).prop_map(|(count, bytes)| SpoolStep::Peek(count, bytes)),
        3 => Just(SpoolStep::Forget),
        1 => Just(SpoolStep::Reopen),
        1 => any::<Index>().prop_map(SpoolStep::Tear),
    ]
}

/// A spool, with the frames that must still come out of it.
struct SpoolModel {
    dir: TempDir,
    segment_bytes: u64,
    spool: Spool,
    waiting: VecDeque<usize>,
    next: usize,
    batch: Option<SpoolBatch>,
    /// After a restart, frames before those that wait may come once more.
    restarted: bool,
}

impl SpoolModel {
    fn new(segment_bytes: u64) -> Self {
        let dir = temp_folder();
        Self {
            spool: open_clean(dir.path(), segment_bytes),
            dir,
            segment_bytes,
            waiting: VecDeque::new(),
            next: 0,
            batch: None,
            restarted: false,
        }
    }

    fn run_step(&mut self, step: &SpoolStep) {
        match step {
            SpoolStep::Append(count) => {
                let numbers = self.next..self.next + count;
                self.spool
                    .append_frames(&frames_of(numbers.clone()))
                    .unwrap();
                self.waiting.extend(numbers);
                self.next += count;
            }
            SpoolStep::Peek(count, bytes) => self.peek_batch(*count, *bytes),
            SpoolStep::Forget => {
                if let Some(batch) = self.batch.take() {
                    self.spool.forget_batch(&batch).unwrap();
                    self.waiting.drain(..batch.frames.len());
                }
            }
            SpoolStep::Reopen => self.reopen_spool(0),
            SpoolStep::Tear(at) => self.tear_write(*at),
        }
        if !self.restarted {
            assert_eq!(self.spool.is_empty(), self.waiting.is_empty());
        }
    }

    fn peek_batch(&mut self, count: usize, bytes: usize) {
        let batch = self.spool.peek_batch(count, bytes).unwrap();
        if let Some(first) = batch.as_ref().map(|batch| batch.frames[0].clone())
            && std::mem::take(&mut self.restarted)
        {
            let first = (0..self.next)
                .find(|number| frame_of(*number) == first)
                .unwrap();
            let oldest = self.waiting.front().copied().unwrap_or(self.next);
            assert!(first <= oldest, "{first} is the first, {oldest} is lost");
            for number in (first..oldest).rev() {
                self.waiting.push_front(number);
            }
        }
        let Some(batch) = &batch else {
            assert!(self.waiting.is_empty() && self.spool.is_empty());
            self.restarted = false;
            return;
        };
        let length = batch.frames.len();
        assert!((1..=count).contains(&length) && length <= self.waiting.len());
        assert!(length == 1 || batch.frames.concat().len() <= bytes);
        assert!(
            batch
                .frames
                .iter()
                .zip(&self.waiting)
                .all(|(one, n)| *one == frame_of(*n))
        );
        self.batch = Some(SpoolBatch {
            frames: batch.frames.clone(),
            ..*batch
        });
    }

    fn reopen_spool(&mut self, damaged: u64) {
        // The process is gone, and its lock with it.
        let elsewhere = temp_folder();
        self.spool = open_clean(elsewhere.path(), 1);
        let opened = Spool::open(self.dir.path(), self.segment_bytes).unwrap();
        assert_eq!(opened.damaged, damaged);
        (self.spool, self.batch, self.restarted) = (opened.spool, None, true);
    }

    /// Part of one more frame gets to the disk, and the process is gone.
    fn tear_write(&mut self, at: Index) {
        let newest = read_files(self.dir.path()).into_keys().next_back();
        let Some(newest) = newest else { return };
        let bytes = encode_frames(&[frame_of(9999)]).unwrap();
        let torn = &bytes[..=at.index(bytes.len() - 1)];
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .open(self.dir.path().join(newest))
            .unwrap();
        file.write_all(torn).unwrap();
        self.reopen_spool(1);
    }
}

proptest! {
    // Each case waits for the disk many times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cut_anywhere(
        counts in prop::collection::vec(1..6_usize, 1..8),
        segment_bytes in 1..400_u64,
        at in any::<Index>(),
    ) {
        let (files, by_segment) = write_segments(&counts, segment_bytes);
        let newest = files.values().next_back().unwrap().len();
        check_cut(&files, &by_segment, at.index(newest + 1));
    }

    #[test]
    fn damaged_anywhere(
        counts in prop::collection::vec(1..6_usize, 1..8),
        segment_bytes in 1..400_u64,
        segment in any::<Index>(),
        at in any::<Index>(),
        mask in 1..=255_u8,
    ) {
        let (files, by_segment) = write_segments(&counts, segment_bytes);
        let segment = segment.index(files.len());
        let at = at.index(files.values().nth(segment).unwrap().len());
        check_flip(&files, &by_segment, segment, at, mask);
    }

    /// Any bytes: opening them does not panic, and the spool works afterwards.
    #[test]
    fn any_bytes_can_be_opened(bytes in prop::collection::vec(any::<u8>(), 0..200), good: bool) {
        let bytes = if good { [&HEADER, &bytes[..]].concat() } else { bytes };
        let dir = restore_files(&FolderFiles::from([("00000000000000000003.seg".into(), bytes)]));
        let mut spool = Spool::open(dir.path(), 100).unwrap().spool;
        prop_assert_eq!(drain_all(&mut spool), Vec::<Vec<u8>>::new());
        spool.append_frames(&[frame_of(1)]).unwrap();
        prop_assert_eq!(drain_all(&mut spool), [frame_of(1)]);
    }

    #[test]
    fn every_frame_comes_at_least_once_and_in_order(
        segment_bytes in 1..300_u64,
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut model = SpoolModel::new(segment_bytes);
        for step in &steps {
            model.run_step(step);
        }
        model.reopen_spool(0);
        while model.restarted || !model.waiting.is_empty() {
            model.run_step(&SpoolStep::Peek(4, 60));
            model.run_step(&SpoolStep::Forget);
        }
        prop_assert!(model.spool.is_empty() && read_files(model.dir.path()).is_empty());
    }
}
