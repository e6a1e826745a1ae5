//! The two ways into the kernel that a thread may have: calls for what epoll finds ready, or a ring.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::{BELL, RELAY, Worker};
use crate::sys::{Arena, Epoll, Ring};

/// How a thread waits and receives.
pub enum Intake {
    /// Sockets are watched by the owner, and read one by one.
    Calls(Arc<Epoll>),
    /// The thread watches its sockets, and all that they get is there after a wait.
    Ring(Box<Ring>),
}

impl Intake {
    /// One that hears a bell, and the arena for what it receives.
    pub fn new(epoll: Option<Arc<Epoll>>, bell: RawFd) -> io::Result<(Self, Arena)> {
        if let Some(epoll) = epoll {
            epoll.reserve(bell, BELL)?;
            epoll.watch(bell, BELL);
            return Ok((Intake::Calls(epoll), Arena::new()));
        }
        let (mut ring, arena) = Ring::new()?;
        ring.watch_bell(bell, BELL);
        Ok((Intake::Ring(Box::new(ring)), arena))
    }

    pub fn ring(&mut self) -> Option<&mut Ring> {
        match self {
            Intake::Calls(_) => None,
            Intake::Ring(ring) => Some(ring),
        }
    }

    /// Reads a socket from now on; for what epoll watches the owner has seen to it.
    pub fn watch(&mut self, socket: RawFd, token: u64) {
        if let Intake::Ring(ring) = self {
            ring.watch(socket, token);
        }
    }

    /// Reads it no more.
    pub fn forget(&mut self, socket: RawFd, token: u64) {
        match self {
            Intake::Calls(epoll) => epoll.forget(socket),
            Intake::Ring(ring) => ring.forget(token),
        }
    }
}

impl Worker {
    /// A token for a socket that is opened now. A ring may still hold what one of the same number got before.
    pub(super) fn token(&mut self, kind: u64, number: u32) -> u64 {
        if self.intake.ring().is_some() {
            self.serial = (self.serial + 1) & (u64::from(u32::MAX) >> 2);
        }
        kind | self.serial << 32 | u64::from(number)
    }

    /// Deals with what a ring has received, and has it receive again where it has stopped. Each slot is counted before it
    /// is judged: a panic costs no more than one.
    pub(super) fn read_ring(&mut self) {
        while self.judged < self.sources.len() {
            let slot = self.judged;
            self.judged += 1;
            let token = self.sources[slot];
            if token & RELAY == 0 {
                if self.listeners.get(&(token as u32)).is_some_and(|listener| listener.token == token) {
                    self.judge_client(token as u32, slot);
                }
            } else if self.relay_of(token).is_some() {
                self.judge_peer(token as u32, slot);
            }
        }
        (0..self.tokens.len()).for_each(|index| self.watch_again(self.tokens[index]));
        // A panic from here on must not watch them twice.
        self.tokens.clear();
    }

    /// Has a ring receive from a socket again.
    pub(super) fn watch_again(&mut self, token: u64) {
        let socket = if token & RELAY == 0 {
            let listener = self.listeners.get(&(token as u32)).filter(|listener| listener.token == token);
            listener.map(|listener| listener.socket.as_raw_fd())
        } else {
            self.relay_of(token)
        };
        if let Some(socket) = socket {
            self.intake.watch(socket, token);
        }
    }

    /// The relay socket of a token, if it is still open.
    fn relay_of(&self, token: u64) -> Option<RawFd> {
        let relay = self.relays.get(token as u32 as usize)?.as_ref()?;
        (relay.token == token).then(|| relay.socket.as_raw_fd())
    }
}
