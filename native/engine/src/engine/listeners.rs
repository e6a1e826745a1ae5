//! The listeners of an engine: where the messages of clients come in.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use socket2::Socket;

use super::{Engine, Listener, Mistake};
use crate::mailbox::Command;
use crate::sockets::{local_address, udp_socket};
use crate::sys::{duplicate, report_local_address};
use crate::worker::{Answering, Challenges};

impl Engine {
    /// Binds a listener in every thread; returns the bound address.
    pub fn open_listener(&mut self, listener: u32, address: SocketAddr) -> io::Result<Result<SocketAddr, Mistake>> {
        if self.listeners.contains_key(&listener) {
            return Ok(Err(Mistake::Open(u64::from(listener))));
        }
        let wildcard = address.ip().is_unspecified();
        let mut sockets: Vec<Arc<Socket>> = Vec::new();
        let mut bound = address;
        for _ in &self.threads {
            let socket = udp_socket(address, self.options.listener_buffers)?;
            socket.set_reuse_port(!sockets.is_empty())?;
            if wildcard {
                report_local_address(socket.as_raw_fd(), address.is_ipv4())?;
            }
            socket.bind(&bound.into())?;
            bound = local_address(&socket)?;
            // The first one lets nobody in before it is bound, so that an address which another program has is refused.
            socket.set_reuse_port(self.threads.len() > 1)?;
            sockets.push(Arc::new(socket));
        }
        self.listeners.insert(listener, Listener { sockets, wildcard });
        self.read_listener(listener, bound).inspect_err(|_| self.close_listener(listener))?;
        Ok(Ok(bound))
    }

    /// Reads a bound socket as a listener, in one thread; its descriptor stays the caller's, who may send by it.
    pub fn adopt_listener(&mut self, listener: u32, descriptor: RawFd) -> io::Result<Result<SocketAddr, Mistake>> {
        if self.listeners.contains_key(&listener) {
            return Ok(Err(Mistake::Open(u64::from(listener))));
        }
        let socket = Socket::from(duplicate(descriptor)?);
        socket.set_nonblocking(true)?;
        let address = local_address(&socket)?;
        let wildcard = address.ip().is_unspecified();
        if wildcard {
            report_local_address(socket.as_raw_fd(), address.is_ipv4())?;
        }
        let socket = Arc::new(socket);
        self.threads[0].read_listener(listener, Arc::clone(&socket), address)?;
        self.listeners.insert(listener, Listener { sockets: vec![socket], wildcard });
        Ok(Ok(address))
    }

    /// What becomes of Binding requests from now on.
    pub fn set_answering(&self, answering: Answering) {
        self.tell_all(|| Command::Answering(answering));
    }

    /// Requests of strangers are challenged by the threads from now on, as far as that takes no thought.
    pub fn challenge(&self, challenges: Challenges) {
        let challenges = Arc::new(challenges);
        self.tell_all(|| Command::Challenge(Arc::clone(&challenges)));
    }

    /// The receive buffer that the kernel gave each socket of a listener, in bytes that SO_RCVBUF would ask for.
    pub fn receive_buffer(&self, listener: u32) -> io::Result<Result<usize, Mistake>> {
        let Some(listener) = self.listeners.get(&listener) else {
            return Ok(Err(Mistake::Unknown(u64::from(listener))));
        };
        // It tells twice what was asked for: its own books are in there too (socket(7)).
        let mut sizes = listener.sockets.iter().map(|socket| socket.recv_buffer_size());
        sizes.try_fold(usize::MAX, |least, size| Ok(least.min(size? / 2))).map(Ok)
    }

    fn read_listener(&self, listener: u32, address: SocketAddr) -> io::Result<()> {
        let sockets = &self.listeners[&listener].sockets;
        let mut pairs = self.threads.iter().zip(sockets);
        pairs.try_for_each(|(thread, socket)| thread.read_listener(listener, Arc::clone(socket), address))
    }

    /// Reads a listener no more; of one that is not open, nothing.
    pub fn close_listener(&mut self, listener: u32) {
        if self.listeners.remove(&listener).is_some() {
            self.tell_all(|| Command::CloseListener(listener));
            self.sync();
        }
    }
}
