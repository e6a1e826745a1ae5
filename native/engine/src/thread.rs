//! A thread as its owner knows it: what it is told, and the sockets that it is given to watch.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use routes::RelayId;
use socket2::Socket;

use crate::books::{Books, Tally};
use crate::mailbox::{Command, Mailbox};
use crate::sys::Epoll;
use crate::worker::{RELAY, Shared, Worker};

/// A running thread. Sockets are watched from here, so that a kernel that refuses it refuses the owner.
pub struct Thread {
    mailbox: Arc<Mailbox>,
    books: Arc<Books>,
    /// what its sockets are watched with, unless it has a ring
    epoll: Option<Arc<Epoll>>,
    /// where relay sockets were kept that are closed
    free: Vec<u32>,
    /// places that were ever taken
    places: u32,
    handle: Option<JoinHandle<()>>,
}

/// A place for a relay socket, whose watching cannot fail any more.
pub struct Place {
    number: u32,
    socket: Arc<Socket>,
    /// the number of the command to read it
    opening: u64,
}

impl Place {
    fn token(&self) -> u64 {
        RELAY | u64::from(self.number)
    }
}

impl Thread {
    /// Starts a thread.
    pub fn start(shared: Shared, aliases: &[(IpAddr, IpAddr)], seed: u128, by_ring: bool) -> io::Result<Self> {
        let (mailbox, books) = (Arc::clone(&shared.mailbox), Arc::clone(&shared.books));
        let epoll = if by_ring { None } else { Some(Arc::new(Epoll::new()?)) };
        let name = format!("relay-{}", shared.thread);
        let worker = Worker::new(shared, epoll.clone(), aliases, seed)?;
        let (ready, started) = mpsc::channel();
        let handle = std::thread::Builder::new().name(name).spawn(move || worker.run(&ready))?;
        started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Thread { mailbox, books, epoll, free: Vec::new(), places: 0, handle: Some(handle) })
    }

    /// Says something that is heard before the next packet is judged.
    pub fn tell(&self, command: Command) {
        self.mailbox.leave(command);
    }

    /// Says what may pass a relay socket. A ring receives from it when its thread has woken since, which what peers send
    /// does not do for it.
    pub fn tell_route(&self, place: &Place, command: Command) {
        if self.epoll.is_some() || self.mailbox.has_taken(place.opening) {
            self.tell(command);
        } else {
            self.order(command);
        }
    }

    /// Says something that is done at once.
    pub fn order(&self, command: Command) {
        self.mailbox.post(command);
    }

    /// Says something that is answered, and waits; None when the thread has ended.
    pub fn ask<T>(&self, command: impl FnOnce(mpsc::Sender<T>) -> Command) -> Option<T> {
        self.handle.as_ref()?;
        let (answer, question) = mpsc::channel();
        self.order(command(answer));
        question.recv().ok()
    }

    /// What it counts.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Has it read a listener.
    pub fn read_listener(&self, listener: u32, socket: Arc<Socket>, address: SocketAddr) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        if let Some(epoll) = &self.epoll {
            epoll.reserve(descriptor, u64::from(listener))?;
        }
        let wildcard = address.ip().is_unspecified();
        let open = Command::OpenListener { listener, socket, address, wildcard };
        match &self.epoll {
            Some(epoll) => {
                self.tell(open);
                epoll.watch(descriptor, u64::from(listener));
            }
            // The thread itself tells a ring what is to be received.
            None => self.order(open),
        }
        Ok(())
    }

    /// A place for a relay socket, or what the kernel has against watching one more.
    pub fn reserve(&mut self, socket: &Arc<Socket>) -> io::Result<Place> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        });
        let place = Place { number, socket: Arc::clone(socket), opening: 0 };
        match self.epoll.as_ref().map(|epoll| epoll.reserve(socket.as_raw_fd(), place.token())) {
            None | Some(Ok(())) => Ok(place),
            Some(Err(error)) => {
                self.free.push(number);
                Err(error)
            }
        }
    }

    /// Has it read a relay socket, of which `tally` has passed already. Nothing may pass yet, so that it may sleep.
    pub fn read_relay(&self, relay: RelayId, place: &mut Place, address: SocketAddr, tally: Tally) {
        let socket = Arc::clone(&place.socket);
        let open = Command::OpenRelay { relay, place: place.number, socket, address, tally };
        place.opening = self.mailbox.leave(open);
        if let Some(epoll) = &self.epoll {
            epoll.watch_arrivals(place.socket.as_raw_fd(), place.token());
        }
    }

    /// Has it read a relay socket no more; returns what passed it.
    pub fn leave_relay(&mut self, relay: RelayId, place: &Place) -> Tally {
        let tally = self.ask(|answer| Command::CloseRelay(relay, answer)).unwrap_or_default();
        self.free.push(place.number);
        tally
    }

    /// Returns when it has ended, as it was told to.
    pub fn join(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.handle.is_some() {
            self.order(Command::Stop);
            self.join();
        }
    }
}
