//! The bytes of protocol 1. These tests fix them for ever: runners that speak them outlive the daemon they began with.
//! The expected bytes were made by another program (Python's struct and zlib), not by the code under test.

use vibes_runner::wire::{Exit, FrameError, MAX_PAYLOAD, Order, Refusal, Report, Standing, take_frame};

const HASH: [u8; 32] = {
    let mut hash = [0; 32];
    let mut i = 0;
    while i < 32 {
        hash[i] = i as u8;
        i += 1;
    }
    hash
};
const KILLED: Exit = Exit { code: -1, signal: 9, start_errno: 0 };

fn standing(exit: Option<Exit>) -> Standing {
    Standing {
        protocol: 1,
        pid: 4242,
        agent_pid: 4343,
        going: true,
        fence: 7,
        last_in_seq: 3,
        spool_end: 0x1122_3344_5566_7788,
        pending_input: 65536,
        blocked: true,
        exit,
    }
}

fn orders() -> Vec<(Order, &'static str)> {
    vec![
        (
            Order::Hello { protocol: 1, fence: 0x0102_0304_0506_0708 },
            "0b0000005e3725850101000807060504030201",
        ),
        (Order::Go, "01000000a18e0c3c02"),
        (
            Order::Write { in_seq: 3, hash: HASH, bytes: b"{}\n".to_vec() },
            "2c000000c49d226f030300000000000000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f7b7d0a",
        ),
        (Order::Stat, "01000000942b6fd504"),
        (Order::Signal { signal: 2 }, "05000000e6b0cba40502000000"),
        (Order::Stop { eof_ms: 2000, term_ms: 3000 }, "0900000022ac3a8206d0070000b80b0000"),
    ]
}

fn reports() -> Vec<(Report, &'static str)> {
    vec![
        (
            Report::Hello(standing(None)),
            "2e0000004ef837f681010092100000f71000000107000000000000000300000000000000887766554433221100000100000000000100",
        ),
        (
            Report::Stat(standing(Some(KILLED))),
            "3a00000072ecfe6782010092100000f71000000107000000000000000300000000000000887766554433221100000100000000000101ffffffff0900000000000000",
        ),
        (Report::Ack { in_seq: 3 }, "09000000c72f5e37830300000000000000"),
        (Report::Refused { in_seq: 4, why: Refusal::Fenced }, "0a00000097a08f2684040000000000000001"),
        (Report::Refused { in_seq: 4, why: Refusal::Busy }, "0a0000002df186bf84040000000000000002"),
        (Report::Refused { in_seq: 4, why: Refusal::Mismatch }, "0a000000bbc181c884040000000000000003"),
        (Report::Refused { in_seq: 4, why: Refusal::NotRunning }, "0a0000001854e55684040000000000000004"),
        (Report::Refused { in_seq: 4, why: Refusal::DiskFull }, "0a0000008e64e22184040000000000000005"),
        (Report::Refused { in_seq: 4, why: Refusal::Protocol }, "0a0000003435ebb884040000000000000006"),
        (Report::Grown { spool_end: 1 << 40 }, "09000000993b09cb850000000000010000"),
        (Report::Exited(KILLED, 99), "150000001a90bff686ffffffff09000000000000006300000000000000"),
        (Report::Stopped { left: vec![] }, "050000009f9be4c58700000000"),
        (Report::Stopped { left: vec![11, 12] }, "0d000000bc58ea2987020000000b0000000c000000"),
        (Report::Blocked { blocked: true }, "020000002a3084c58801"),
        (Report::Blocked { blocked: false }, "02000000bc0083b28800"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn payload(mut frame: Vec<u8>) -> Vec<u8> {
    let payload = take_frame(&mut frame).expect("whole").expect("whole");
    assert!(frame.is_empty());
    payload
}

#[test]
fn the_bytes_of_protocol_1_never_change() {
    for (order, bytes) in orders() {
        assert_eq!(hex(&order.encode()), bytes, "{order:?}");
        assert_eq!(Order::decode(&payload(order.encode())), Ok(order));
    }
    for (report, bytes) in reports() {
        assert_eq!(hex(&report.encode()), bytes, "{report:?}");
        assert_eq!(Report::decode(&payload(report.encode())), Ok(report));
    }
}

#[test]
fn fields_added_at_the_end_are_ignored() {
    for (order, _) in orders().into_iter().filter(|(order, _)| !matches!(order, Order::Write { .. })) {
        let mut longer = payload(order.encode());
        longer.extend_from_slice(b"later");
        assert_eq!(Order::decode(&longer), Ok(order));
    }
    for (report, _) in reports() {
        let mut longer = payload(report.encode());
        longer.extend_from_slice(b"later");
        assert_eq!(Report::decode(&longer), Ok(report));
    }
}

#[test]
fn a_frame_is_taken_only_when_whole_and_unharmed() {
    let frame = Order::Stop { eof_ms: 1, term_ms: 2 }.encode();
    for cut in 0..frame.len() {
        let mut partial = frame[..cut].to_vec();
        assert_eq!(take_frame(&mut partial), Ok(None));
        assert_eq!(partial.len(), cut, "nothing is taken before it is whole");
    }
    for place in 4..frame.len() {
        let mut harmed = frame.clone();
        harmed[place] ^= 1;
        assert_eq!(take_frame(&mut harmed), Err(FrameError::Checksum));
    }
    let mut long = (MAX_PAYLOAD as u32 + 1).to_le_bytes().to_vec();
    long.extend_from_slice(&[0; 4]);
    assert_eq!(take_frame(&mut long), Err(FrameError::TooLong(MAX_PAYLOAD + 1)));
}

/// Xorshift: the same bytes on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn no_bytes_make_decoding_panic() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let known: Vec<Vec<u8>> = orders()
        .into_iter()
        .map(|(order, _)| order.encode())
        .chain(reports().into_iter().map(|(report, _)| report.encode()))
        .collect();
    for round in 0..200_000_u64 {
        let mut bytes: Vec<u8> = if round % 2 == 0 {
            (0..dice.roll() % 80).map(|_| dice.roll() as u8).collect()
        } else {
            // Something real, cut and with a byte changed: gets further than noise.
            let mut bytes = known[dice.roll() as usize % known.len()].clone();
            let (place, cut) = (dice.roll() as usize % bytes.len(), dice.roll() as usize % bytes.len());
            bytes[place] = dice.roll() as u8;
            bytes.truncate(cut + 1);
            bytes
        };
        let inner = &bytes[bytes.len().min(8)..];
        for payload in [&bytes[..], inner] {
            let _ = Order::decode(payload);
            let _ = Report::decode(payload);
        }
        while let Ok(Some(_)) = take_frame(&mut bytes) {}
    }
}
