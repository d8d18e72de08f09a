//! Append-only segments on local disk, for records whose store is away.
//!
//! What [`Spool::append`] said yes to survives `kill -9` and a power cut. A
//! segment is a header and frames; a frame is its length, the CRC32C of its
//! payload, both little endian, and the payload. Whatever cannot be read is never
//! deleted silently: the segment is set aside as `*.damaged`.
//!
//! Everything here blocks; the recorder calls it on a thread that may.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// What every segment begins with: the format's name and its version.
const HEADER: [u8; 8] = *b"INVSPL\x00\x01";

/// Length and checksum.
const FRAME_HEAD: u64 = 8;

/// No frame is longer: a length that says so is damage.
const FRAME_MAX: u32 = 64 * 1024 * 1024;

/// Frames that wait on disk.
#[derive(Debug)]
pub(in crate::engine) struct Spool {
    dir: PathBuf,
    segment_bytes: u64,
    /// Oldest first; the last one may still be written to.
    segments: VecDeque<Segment>,
    /// The newest segment, where this process began it.
    writer: Option<File>,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Bytes that are whole frames, with the header.
    len: u64,
    /// Up to where it was read and forgotten.
    read: u64,
}

/// A spool, and what could not be read of it.
#[derive(Debug)]
pub(in crate::engine) struct Opened {
    /// The spool.
    pub spool: Spool,
    /// Segments whose end was torn or damaged.
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
    /// Opens the spool of a folder, which is made where it is not there.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub(in crate::engine) fn open(dir: &Path, segment_bytes: u64) -> io::Result<Opened> {
        fs::create_dir_all(dir)?;
        let mut numbers: Vec<u64> = fs::read_dir(dir)?
            .filter_map(|entry| segment_number(&entry.ok()?.path()))
            .collect();
        numbers.sort_unstable();
        let mut spool = Self {
            dir: dir.to_owned(),
            segment_bytes,
            next: numbers.last().map_or(1, |last| last + 1),
            segments: VecDeque::new(),
            writer: None,
        };
        let mut damaged = 0;
        let newest = numbers.last().copied();
        for number in numbers {
            let path = spool.path(number);
            let whole = whole_bytes(&path)?;
            let size = fs::metadata(&path)?.len();
            if whole < size {
                damaged += 1;
                // Only the newest can end in the middle of a write. What is torn
                // there was never said yes to; anything else is set aside.
                if newest != Some(number) || whole < HEADER.len() as u64 {
                    fs::copy(&path, path.with_extension("damaged"))?;
                    let file = path.display();
                    tracing::error!(%file, "a segment is damaged, it is set aside");
                }
                OpenOptions::new().write(true).open(&path)?.set_len(whole)?;
            }
            if whole > HEADER.len() as u64 {
                spool.segments.push_back(Segment {
                    number,
                    len: whole,
                    read: HEADER.len() as u64,
                });
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(Opened { spool, damaged })
    }

    /// Adds frames, all or none, and waits until the disk has them.
    ///
    /// # Errors
    /// Where the disk does not take them; then none is there.
    pub(in crate::engine) fn append(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(frame).to_le_bytes());
            bytes.extend_from_slice(frame);
        }
        let full = self
            .segments
            .back()
            .is_some_and(|segment| segment.len >= self.segment_bytes);
        if full || self.segments.is_empty() {
            self.writer = None;
        }
        if self.writer.is_none() {
            self.begin_segment()?;
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Err(io::Error::other("there is no segment to write to"));
        };
        match writer.write_all(&bytes).and_then(|()| writer.sync_data()) {
            Ok(()) => {
                segment.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Back to what it was; where even that fails, a new segment
                // follows, and opening cuts this one.
                let len = segment.len;
                let undone = writer
                    .set_len(len)
                    .and_then(|()| writer.seek(SeekFrom::Start(len)));
                if undone.is_err() {
                    self.writer = None;
                }
                Err(error)
            }
        }
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.next;
        let path = self.path(number);
        // Left over from a try that failed half-way.
        let mut file = File::create(&path)?;
        let begun = file.write_all(&HEADER).and_then(|()| file.sync_all());
        if let Err(error) = begun.and_then(|()| File::open(&self.dir)?.sync_all()) {
            fs::remove_file(&path).ok();
            return Err(error);
        }
        self.next += 1;
        self.writer = Some(file);
        self.segments.push_back(Segment {
            number,
            len: HEADER.len() as u64,
            read: HEADER.len() as u64,
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
        self.drop_read()?;
        let Some(segment) = self.segments.front() else {
            return Ok(None);
        };
        if segment.read >= segment.len {
            return Ok(None);
        }
        let (number, read) = (segment.number, segment.read);
        let mut file = File::open(self.path(number))?;
        file.seek(SeekFrom::Start(read))?;
        let mut reader = io::BufReader::new(file.take(segment.len - read));
        let (mut frames, mut bytes, mut upto) = (Vec::new(), 0, read);
        while frames.len() < frames_max {
            let Some(frame) = read_frame(&mut reader)? else {
                break;
            };
            if !frames.is_empty() && bytes + frame.len() > bytes_max {
                break;
            }
            bytes += frame.len();
            upto += FRAME_HEAD + frame.len() as u64;
            frames.push(frame);
        }
        if frames.is_empty() {
            // It was whole when it was opened or written: the disk has changed it.
            let path = self.path(number);
            tracing::error!(file = %path.display(), "a segment is damaged, it is set aside");
            fs::rename(&path, path.with_extension("damaged"))?;
            self.segments.pop_front();
            self.writer = self.writer.take().filter(|_| !self.segments.is_empty());
            return self.peek(frames_max, bytes_max);
        }
        Ok(Some(Batch {
            frames,
            segment: number,
            upto,
        }))
    }

    /// A batch is safe elsewhere. Where it was stays in memory until its segment is
    /// read to the end: after a restart some frames come twice.
    ///
    /// # Errors
    /// Where a segment cannot be removed.
    pub(in crate::engine) fn forget(&mut self, batch: &Batch) -> io::Result<()> {
        if let Some(segment) = self.segments.front_mut()
            && segment.number == batch.segment
        {
            segment.read = segment.read.max(batch.upto);
        }
        self.drop_read()
    }

    /// Removes segments that are read to their end.
    fn drop_read(&mut self) -> io::Result<()> {
        while let Some(segment) = self.segments.front()
            && segment.read >= segment.len
        {
            let path = self.path(segment.number);
            if self.segments.len() == 1 {
                self.writer = None;
            }
            self.segments.pop_front();
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Bytes on disk.
    pub(in crate::engine) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Whether nothing waits.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| segment.read >= segment.len)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.seg"))
    }
}

fn segment_number(path: &Path) -> Option<u64> {
    if path.extension()? != "seg" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Up to where a segment holds whole frames; 0 where it is no segment.
fn whole_bytes(path: &Path) -> io::Result<u64> {
    let mut reader = io::BufReader::new(File::open(path)?);
    let mut header = [0; HEADER.len()];
    if reader.read_exact(&mut header).is_err() || header != HEADER {
        return Ok(0);
    }
    let mut whole = HEADER.len() as u64;
    while let Some(frame) = read_frame(&mut reader)? {
        whole += FRAME_HEAD + frame.len() as u64;
    }
    Ok(whole)
}

/// The next frame; none where there is none that is whole.
fn read_frame(reader: &mut impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 8];
    if !fill(reader, &mut head)? {
        return Ok(None);
    }
    let [a, b, c, d, checksum @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > FRAME_MAX {
        return Ok(None);
    }
    // What a damaged length promises is not allocated ahead.
    let mut frame = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut frame)?;
    let whole = frame.len() as u64 == u64::from(length);
    let right = crc32c::crc32c(&frame) == u32::from_le_bytes(checksum);
    Ok((whole && right).then_some(frame))
}

/// False: it ended before.
fn fill(reader: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
