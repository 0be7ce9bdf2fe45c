//! Frames between daemon and runner, from either side: a frame is a message or an error, and a message says the same
//! when it is written and read again.
//!
//! Input: a mode, then a stream as it comes (mode 0), or one payload that is framed first, so that the checksum lets it
//! through to the fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vibes_runner::wire::{Order, Report, take_frame};

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn read(payload: &[u8]) {
    let back = |frame: Vec<u8>| {
        let mut frame = frame;
        take_frame(&mut frame).expect("what we write is a frame").expect("and it is whole")
    };
    if let Ok(order) = Order::decode(payload) {
        assert_eq!(Order::decode(&back(order.encode())).ok(), Some(order));
    }
    if let Ok(report) = Report::decode(payload) {
        assert_eq!(Report::decode(&back(report.encode())).ok(), Some(report));
    }
}

fuzz_target!(|data: &[u8]| {
    let [mode, data @ ..] = data else { return };
    let mut stream = if *mode == 0 { data.to_vec() } else { framed(data) };
    loop {
        let before = stream.len();
        match take_frame(&mut stream) {
            Ok(Some(payload)) => {
                assert_eq!(
                    before - stream.len(),
                    payload.len() + 8,
                    "a frame takes its own bytes, no others"
                );
                read(&payload);
            }
            Ok(None) => return assert_eq!(stream.len(), before),
            Err(_) => return,
        }
    }
});
