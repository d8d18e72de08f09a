//! Fuzz test: golden messages with a few bytes changed.
//!
//! `FUZZ_FRAMES` is the number of frames (default 200,000, for every test run). A
//! frame must be refused or decoded, and a decoded one must survive another round
//! trip unchanged.

#![expect(
    clippy::disallowed_methods,
    reason = "a test takes its size from the environment"
)]

use std::time::Instant;

use invigil_protocol::Encoding;

use crate::golden::{GoldenMessage, MessageReader};

/// Marsaglia's xorshift: spreads bytes well enough, and equally on every machine.
struct XorShift(u64);

impl XorShift {
    fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick_below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_u64() % end.max(1) as u64).unwrap()
    }

    fn next_byte(&mut self) -> u8 {
        self.next_u64().to_le_bytes()[3]
    }
}

/// Bytes at which decoders tend to stumble.
const PIECES: &[&[u8]] = &[
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"null",
    b"-0",
    b"1e999",
    b"1.0",
    b"[[[[",
    b"}",
    b"{",
    b"\"",
    b"\xc1",
    b"\xc4\x01a",
    b"\xd4\x01\0",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\x91\x91\x91\x91",
    b"\xc0",
    b"\"t\":",
    b"18446744073709551615",
];

fn mutate_frame(random: &mut XorShift, frame: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.pick_below(2) {
        let at = random.pick_below(frame.len() + 1);
        match random.pick_below(8) {
            0 if at < frame.len() => frame[at] = random.next_byte(),
            1 if at < frame.len() => frame[at] ^= 1 << random.pick_below(8),
            2 if at < frame.len() => frame[at] = b'0' + random.next_byte() % 75,
            3 => frame.truncate(at),
            4 => {
                let piece = PIECES[random.pick_below(PIECES.len())];
                frame.splice(at..at, piece.iter().copied());
            }
            5 => {
                let end = (at + random.pick_below(8)).min(frame.len());
                frame.drain(at..end);
            }
            _ => {
                let from = random.pick_below(other.len());
                let until = (from + random.pick_below(24)).min(other.len());
                frame.splice(at..at, other[from..until].iter().copied());
            }
        }
    }
}

#[test]
fn broken_frames_never_panic_and_what_is_understood_round_trips() {
    let count: u64 = std::env::var("FUZZ_FRAMES").map_or(200_000, |count| {
        count.parse().expect("FUZZ_FRAMES is a number")
    });
    let seeds: Vec<(MessageReader, Encoding, Vec<u8>)> = GoldenMessage::load_all()
        .iter()
        .flat_map(|golden| {
            let reader = golden.reader();
            reader
                .encodings()
                .iter()
                .map(move |encoding| (reader, *encoding, golden.encoded_bytes(*encoding)))
        })
        .collect();
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let mut understood = 0_u64;
    let began = Instant::now();
    let mut frame = Vec::new();
    for _ in 0..count {
        let (reader, encoding, seed) = &seeds[random.pick_below(seeds.len())];
        let (_, _, other) = &seeds[random.pick_below(seeds.len())];
        frame.clear();
        frame.extend_from_slice(seed);
        mutate_frame(&mut random, &mut frame, other);
        if let Ok(again) = reader.decode_and_encode(*encoding, &frame) {
            understood += 1;
            let once_more = reader.decode_and_encode(*encoding, &again);
            assert_eq!(
                once_more.as_ref(),
                Ok(&again),
                "{reader:?} {encoding:?} {frame:x?}"
            );
        }
    }
    println!(
        "{count} frames in {:?}, {understood} understood",
        began.elapsed()
    );
    // Otherwise the mutations are so wild that no frame gets past the first check.
    assert!(
        understood > count / 20 && understood < count,
        "{understood} of {count}"
    );
}
