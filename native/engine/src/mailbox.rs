//! What an engine's threads are told, by their owner and by each other.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use routes::{Channel, Client, FiveTuple, Moment, Permission, RelayId, Routes};
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
    /// Until when it passes anything.
    SetDeadline(RelayId, Moment),
    /// Sets a permission until a moment.
    Permit(Permission, Moment),
    /// Clears a permission.
    Revoke(Permission),
    /// Sets a channel until a moment.
    Bind(Channel, Moment),
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
    /// Which routes are there, and until when?
    Routes(Sender<Routes>),
    /// Answers when all that was said before is done.
    Sync(Sender<()>),
    /// Answers when all that has arrived is dealt with: under a steady load, never.
    Settle(Sender<()>),
    /// Panics, for tests of what follows.
    #[cfg(feature = "panic-injection")]
    Panic,
    /// Panics when the next relay socket is about to be opened.
    #[cfg(feature = "panic-injection")]
    PanicWhileOpening,
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

/// Commands that wait for the next packet; with more of them the thread is woken.
const MOST_LEFT: usize = 256;

/// Commands that have not been taken.
#[derive(Default)]
struct Pile {
    commands: Vec<Command>,
    /// how many have been
    taken: u64,
}

/// Commands for one thread.
pub struct Mailbox {
    commands: Mutex<Pile>,
    strays: Mutex<Vec<Stray>>,
    /// whether there may be something in it
    is_full: AtomicBool,
    /// whether the bell has been rung for that
    is_rung: AtomicBool,
    bell: Bell,
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Mailbox {
            commands: Mutex::default(),
            strays: Mutex::default(),
            is_full: AtomicBool::new(false),
            is_rung: AtomicBool::new(false),
            bell: Bell::new()?,
        })
    }

    /// Says something and wakes the thread.
    pub fn post(&self, command: Command) {
        lock(&self.commands).commands.push(command);
        self.wake();
    }

    /// Says something that matters to packets alone, and lets the thread sleep: it looks into its mail before it judges
    /// any. Returns its number, for has_taken().
    pub fn leave(&self, command: Command) -> u64 {
        let mut pile = lock(&self.commands);
        pile.commands.push(command);
        let (count, taken) = (pile.commands.len(), pile.taken);
        drop(pile);
        self.is_full.store(true, Release);
        if count >= MOST_LEFT {
            self.wake();
        }
        taken + count as u64
    }

    /// Whether the thread has taken a command, and everything before it: it looks at nothing else before it is done.
    pub fn has_taken(&self, number: u64) -> bool {
        lock(&self.commands).taken >= number
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
        self.is_full.store(true, Release);
        self.ring();
    }

    fn ring(&self) {
        if !self.is_rung.swap(true, AcqRel) {
            self.bell.ring();
        }
    }

    /// Unreadable again. To be followed by take(): whoever speaks in between has rung for it. That nobody has rung is
    /// said here and not by take() alone, for it may have taken what somebody said who rang only then.
    pub fn silence(&self) {
        self.is_rung.swap(false, AcqRel);
        self.bell.silence();
    }

    /// Takes what has been said, if anything; costs one atomic load when nothing has.
    pub fn take(&self, commands: &mut VecDeque<Command>, strays: &mut VecDeque<Stray>) {
        if self.is_full.load(Acquire) {
            // Before anything is taken: what is said from here on rings again.
            self.is_full.store(false, Release);
            self.is_rung.store(false, Release);
            // Packets first: what was said before one of them was handed over is then among the commands.
            strays.extend(lock(&self.strays).drain(..));
            let mut pile = lock(&self.commands);
            pile.taken += pile.commands.len() as u64;
            commands.extend(pile.commands.drain(..));
        }
    }
}

impl AsRawFd for Mailbox {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}

/// A queue outlives a panic of whoever held it: every change of it is a single push or take.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use routes::Transport;

    use super::*;
    use crate::sys::Epoll;

    #[test]
    fn what_is_left_is_found_and_does_not_pile_up() {
        let mailbox = Mailbox::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.reserve(mailbox.as_raw_fd(), 0).unwrap();
        epoll.watch(mailbox.as_raw_fd(), 0);
        let (mut commands, mut strays, mut tokens) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let mut is_rung = || {
            epoll.wait(&mut tokens, 0).unwrap();
            !tokens.is_empty()
        };
        for left in 1..MOST_LEFT {
            mailbox.leave(Command::Stop);
            assert!(!is_rung(), "{left}");
        }
        mailbox.take(&mut commands, &mut strays);
        assert_eq!(commands.drain(..).len(), MOST_LEFT - 1);
        assert!(mailbox.has_taken(MOST_LEFT as u64 - 1) && !mailbox.has_taken(MOST_LEFT as u64));
        (0..MOST_LEFT).for_each(|_| _ = mailbox.leave(Command::Stop));
        assert!(is_rung());
        mailbox.silence();
        mailbox.take(&mut commands, &mut strays);
        mailbox.leave(Command::Stop);
        assert!(!is_rung());
        mailbox.post(Command::Stop);
        assert!(is_rung());
        mailbox.take(&mut commands, &mut strays);
        assert_eq!(commands.len(), MOST_LEFT + 2);
    }

    #[test]
    fn a_bell_that_rings_for_what_was_taken_rings_again() {
        let mailbox = Mailbox::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.reserve(mailbox.as_raw_fd(), 0).unwrap();
        epoll.watch(mailbox.as_raw_fd(), 0);
        let (mut commands, mut strays, mut tokens) = (VecDeque::new(), VecDeque::new(), Vec::new());
        // Somebody speaks; a packet wakes the thread, which takes it; only then does the bell ring.
        mailbox.leave(Command::Stop);
        mailbox.take(&mut commands, &mut strays);
        mailbox.ring();
        mailbox.silence();
        mailbox.take(&mut commands, &mut strays);
        assert_eq!(commands.len(), 1);
        mailbox.post(Command::Stop);
        epoll.wait(&mut tokens, 0).unwrap();
        assert_eq!(tokens, [0]);
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
