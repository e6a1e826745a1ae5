//! What an engine's threads hand up to its owner: what is not theirs, in lines.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;

use routes::{FiveTuple, Keyed};

use crate::mailbox::lock;
use crate::sys::Bell;

/// The lines that wait for the owner, each with its share of what he takes: who is known does not wait behind strangers,
/// of whom there may be any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// clients with a relay socket, and all that nobody has judged
    Known,
    /// bytes for streams, which peers send in any number
    Stream,
    /// those that can be reached at the address that they write from
    Introduced,
    /// the rest
    Stranger,
}

/// What is handed up.
#[allow(missing_docs)]
pub enum Up {
    /// A message that is not the engine's, and where it came in.
    Datagram { listener: u32, path: u64, five_tuple: FiveTuple, line: Line, data: Box<[u8]> },
    /// Bytes for a stream client.
    Stream { listener: u32, path: u64, data: Box<[u8]> },
}

impl Up {
    fn bytes(&self) -> usize {
        match self {
            Up::Datagram { data, .. } | Up::Stream { data, .. } => data.len(),
        }
    }

    fn line(&self) -> Line {
        match self {
            Up::Datagram { line, .. } => *line,
            Up::Stream { .. } => Line::Stream,
        }
    }
}

/// A thread has panicked and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// which thread
    pub thread: u64,
    /// what and where
    pub text: String,
}

/// Items and bytes that wait in each line; the rest is dropped.
const ROOM: [(usize, usize); 4] = [(8192, 8 << 20), (8192, 8 << 20), (1024, 1 << 20), (256, 1 << 18)];
/// A stream may have so much waiting as is free, divided by this: one that is flooded by its peers leaves room for all
/// others, and so do hundreds.
const STREAMS_SPREAD: usize = 8;
/// The part of what is taken at once that others than the known may have: one in so many.
const STREAMS_SHARE: usize = 2;
const INTRODUCED_SHARE: usize = 4;
const STRANGERS_SHARE: usize = 16;
/// Faults that wait; they are counted elsewhere.
const MOST_FAULTS: usize = 16;
/// Bytes that are taken of each line at once: the owner has other work too, and reads requests attribute by attribute.
const MOST_BYTES_TAKEN: [usize; 4] = [1 << 20, 1 << 20, 1 << 16, 1 << 14];

/// Items and bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    items: usize,
    bytes: usize,
}

/// What waits in one line.
#[derive(Default)]
struct Queue {
    items: VecDeque<Up>,
    bytes: usize,
    /// how much of it is for each stream, by its path
    by_stream: HashMap<u64, Amount, Keyed>,
}

impl Queue {
    /// Whether there was room.
    fn add(&mut self, item: Up, (most, most_bytes): (usize, usize)) -> bool {
        let free = Amount { items: most - self.items.len(), bytes: most_bytes.saturating_sub(self.bytes) };
        let has_room = free.items > 0 && free.bytes > 0 && self.is_within_share(&item, free);
        if has_room {
            self.bytes += item.bytes();
            self.items.push_back(item);
        }
        has_room
    }

    /// Whether a stream may have this waiting too, which it has then.
    fn is_within_share(&mut self, item: &Up, free: Amount) -> bool {
        let Up::Stream { path, data, .. } = item else {
            return true;
        };
        let held = self.by_stream.get(path).copied().unwrap_or_default();
        let may = held.items * STREAMS_SPREAD < free.items && held.bytes * STREAMS_SPREAD < free.bytes;
        if may {
            self.by_stream.insert(*path, Amount { items: held.items + 1, bytes: held.bytes + data.len() });
        }
        may
    }

    /// A stream has so much less waiting.
    fn release(&mut self, path: u64, bytes: usize) {
        if let Some(held) = self.by_stream.get_mut(&path) {
            *held = Amount { items: held.items - 1, bytes: held.bytes - bytes };
            if held.items == 0 {
                self.by_stream.remove(&path);
            }
        }
    }

    fn take(&mut self, most: usize, most_bytes: usize, taken: &mut Vec<Up>) {
        let (first, mut bytes) = (taken.len(), 0);
        while taken.len() - first < most && bytes < most_bytes {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            bytes += item.bytes();
            if let Up::Stream { path, data, .. } = &item {
                self.release(*path, data.len());
            }
            taken.push(item);
        }
        self.bytes -= bytes;
    }
}

#[derive(Default)]
struct Waiting {
    lines: [Queue; 4],
    faults: Vec<Fault>,
    is_rung: bool,
}

/// What all threads hand up, and the bell that tells the owner.
pub struct Upstairs {
    waiting: Mutex<Waiting>,
    bell: Bell,
}

impl Upstairs {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Upstairs { waiting: Mutex::default(), bell: Bell::new()? })
    }

    /// Adds a thread's items; returns how many there was no room for.
    pub fn hand_up(&self, items: &mut Vec<Up>) -> usize {
        if items.is_empty() {
            return 0;
        }
        let mut waiting = lock(&self.waiting);
        let mut refused = 0;
        for item in items.drain(..) {
            let line = item.line() as usize;
            refused += usize::from(!waiting.lines[line].add(item, ROOM[line]));
        }
        self.call(&mut waiting);
        refused
    }

    /// Tells of a fault; of too many at once only the first ones.
    pub fn confess(&self, fault: Fault) {
        let mut waiting = lock(&self.waiting);
        if waiting.faults.len() < MOST_FAULTS {
            waiting.faults.push(fault);
        }
        self.call(&mut waiting);
    }

    /// Rings, unless it has been done and nobody has come.
    fn call(&self, waiting: &mut Waiting) {
        if !std::mem::replace(&mut waiting.is_rung, true) {
            self.bell.ring();
        }
    }

    /// Takes the faults; to be followed by take(), which silences the bell.
    pub fn take_faults(&self) -> Vec<Fault> {
        std::mem::take(&mut lock(&self.waiting).faults)
    }

    /// Takes at most `most`, and not many bytes, of each line its share; the bell stays readable while there is more.
    pub fn take(&self, most: usize) -> Vec<Up> {
        let mut guard = lock(&self.waiting);
        let Waiting { lines: [known, streams, introduced, strangers], faults, is_rung } = &mut *guard;
        let few = strangers.items.len().min(most.div_ceil(STRANGERS_SHARE));
        let some = introduced.items.len().min(most.div_ceil(INTRODUCED_SHARE));
        let rest = most.saturating_sub(some + few);
        let mut taken = Vec::new();
        let [most_known, most_streams, most_introduced, most_strangers] = MOST_BYTES_TAKEN;
        known.take(rest - streams.items.len().min(rest / STREAMS_SHARE), most_known, &mut taken);
        streams.take(rest - taken.len(), most_streams, &mut taken);
        introduced.take(some, most_introduced, &mut taken);
        strangers.take(few, most_strangers, &mut taken);
        if [known, streams, introduced, strangers].iter().all(|line| line.items.is_empty()) && faults.is_empty() {
            *is_rung = false;
            self.bell.silence();
        }
        taken
    }
}

impl AsRawFd for Upstairs {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use routes::Transport;

    use super::*;

    fn stream(path: u64, bytes: usize) -> Up {
        Up::Stream { listener: 1, path, data: vec![7; bytes].into() }
    }

    fn sized(line: Line, bytes: usize) -> Up {
        let host = SocketAddr::from(([127, 0, 0, 1], 9));
        let five_tuple = FiveTuple { transport: Transport::Udp, client: host, server: host };
        Up::Datagram { listener: 1, path: 0, five_tuple, line, data: vec![7; bytes].into() }
    }

    fn hand_up(upstairs: &Upstairs, line: Line, count: usize) -> usize {
        upstairs.hand_up(&mut (0..count).map(|_| sized(line, 100)).collect())
    }

    fn lines(taken: &[Up]) -> [usize; 4] {
        assert!(taken.is_sorted_by_key(|up| up.line() as usize), "who is known goes first");
        [Line::Known, Line::Stream, Line::Introduced, Line::Stranger]
            .map(|line| taken.iter().filter(|up| up.line() == line).count())
    }

    #[test]
    fn nobody_waits_behind_strangers() {
        let upstairs = Upstairs::new().unwrap();
        assert_eq!(hand_up(&upstairs, Line::Stranger, 100_000), 100_000 - 256);
        assert_eq!(hand_up(&upstairs, Line::Introduced, 100_000), 100_000 - 1024);
        assert_eq!(hand_up(&upstairs, Line::Known, 100_000), 100_000 - 8192);
        for _ in 0..8 {
            assert_eq!(lines(&upstairs.take(512)), [352, 0, 128, 32]);
        }
        assert_eq!(lines(&upstairs.take(512)), [512, 0, 0, 0]);
    }

    #[test]
    fn requests_do_not_wait_behind_data_nor_data_behind_requests() {
        let upstairs = Upstairs::new().unwrap();
        upstairs.hand_up(&mut (0..100_000).map(|number| stream(number % 100, 100)).collect());
        assert_eq!(hand_up(&upstairs, Line::Known, 300), 0);
        assert_eq!(lines(&upstairs.take(512)), [256, 256, 0, 0]);
        assert_eq!(lines(&upstairs.take(512)), [44, 468, 0, 0]);
        hand_up(&upstairs, Line::Known, 100_000);
        assert_eq!(lines(&upstairs.take(512)), [256, 256, 0, 0]);
    }

    #[test]
    fn a_stream_that_is_flooded_leaves_room_for_the_others() {
        let upstairs = Upstairs::new().unwrap();
        // Each has at last as much as an eighth of what is free.
        let refused = |path, count, bytes| upstairs.hand_up(&mut (0..count).map(|_| stream(path, bytes)).collect());
        assert_eq!(refused(0, 100_000, 20), 100_000 - 911);
        assert_eq!(refused(1, 100, 1200), 0);
        assert_eq!(refused(2, 100_000, 20), 100_000 - 798);
        (3..1000).for_each(|path| _ = refused(path, 1000, 20));
        assert_eq!(refused(1000, 1, 20), 1, "a crowd may still fill it");
        let taken: usize = (0..100).map(|_| upstairs.take(512).len()).sum();
        assert_eq!(taken, 8192);
        assert!(lock(&upstairs.waiting).lines[Line::Stream as usize].by_stream.is_empty());
        let refused = |bytes| upstairs.hand_up(&mut (0..1000).map(|_| stream(0, bytes)).collect());
        assert_eq!(refused(1500), 1000 - 622, "the same of bytes");
    }

    #[test]
    fn long_requests_of_strangers_are_few() {
        let upstairs = Upstairs::new().unwrap();
        let long = |line, count| (0..count).map(|_| sized(line, 2048)).collect();
        let mut items: Vec<Up> = long(Line::Stranger, 100);
        items.extend(long(Line::Introduced, 100));
        items.extend(long(Line::Known, 100));
        upstairs.hand_up(&mut items);
        assert_eq!(lines(&upstairs.take(512)), [100, 0, 32, 8]);
    }

    #[test]
    fn a_line_that_is_empty_leaves_its_share() {
        let upstairs = Upstairs::new().unwrap();
        hand_up(&upstairs, Line::Known, 1000);
        hand_up(&upstairs, Line::Stranger, 5);
        assert_eq!(lines(&upstairs.take(512)), [507, 0, 0, 5]);
        assert_eq!(lines(&upstairs.take(512)), [493, 0, 0, 0]);
        assert!(upstairs.take(512).is_empty());
        hand_up(&upstairs, Line::Introduced, 1);
        assert_eq!(lines(&upstairs.take(1)), [0, 0, 1, 0]);
    }
}
