//! Append-only segments on local disk, for records whose store is slow or away.
//!
//! What [`Spool::append`] said yes to survives `kill -9` and a power cut. A segment
//! is a header and frames; a frame is the length of its payload and the CRC32C of
//! it, both little endian, and the payload. What cannot be read is not destroyed:
//! once the frames before it are read, its segment is set aside as `*.damaged`.
//!
//! Everything here blocks. The folder is locked: two that wrote to it would cut off
//! each other's frames.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// What every segment begins with: the format's name and its version.
const HEADER: [u8; 8] = *b"INVSPL\x00\x01";

/// The system's number for a disk that cannot read.
const EIO: i32 = 5;

/// Bytes of a length and a checksum.
const FRAME_HEAD: usize = 8;

/// No frame is longer: a length that says so is damage.
const FRAME_MAX: usize = 64 * 1024 * 1024;

/// The bytes of which checksums are made, at most, when a tail is searched.
const SEARCH_MAX: usize = 256 * 1024 * 1024;

/// Frames that wait on disk.
#[derive(Debug)]
pub(in crate::engine) struct Spool {
    dir: PathBuf,
    /// The folder, locked while this lives.
    _lock: File,
    segment_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last of the segments, where it can still be written to.
    writer: Option<File>,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Up to where it holds whole frames.
    len: u64,
    /// Up to where it is read and forgotten.
    read: u64,
    /// Whether there is something behind the whole frames.
    damaged: bool,
}

/// A spool, and what could not be read of it.
#[derive(Debug)]
pub(in crate::engine) struct Opened {
    /// The spool.
    pub spool: Spool,
    /// Segments whose end could not be read.
    pub damaged: u64,
}

/// The oldest frames.
#[derive(Debug)]
pub(in crate::engine) struct Batch {
    /// As they were appended.
    pub frames: Vec<Vec<u8>>,
    segment: u64,
    upto: u64,
}

impl Spool {
    /// Opens the spool of a folder, which is made where it is not there. A segment
    /// ends once it has `segment_bytes`.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub(in crate::engine) fn open(dir: &Path, segment_bytes: u64) -> io::Result<Opened> {
        make_folder(dir)?;
        let lock = File::open(dir)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::ResourceBusy, "another process uses it")
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
            // What is set aside keeps its number: its name must not come again.
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
            let (segment, whole) = spool.examine(number, newest == Some(number))?;
            damaged += u64::from(!whole);
            spool.segments.push_back(segment);
        }
        spool.retire()?;
        Ok(Opened { spool, damaged })
    }

    /// Finds out up to where a segment can be read. False: that is not all of it.
    fn examine(&self, number: u64, newest: bool) -> io::Result<(Segment, bool)> {
        let path = self.path(number);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // A disk that fails here must not keep an engine from starting.
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "a segment cannot be read");
                let start = HEADER.len() as u64;
                let segment = Segment {
                    number,
                    len: start,
                    read: start,
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
                "a write was torn, its beginning is cut off"
            );
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(len)?;
            file.sync_all()?;
        } else if !rest.is_empty() {
            tell_damage(&path, len);
        }
        let segment = Segment {
            number,
            len,
            read: HEADER.len() as u64,
            damaged: !torn && !rest.is_empty(),
        };
        Ok((segment, rest.is_empty()))
    }

    /// Adds frames, all or none, and waits until the disk has them.
    ///
    /// # Errors
    /// Where the disk does not take them, or where a frame is empty or too long;
    /// then none is there. Only where the disk cannot even take a part back, some
    /// may be there after a restart.
    pub(in crate::engine) fn append(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let bytes = encode(frames)?;
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
            _ => self.begin(&bytes),
        }
    }

    /// Begins a segment with its first frames.
    fn begin(&mut self, frames: &[u8]) -> io::Result<()> {
        let number = self.next;
        // It does not come again, even if the file cannot be removed.
        self.next = number.saturating_add(1);
        let path = self.path(number);
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create_new(true).open(&path)?;
        let bytes = [&HEADER, frames].concat();
        let written = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(&self.dir));
        if written.is_err() {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "a failed segment stays");
            }
            return written;
        }
        self.writer = Some(file);
        self.segments.push_back(Segment {
            number,
            len: bytes.len() as u64,
            read: HEADER.len() as u64,
            damaged: false,
        });
        Ok(())
    }

    /// The oldest frames, at least one however long it is; the same ones again
    /// until they are forgotten. None: nothing waits.
    ///
    /// # Errors
    /// Where the disk cannot be read.
    pub(in crate::engine) fn peek(
        &mut self,
        frames_max: usize,
        bytes_max: usize,
    ) -> io::Result<Option<Batch>> {
        while let Some(at) = self.segments.iter().position(Segment::waits) {
            let segment = &mut self.segments[at];
            let path = segment_path(&self.dir, segment.number);
            let file = match open_at(&path, segment.read) {
                Ok(file) => file,
                Err(error) if is_passing(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "a segment cannot be read");
                    segment.end_at(segment.read);
                    self.writer = None;
                    continue;
                }
            };
            let mut reader = BufReader::new(file.take(segment.len - segment.read));
            let mut batch = Batch {
                frames: Vec::new(),
                segment: segment.number,
                upto: segment.read,
            };
            let mut bytes = 0;
            while batch.upto < segment.len && batch.frames.len() < frames_max.max(1) {
                let Ok(Some(frame)) = read_frame(&mut reader) else {
                    // It was whole before: the disk has changed it. Nothing may be
                    // written behind the damage.
                    tell_damage(&path, batch.upto);
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

    /// A batch has frames that nobody understands: its segment is kept once it is
    /// read.
    pub(in crate::engine) fn set_aside(&mut self, batch: &Batch) {
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.number == batch.segment) {
            segment.damaged = true;
        }
    }

    /// A batch is safe elsewhere. Where it ended is known in memory only until its
    /// segment is read to the end: after a restart some frames come twice.
    ///
    /// # Errors
    /// Where a segment cannot be removed; the next call tries it again.
    pub(in crate::engine) fn forget(&mut self, batch: &Batch) -> io::Result<()> {
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.number == batch.segment) {
            segment.read = segment.read.max(batch.upto);
        }
        self.retire()
    }

    /// Removes segments that are read to their end, or sets them aside.
    fn retire(&mut self) -> io::Result<()> {
        while let Some(segment) = self.segments.front()
            && !segment.waits()
        {
            let path = self.path(segment.number);
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
                // Somebody else removed it.
                Ok(()) | Err(_) => {}
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Bytes on disk, without what is damaged.
    pub(in crate::engine) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Whether nothing waits.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        !self.segments.iter().any(Segment::waits)
    }

    fn path(&self, number: u64) -> PathBuf {
        segment_path(&self.dir, number)
    }
}

impl Segment {
    const fn waits(&self) -> bool {
        self.read < self.len
    }

    /// What is behind `at` cannot be read.
    const fn end_at(&mut self, at: u64) {
        self.len = at;
        self.damaged = true;
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.seg"))
}

/// The number of a file that has the name that the spool would give it.
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

/// Whether an error is about this process and not about the file: no more files may
/// be opened, or no memory is left.
fn is_passing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    ) && error.raw_os_error() != Some(EIO)
}

fn tell_damage(path: &Path, upto: u64) {
    let file = path.display();
    tracing::error!(%file, upto, "a segment is damaged, it is set aside once read up to there");
}

/// Makes a folder so that a power cut does not take it away again.
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

fn encode(frames: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for frame in frames {
        // An empty frame would be eight zeros, which a torn write leaves, too.
        let length = u32::try_from(frame.len())
            .ok()
            .filter(|_| (1..=FRAME_MAX).contains(&frame.len()))
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a frame of no fit length"))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(frame).to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    Ok(bytes)
}

/// How long the payload of the frame is that begins here, if that can be.
fn payload_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    (1..=FRAME_MAX).contains(&length).then_some(length)
}

/// The payload of the frame that begins here, if all of it is there and right.
fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let length = payload_length(bytes)?;
    let checksum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(FRAME_HEAD..FRAME_HEAD + length)?;
    (crc32c::crc32c(payload) == checksum).then_some(payload)
}

/// The next frame; none where it is not whole.
fn read_frame(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(FRAME_HEAD as u64)
        .read_to_end(&mut bytes)?;
    let Some(length) = payload_length(&bytes) else {
        return Ok(None);
    };
    // What a damaged length promises is not allocated ahead.
    reader
        .by_ref()
        .take(length as u64)
        .read_to_end(&mut bytes)?;
    let whole = payload(&bytes).is_some();
    Ok(whole.then(|| bytes.split_off(FRAME_HEAD)))
}

/// Up to where a segment can be read; 0 where it does not begin like one.
fn whole_bytes(bytes: &[u8]) -> usize {
    if !bytes.starts_with(&HEADER) {
        return 0;
    }
    let mut whole = HEADER.len();
    while let Some(payload) = payload(&bytes[whole..]) {
        whole += FRAME_HEAD + payload.len();
    }
    whole
}

/// Whether the end of the newest segment is what a write leaves that did not come
/// to its end. A wrong length in the midst of frames looks the same, but frames
/// follow it.
fn is_torn(rest: &[u8]) -> bool {
    if rest.is_empty() {
        return false;
    }
    let short = rest.len() < FRAME_HEAD
        || payload_length(rest).is_some_and(|length| rest.len() - FRAME_HEAD < length);
    rest.iter().all(|byte| *byte == 0) || (short && !holds_frame(&rest[1..]))
}

/// Whether a frame begins anywhere in here, or whether that takes too long to say.
fn holds_frame(bytes: &[u8]) -> bool {
    let mut left = SEARCH_MAX;
    (0..bytes.len()).any(|at| {
        let bytes = &bytes[at..];
        payload_length(bytes).is_some_and(|length| {
            // One that does not fit costs nothing.
            if bytes.len() - FRAME_HEAD.min(bytes.len()) < length {
                return false;
            }
            left = left.saturating_sub(length);
            left == 0 || payload(bytes).is_some()
        })
    })
}
