//! The two queues between an engine's threads and its owner: commands down, and what is not the engine's up.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use routes::{Channel, Client, FiveTuple, Permission, RelayId};
use socket2::Socket;

use crate::books::Tally;
use crate::limits::Limits;
use crate::sys::Bell;
use crate::worker::{Answering, Challenges};

/// What an owner may tell a thread; answers come back through a channel.
pub enum Command {
    /// Read this socket; `wildcard` ones say which address was written to.
    OpenListener { listener: u32, socket: Arc<Socket>, address: SocketAddr, wildcard: bool },
    /// Read it no more.
    CloseListener(u32),
    /// Read this relay socket, keep it at that place, and keep its books.
    OpenRelay { relay: RelayId, place: u32, socket: Arc<Socket>, address: SocketAddr, tally: Tally },
    /// Close it; answers what passed it.
    CloseRelay(RelayId, Sender<Tally>),
    /// What has passed it?
    Usage(RelayId, Sender<Tally>),
    /// What may pass a relay socket; None is no limit.
    Limit(RelayId, Option<Limits>),
    /// Whose relay socket it is.
    SetClient(RelayId, Client),
    /// Sets a permission.
    Permit(Permission),
    /// Clears a permission.
    Revoke(Permission),
    /// Sets a channel.
    Bind(Channel),
    /// Clears a channel.
    Unbind(Channel),
    /// Sends application data as a plain Send does; answers when that is done.
    SendFromRelay { relay: RelayId, peer: SocketAddr, data: Box<[u8]>, dont_fragment: bool, answer: Sender<()> },
    /// Takes a stream client's message as a datagram.
    Deliver { client: Client, data: Box<[u8]> },
    /// What becomes of Binding requests.
    Answering(Answering),
    /// How strangers are challenged.
    Challenge(Arc<Challenges>),
    /// A relay socket of this client is at another thread.
    Elsewhere(FiveTuple, usize),
    /// One of its relay sockets is there no more.
    NowhereElse(FiveTuple),
    /// A relay socket is open somewhere.
    Live(SocketAddr),
    /// A relay socket is closed somewhere.
    Perish(SocketAddr),
    /// No indication passes to or from exactly these peers.
    Deny(Arc<[SocketAddr]>),
    /// Which routes are there?
    Routes(Sender<(Vec<Permission>, Vec<Channel>)>),
    /// Answers when all that was said before is done.
    Sync(Sender<()>),
    /// Answers when all that has arrived is dealt with: under a steady load, never.
    Settle(Sender<()>),
    /// Panics, for tests of what follows.
    #[cfg(feature = "panic-injection")]
    Panic,
    /// End.
    Stop,
}

/// A client's message that came in at a thread which does not have its relay socket.
pub struct Stray {
    /// whose it is
    pub client: FiveTuple,
    /// all of it
    pub data: Box<[u8]>,
}

/// Packets of other threads that may wait for one; the rest is dropped.
const MOST_STRAYS: usize = 512;

/// Commands for one thread.
pub struct Mailbox {
    commands: Mutex<Vec<Command>>,
    strays: Mutex<Vec<Stray>>,
    is_full: AtomicBool,
    bell: Bell,
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Mailbox {
            commands: Mutex::default(),
            strays: Mutex::default(),
            is_full: AtomicBool::new(false),
            bell: Bell::new()?,
        })
    }

    /// Says something and wakes the thread.
    pub fn post(&self, command: Command) {
        lock(&self.commands).push(command);
        self.wake();
    }

    /// Gives the thread a packet that is its; false when too many wait for it.
    pub fn hand_over(&self, stray: Stray) -> bool {
        let mut strays = lock(&self.strays);
        let has_room = strays.len() < MOST_STRAYS;
        if has_room {
            strays.push(stray);
        }
        drop(strays);
        self.wake();
        has_room
    }

    fn wake(&self) {
        if !self.is_full.swap(true, AcqRel) {
            self.bell.ring();
        }
    }

    /// Unreadable again. To be followed by take(): whoever speaks in between has rung for it.
    pub fn silence(&self) {
        self.bell.silence();
    }

    /// Takes what has been said, if anything; costs one atomic load when nothing has.
    pub fn take(&self, commands: &mut VecDeque<Command>, strays: &mut VecDeque<Stray>) {
        if self.is_full.load(Acquire) {
            // Before anything is taken: what is said from here on rings again.
            self.is_full.store(false, Release);
            commands.extend(lock(&self.commands).drain(..));
            strays.extend(lock(&self.strays).drain(..));
        }
    }
}

impl AsRawFd for Mailbox {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}

/// A queue outlives a panic of whoever held it: every change of it is a single push or take.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines that wait for the owner, each with its share of what he takes: who is known does not wait behind strangers,
/// of whom there may be any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// clients with a relay socket, and all that nobody has judged
    Known,
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
            Up::Stream { .. } => Line::Known,
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
const ROOM: [(usize, usize); 3] = [(8192, 8 << 20), (1024, 1 << 20), (256, 1 << 18)];
/// The part of what is taken at once that others than the known may have: one in so many.
const INTRODUCED_SHARE: usize = 4;
const STRANGERS_SHARE: usize = 16;
/// Faults that wait; they are counted elsewhere.
const MOST_FAULTS: usize = 16;
/// Bytes that are taken of each line at once; the owner has other work too.
const MOST_BYTES_TAKEN: usize = 1 << 20;

/// What waits in one line.
#[derive(Default)]
struct Queue {
    items: VecDeque<Up>,
    bytes: usize,
}

impl Queue {
    /// Whether there was room.
    fn add(&mut self, item: Up, (most, most_bytes): (usize, usize)) -> bool {
        let has_room = self.items.len() < most && self.bytes < most_bytes;
        if has_room {
            self.bytes += item.bytes();
            self.items.push_back(item);
        }
        has_room
    }

    fn take(&mut self, most: usize, taken: &mut Vec<Up>) {
        let (first, mut bytes) = (taken.len(), 0);
        while taken.len() - first < most && bytes < MOST_BYTES_TAKEN {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            bytes += item.bytes();
            taken.push(item);
        }
        self.bytes -= bytes;
    }
}

#[derive(Default)]
struct Waiting {
    lines: [Queue; 3],
    faults: Vec<Fault>,
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
        self.bell.ring();
        refused
    }

    /// Tells of a fault; of too many at once only the first ones.
    pub fn confess(&self, fault: Fault) {
        let mut waiting = lock(&self.waiting);
        if waiting.faults.len() < MOST_FAULTS {
            waiting.faults.push(fault);
        }
        self.bell.ring();
    }

    /// Takes the faults; to be followed by take(), which silences the bell.
    pub fn take_faults(&self) -> Vec<Fault> {
        std::mem::take(&mut lock(&self.waiting).faults)
    }

    /// Takes at most `most`, and not many bytes, of each line its share; the bell stays readable while there is more.
    pub fn take(&self, most: usize) -> Vec<Up> {
        let mut guard = lock(&self.waiting);
        let Waiting { lines: [known, introduced, strangers], faults } = &mut *guard;
        let few = strangers.items.len().min(most.div_ceil(STRANGERS_SHARE));
        let some = introduced.items.len().min(most / INTRODUCED_SHARE);
        let mut taken = Vec::new();
        known.take(most - some - few, &mut taken);
        introduced.take(some, &mut taken);
        strangers.take(few, &mut taken);
        if [known, introduced, strangers].iter().all(|line| line.items.is_empty()) && faults.is_empty() {
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

    fn item(line: Line) -> Up {
        let host = SocketAddr::from(([127, 0, 0, 1], 9));
        let five_tuple = FiveTuple { transport: Transport::Udp, client: host, server: host };
        Up::Datagram { listener: 1, path: 0, five_tuple, line, data: Box::new([7; 100]) }
    }

    fn hand_up(upstairs: &Upstairs, line: Line, count: usize) -> usize {
        upstairs.hand_up(&mut (0..count).map(|_| item(line)).collect())
    }

    fn lines(taken: &[Up]) -> [usize; 3] {
        assert!(taken.is_sorted_by_key(|up| up.line() as usize), "who is known goes first");
        [Line::Known, Line::Introduced, Line::Stranger].map(|line| taken.iter().filter(|up| up.line() == line).count())
    }

    #[test]
    fn nobody_waits_behind_strangers() {
        let upstairs = Upstairs::new().unwrap();
        assert_eq!(hand_up(&upstairs, Line::Stranger, 100_000), 100_000 - 256);
        assert_eq!(hand_up(&upstairs, Line::Introduced, 100_000), 100_000 - 1024);
        assert_eq!(hand_up(&upstairs, Line::Known, 100_000), 100_000 - 8192);
        for _ in 0..8 {
            assert_eq!(lines(&upstairs.take(512)), [352, 128, 32]);
        }
        assert_eq!(lines(&upstairs.take(512)), [512, 0, 0]);
    }

    #[test]
    fn a_line_that_is_empty_leaves_its_share() {
        let upstairs = Upstairs::new().unwrap();
        hand_up(&upstairs, Line::Known, 1000);
        hand_up(&upstairs, Line::Stranger, 5);
        assert_eq!(lines(&upstairs.take(512)), [507, 0, 5]);
        assert_eq!(lines(&upstairs.take(512)), [493, 0, 0]);
        assert!(upstairs.take(512).is_empty());
    }

    #[test]
    fn only_so_many_strays_wait() {
        let mailbox = Mailbox::new().unwrap();
        let host = SocketAddr::from(([127, 0, 0, 1], 9));
        let client = FiveTuple { transport: Transport::Udp, client: host, server: host };
        let give = || mailbox.hand_over(Stray { client, data: Box::new([0x40, 0, 0, 0]) });
        let (mut commands, mut strays) = (VecDeque::new(), VecDeque::new());
        for _ in 0..2 {
            assert!((0..MOST_STRAYS).all(|_| give()));
            assert!(!give());
            mailbox.take(&mut commands, &mut strays);
            assert_eq!((commands.len(), strays.drain(..).len()), (0, MOST_STRAYS));
        }
    }
}
