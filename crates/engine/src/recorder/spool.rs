//! Append-only segments on local disk, for records whose store is slow or away.
//!
//! Frames that [`Spool::append_frames`] has accepted survive `kill -9` and a power cut.
//! A segment is a header and frames; a frame is the length of its payload and the CRC32C
//! of it, both little endian, and the payload. Unreadable bytes are not destroyed: once
//! the frames before them are read, their segment is set aside as `*.damaged`.
//!
//! All calls block. The folder is locked: two processes that
//! wrote to it would cut off each other's frames.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// The header of every segment: the format's name and its version.
const HEADER: [u8; 8] = *b"INVSPL\x00\x01";

/// The system's error number for a failed read of the disk.
const EIO: i32 = 5;

/// Bytes of a length and a checksum.
const FRAME_HEAD: usize = 8;

/// Limit of a frame's payload: a longer length is damage.
const FRAME_MAX: usize = 64 * 1024 * 1024;

/// Limit of bytes that are checksummed in the search of a torn tail.
const SEARCH_MAX: usize = 256 * 1024 * 1024;

/// Frames that wait on disk.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    /// The folder, locked while this lives.
    _lock: File,
    segment_bytes: u64,
    /// Oldest first.
    segments: VecDeque<SpoolSegment>,
    /// The last segment, while it can still be written to.
    writer: Option<File>,
    next: u64,
}

#[derive(Debug)]
struct SpoolSegment {
    number: u64,
    /// End of its whole frames.
    len: u64,
    /// End of the frames that are read and forgotten.
    read_to: u64,
    /// True if other bytes follow the whole frames.
    damaged: bool,
}

/// An opened spool, with the damage that was found.
#[derive(Debug)]
pub(crate) struct OpenedSpool {
    /// The spool.
    pub spool: Spool,
    /// Segments whose end could not be read.
    pub damaged: u64,
}

/// A batch of the oldest frames.
#[derive(Debug)]
pub(crate) struct SpoolBatch {
    /// Payloads, as they were appended.
    pub frames: Vec<Vec<u8>>,
    segment: u64,
    upto: u64,
}

impl Spool {
    /// Opens the spool of a folder, which is made if it is
    /// missing. A segment ends once it has `segment_bytes`.
    ///
    /// # Errors
    /// Fails if the folder cannot be used, or another process uses it.
    pub(crate) fn open(dir: &Path, segment_bytes: u64) -> io::Result<OpenedSpool> {
        make_folder(dir)?;
        let lock = File::open(dir)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::ResourceBusy, "another process uses the folder")
            }
            TryLockError::Error(error) => error,
        })?;
        let mut spool = Self {
            dir: dir.to_owned(),
            _lock: lock,
            segment_bytes,
            segments: VecDeque::new(),
            writer: None,
            next: 1,
        };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            // A segment that is set aside keeps its number: the name must not come again.
            if let Some(number) = number_of(&name, "damaged") {
                spool.next = spool.next.max(number.saturating_add(1));
            }
            numbers.extend(number_of(&name, "seg"));
        }
        numbers.sort_unstable();
        let newest = numbers.last().copied();
        spool.next = spool
            .next
            .max(newest.map_or(1, |last| last.saturating_add(1)));
        let mut damaged = 0;
        for number in numbers {
            let (segment, whole) = spool.scan_segment(number, newest == Some(number))?;
            damaged += u64::from(!whole);
            spool.segments.push_back(segment);
        }
        spool.retire_segments()?;
        Ok(OpenedSpool { spool, damaged })
    }

    /// Finds the end of a segment's whole frames. Returns false if other bytes follow.
    fn scan_segment(&self, number: u64, newest: bool) -> io::Result<(SpoolSegment, bool)> {
        let path = self.path_of(number);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // A failing disk must not keep the engine from starting.
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "a segment cannot be read");
                let start = HEADER.len() as u64;
                let segment = SpoolSegment {
                    number,
                    len: start,
                    read_to: start,
                    damaged: true,
                };
                return Ok((segment, false));
            }
        };
        let whole = whole_bytes(&bytes);
        let rest = &bytes[whole..];
        let len = whole as u64;
        let torn = newest && is_torn(rest);
        if torn {
            tracing::warn!(
                file = %path.display(),
                bytes = rest.len(),
                "an incomplete write was cut off"
            );
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(len)?;
            file.sync_all()?;
        } else if !rest.is_empty() {
            log_damage(&path, len);
        }
        let segment = SpoolSegment {
            number,
            len,
            read_to: HEADER.len() as u64,
            damaged: !torn && !rest.is_empty(),
        };
        Ok((segment, rest.is_empty()))
    }

    /// Appends frames, all or none, and waits until the disk has them.
    ///
    /// # Errors
    /// Fails if the disk does not take them, or if a frame is empty or too long; then
    /// none is stored. Only if the disk cannot even cut off a partial write, some may
    /// be there after a restart.
    pub(crate) fn append_frames(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let bytes = encode_frames(frames)?;
        match (self.writer.take(), self.segments.back_mut()) {
            (Some(mut file), Some(segment)) if segment.len < self.segment_bytes => {
                let written = file.write_all(&bytes).and_then(|()| file.sync_data());
                if written.is_ok() {
                    segment.len += bytes.len() as u64;
                    self.writer = Some(file);
                } else if file.set_len(segment.len).is_ok() && file.sync_data().is_ok() {
                    self.writer = Some(file);
                }
                written
            }
            _ => self.begin_segment(&bytes),
        }
    }

    /// Begins a segment with its first frames.
    fn begin_segment(&mut self, frames: &[u8]) -> io::Result<()> {
        let number = self.next;
        // The number does not come again, even if the file cannot be removed.
        self.next = number.saturating_add(1);
        let path = self.path_of(number);
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create_new(true).open(&path)?;
        let bytes = [&HEADER, frames].concat();
        let written = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(&self.dir));
        if written.is_err() {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(
                    file = %path.display(),
                    %error,
                    "an incomplete segment cannot be removed"
                );
            }
            return written;
        }
        self.writer = Some(file);
        self.segments.push_back(SpoolSegment {
            number,
            len: bytes.len() as u64,
            read_to: HEADER.len() as u64,
            damaged: false,
        });
        Ok(())
    }

    /// Returns the oldest frames, at least one however long it is, and the same ones
    /// again until they are forgotten; none if the spool is empty.
    ///
    /// # Errors
    /// Fails if the disk cannot be read.
    pub(crate) fn peek_batch(
        &mut self,
        frames_max: usize,
        bytes_max: usize,
    ) -> io::Result<Option<SpoolBatch>> {
        while let Some(at) = self.segments.iter().position(SpoolSegment::has_unread) {
            let segment = &mut self.segments[at];
            let path = segment_path(&self.dir, segment.number);
            let file = match open_at(&path, segment.read_to) {
                Ok(file) => file,
                Err(error) if is_passing(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "a segment cannot be read");
                    segment.end_at(segment.read_to);
                    self.writer = None;
                    continue;
                }
            };
            let mut reader = BufReader::new(file.take(segment.len - segment.read_to));
            let mut batch = SpoolBatch {
                frames: Vec::new(),
                segment: segment.number,
                upto: segment.read_to,
            };
            let mut bytes = 0;
            while batch.upto < segment.len && batch.frames.len() < frames_max.max(1) {
                let Ok(Some(frame)) = read_frame(&mut reader) else {
                    // The frame was whole before: the disk has changed it. Nothing may
                    // be written behind the damage.
                    log_damage(&path, batch.upto);
                    segment.end_at(batch.upto);
                    self.writer = None;
                    break;
                };
                bytes += frame.len();
                if bytes > bytes_max && !batch.frames.is_empty() {
                    break;
                }
                batch.upto += (FRAME_HEAD + frame.len()) as u64;
                batch.frames.push(frame);
            }
            if !batch.frames.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Marks the segment of a batch with frames of an
    /// unknown format, so that it is kept once it is read.
    pub(crate) fn set_aside(&mut self, batch: &SpoolBatch) {
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.number == batch.segment) {
            segment.damaged = true;
        }
    }

    /// Forgets a batch that is safe elsewhere. Its end is known in memory only until
    /// its segment is read to the end: after a restart some frames come twice.
    ///
    /// # Errors
    /// Fails if a segment cannot be removed; the next call tries it again.
    pub(crate) fn forget_batch(&mut self, batch: &SpoolBatch) -> io::Result<()> {
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.number == batch.segment) {
            segment.read_to = segment.read_to.max(batch.upto);
        }
        self.retire_segments()
    }

    /// Removes segments that are read to their end, or sets damaged ones aside.
    fn retire_segments(&mut self) -> io::Result<()> {
        while let Some(segment) = self.segments.front()
            && !segment.has_unread()
        {
            let path = self.path_of(segment.number);
            if self.segments.len() == 1 {
                self.writer = None;
            }
            let gone = if segment.damaged {
                fs::rename(&path, path.with_extension("damaged"))
            } else {
                fs::remove_file(&path)
            };
            match gone {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                // Another program removed it.
                Ok(()) | Err(_) => {}
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Returns the bytes on disk, without damaged ones.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Returns true if no frames wait.
    pub(crate) fn is_empty(&self) -> bool {
        !self.segments.iter().any(SpoolSegment::has_unread)
    }

    fn path_of(&self, number: u64) -> PathBuf {
        segment_path(&self.dir, number)
    }
}

impl SpoolSegment {
    const fn has_unread(&self) -> bool {
        self.read_to < self.len
    }

    /// Ends the segment at `at`, as the rest cannot be read.
    const fn end_at(&mut self, at: u64) {
        self.len = at;
        self.damaged = true;
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.seg"))
}

/// Parses the number of a file that is named as the spool names its files.
fn number_of(name: &std::ffi::OsStr, extension: &str) -> Option<u64> {
    let name = name.to_str()?;
    let number = name.split_once('.')?.0.parse().ok()?;
    (name == format!("{number:020}.{extension}")).then_some(number)
}

fn open_at(path: &Path, at: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    Ok(file)
}

/// Returns true for an error of this process and not of the file: no more files may be
/// opened, or no memory is left.
fn is_passing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    ) && error.raw_os_error() != Some(EIO)
}

fn log_damage(path: &Path, upto: u64) {
    let file = path.display();
    tracing::error!(%file, upto, "a segment is damaged and will be set aside once it is read");
}

/// Creates a folder so that a power cut does not undo it.
fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if parent != "" => parent,
        _ => Path::new("."),
    };
    make_folder(parent)?;
    fs::create_dir(dir)?;
    sync_folder(parent)
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn encode_frames(frames: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for frame in frames {
        // An empty frame would be eight zeros, which a torn write leaves, too.
        let length = u32::try_from(frame.len())
            .ok()
            .filter(|_| (1..=FRAME_MAX).contains(&frame.len()))
            .ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidInput, "a frame is empty or too long")
            })?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(frame).to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    Ok(bytes)
}

/// Returns the length of the payload at the start of `bytes`, if it is a possible one.
fn payload_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    (1..=FRAME_MAX).contains(&length).then_some(length)
}

/// Returns the payload at the start of `bytes`, if it is complete and its checksum is right.
fn checked_payload(bytes: &[u8]) -> Option<&[u8]> {
    let length = payload_length(bytes)?;
    let checksum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(FRAME_HEAD..FRAME_HEAD + length)?;
    (crc32c::crc32c(payload) == checksum).then_some(payload)
}

/// Reads the next frame; none if it is not whole.
fn read_frame(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(FRAME_HEAD as u64)
        .read_to_end(&mut bytes)?;
    let Some(length) = payload_length(&bytes) else {
        return Ok(None);
    };
    // Nothing is allocated ahead for a length that may be damaged.
    reader
        .by_ref()
        .take(length as u64)
        .read_to_end(&mut bytes)?;
    let whole = checked_payload(&bytes).is_some();
    Ok(whole.then(|| bytes.split_off(FRAME_HEAD)))
}

/// Returns the end of a segment's whole frames; 0 without a header.
fn whole_bytes(bytes: &[u8]) -> usize {
    if !bytes.starts_with(&HEADER) {
        return 0;
    }
    let mut whole = HEADER.len();
    while let Some(payload) = checked_payload(&bytes[whole..]) {
        whole += FRAME_HEAD + payload.len();
    }
    whole
}

/// Returns true if the end of the newest segment looks like a write that did not
/// complete. A damaged length amid frames looks the same, but frames follow it.
fn is_torn(rest: &[u8]) -> bool {
    if rest.is_empty() {
        return false;
    }
    let short = rest.len() < FRAME_HEAD
        || payload_length(rest).is_some_and(|length| rest.len() - FRAME_HEAD < length);
    rest.iter().all(|byte| *byte == 0) || (short && !holds_frame(&rest[1..]))
}

/// Returns true if a frame begins anywhere in `bytes`, or if the search takes too long.
fn holds_frame(bytes: &[u8]) -> bool {
    let mut left = SEARCH_MAX;
    (0..bytes.len()).any(|at| {
        let bytes = &bytes[at..];
        payload_length(bytes).is_some_and(|length| {
            // A length that does not fit costs nothing.
            if bytes.len() - FRAME_HEAD.min(bytes.len()) < length {
                return false;
            }
            left = left.saturating_sub(length);
            left == 0 || checked_payload(bytes).is_some()
        })
    })
}
