//! The runner's protocol, version 1. Frozen: a new daemon must be able to adopt an old runner.
//!
//! A frame is `[u32 length][u32 crc32 of the payload][payload]`, little-endian; a payload is one verb byte and its
//! fixed fields, integers little-endian, byte strings as the rest of the payload or as `[u32 length][bytes]`.
//! Invariant: decoding never panics and never allocates more than the frame's announced length, which is capped.

/// The version of this protocol.
pub const RUNNER_PROTOCOL: u16 = 1;
/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 20 * 1024 * 1024;
/// How much input may wait for an agent that does not read, in bytes; more is refused as [`Refusal::Busy`].
pub const MAX_PENDING_INPUT: usize = 8 * 1024 * 1024;

/// From the daemon to the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Introduces the daemon. A fence lower than the highest seen is refused, a higher one evicts the earlier daemon.
    Hello {
        /// The protocol the daemon speaks.
        protocol: u16,
        /// The daemon's start number.
        fence: u64,
    },
    /// Starts the agent. Sent again it changes nothing.
    Go,
    /// Gives the agent bytes. A number not above the last is acknowledged without writing, if its hash is the same.
    Write {
        /// The frame's number in this generation, from 1.
        in_seq: u64,
        /// SHA-256 of the bytes, made by the daemon; the runner only compares it.
        hash: [u8; 32],
        /// What to write.
        bytes: Vec<u8>,
    },
    /// Asks how things stand.
    Stat,
    /// Sends a signal to the agent's process group.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// Ends the agent: close stdin, wait, TERM to the group, wait, KILL, sweep of descendants. The runner goes
    /// through with it even when the daemon dies meanwhile, and ends itself afterwards.
    Stop {
        /// How long after closing stdin, in milliseconds.
        eof_ms: u32,
        /// How long after TERM, in milliseconds.
        term_ms: u32,
    },
}

/// From the runner to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Answers `Hello`.
    Hello(Standing),
    /// Answers `Stat`.
    Stat(Standing),
    /// The frame is logged and will be written, or was before.
    Ack {
        /// Its number.
        in_seq: u64,
    },
    /// An order was refused; nothing happened.
    Refused {
        /// The frame's number, 0 for other orders.
        in_seq: u64,
        /// Why.
        why: Refusal,
    },
    /// The spool has grown to here. A wake-up only: the file is the truth.
    Grown {
        /// The logical end of the spool, in bytes since the generation began.
        spool_end: u64,
    },
    /// The agent ended; the spool will not grow further.
    Exited(Exit, u64),
    /// Answers `Stop`: the ladder is through.
    Stopped {
        /// Processes that are still alive, which should be none.
        left: Vec<i32>,
    },
    /// The spool cannot be written (full disk, budget): the agent waits. `false` when it goes on.
    Blocked {
        /// Whether it waits.
        blocked: bool,
    },
}

/// Why an order was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// A daemon with a higher fence has been here.
    Fenced = 1,
    /// Too much input waits already.
    Busy = 2,
    /// A number seen before came with other bytes, or a number was left out.
    Mismatch = 3,
    /// The agent has ended or was not started.
    NotRunning = 4,
    /// The input log cannot be written.
    DiskFull = 5,
    /// The order came before `Hello`, or is unknown.
    Protocol = 6,
}

/// How the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, or -1 when a signal ended it.
    pub code: i32,
    /// Signal, or 0.
    pub signal: i32,
    /// When the program could not be started: the errno, else 0.
    pub start_errno: i32,
}

/// How things stand with a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The protocol the runner speaks.
    pub protocol: u16,
    /// The runner's process.
    pub pid: i32,
    /// The agent's process, 0 before it runs.
    pub agent_pid: i32,
    /// Whether `Go` was received.
    pub going: bool,
    /// The highest fence seen before this `Hello`.
    pub fence: u64,
    /// The last frame logged.
    pub last_in_seq: u64,
    /// The logical end of the spool.
    pub spool_end: u64,
    /// Bytes of input that wait for the agent to read.
    pub pending_input: u64,
    /// Whether the spool is blocked.
    pub blocked: bool,
    /// How the agent ended, if it has.
    pub exit: Option<Exit>,
}

/// A frame that cannot be read. The connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The announced length is over [`MAX_PAYLOAD`].
    TooLong(usize),
    /// The checksum does not match.
    Checksum,
    /// The payload is not a message of this protocol.
    Malformed,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "a runner frame announces {bytes} bytes"),
            Self::Checksum => f.write_str("a runner frame's checksum does not match"),
            Self::Malformed => f.write_str("a runner frame is malformed"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Takes one payload off the front of `buffer`, or `None` when it is not whole yet.
pub fn take_frame(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, FrameError> {
    let Some(head) = buffer.first_chunk::<8>() else { return Ok(None) };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_PAYLOAD {
        return Err(FrameError::TooLong(length));
    }
    if buffer.len() < 8 + length {
        return Ok(None);
    }
    let payload = buffer[8..8 + length].to_vec();
    buffer.drain(..8 + length);
    if crc32fast::hash(&payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(FrameError::Checksum);
    }
    Ok(Some(payload))
}

fn frame(payload: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
    out
}

/// Builds a payload.
struct Put(Vec<u8>);

impl Put {
    fn verb(verb: u8) -> Self {
        Self(vec![verb])
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }
    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn i32(self, value: i32) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn exit(self, exit: Exit) -> Self {
        self.i32(exit.code).i32(exit.signal).i32(exit.start_errno)
    }
    fn standing(self, s: &Standing) -> Self {
        let put = self
            .u16(s.protocol)
            .i32(s.pid)
            .i32(s.agent_pid)
            .u8(s.going.into())
            .u64(s.fence)
            .u64(s.last_in_seq)
            .u64(s.spool_end)
            .u64(s.pending_input)
            .u8(s.blocked.into());
        match s.exit {
            Some(exit) => put.u8(1).exit(exit),
            None => put.u8(0),
        }
    }
}

/// Reads a payload.
struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(self.array::<1>()?[0])
    }
    fn flag(&mut self) -> Result<bool, FrameError> {
        Ok(self.u8()? != 0)
    }
    fn u16(&mut self) -> Result<u16, FrameError> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    fn u32(&mut self) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    fn i32(&mut self) -> Result<i32, FrameError> {
        Ok(i32::from_le_bytes(self.array()?))
    }
    fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    fn exit(&mut self) -> Result<Exit, FrameError> {
        Ok(Exit { code: self.i32()?, signal: self.i32()?, start_errno: self.i32()? })
    }
    fn standing(&mut self) -> Result<Standing, FrameError> {
        Ok(Standing {
            protocol: self.u16()?,
            pid: self.i32()?,
            agent_pid: self.i32()?,
            going: self.flag()?,
            fence: self.u64()?,
            last_in_seq: self.u64()?,
            spool_end: self.u64()?,
            pending_input: self.u64()?,
            blocked: self.flag()?,
            exit: if self.flag()? { Some(self.exit()?) } else { None },
        })
    }
}

impl Order {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        frame(
            match self {
                Self::Hello { protocol, fence } => Put::verb(1).u16(*protocol).u64(*fence),
                Self::Go => Put::verb(2),
                Self::Write { in_seq, hash, bytes } => Put::verb(3).u64(*in_seq).bytes(hash).bytes(bytes),
                Self::Stat => Put::verb(4),
                Self::Signal { signal } => Put::verb(5).i32(*signal),
                Self::Stop { eof_ms, term_ms } => Put::verb(6).u32(*eof_ms).u32(*term_ms),
            }
            .0,
        )
    }

    /// Reads a payload. Bytes after the fields are ignored, so that fields can be added at the end.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut take = Take(payload);
        Ok(match take.u8()? {
            1 => Self::Hello { protocol: take.u16()?, fence: take.u64()? },
            2 => Self::Go,
            3 => Self::Write { in_seq: take.u64()?, hash: take.array()?, bytes: take.0.to_vec() },
            4 => Self::Stat,
            5 => Self::Signal { signal: take.i32()? },
            6 => Self::Stop { eof_ms: take.u32()?, term_ms: take.u32()? },
            _ => return Err(FrameError::Malformed),
        })
    }
}

impl Report {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        frame(
            match self {
                Self::Hello(standing) => Put::verb(129).standing(standing),
                Self::Stat(standing) => Put::verb(130).standing(standing),
                Self::Ack { in_seq } => Put::verb(131).u64(*in_seq),
                Self::Refused { in_seq, why } => Put::verb(132).u64(*in_seq).u8(*why as u8),
                Self::Grown { spool_end } => Put::verb(133).u64(*spool_end),
                Self::Exited(exit, spool_end) => Put::verb(134).exit(*exit).u64(*spool_end),
                Self::Stopped { left } => {
                    left.iter().fold(Put::verb(135).u32(left.len() as u32), |put, pid| put.i32(*pid))
                }
                Self::Blocked { blocked } => Put::verb(136).u8((*blocked).into()),
            }
            .0,
        )
    }

    /// Reads a payload. Bytes after the fields are ignored, so that fields can be added at the end.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut take = Take(payload);
        Ok(match take.u8()? {
            129 => Self::Hello(take.standing()?),
            130 => Self::Stat(take.standing()?),
            131 => Self::Ack { in_seq: take.u64()? },
            132 => Self::Refused {
                in_seq: take.u64()?,
                why: match take.u8()? {
                    1 => Refusal::Fenced,
                    2 => Refusal::Busy,
                    3 => Refusal::Mismatch,
                    4 => Refusal::NotRunning,
                    5 => Refusal::DiskFull,
                    _ => Refusal::Protocol,
                },
            },
            133 => Self::Grown { spool_end: take.u64()? },
            134 => Self::Exited(take.exit()?, take.u64()?),
            135 => {
                let count = take.u32()?;
                Self::Stopped { left: (0..count).map(|_| take.i32()).collect::<Result<_, _>>()? }
            }
            136 => Self::Blocked { blocked: take.flag()? },
            _ => return Err(FrameError::Malformed),
        })
    }
}
