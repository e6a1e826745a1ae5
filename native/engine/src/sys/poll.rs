//! Waiting: epoll over many descriptors, and bells to wake whoever waits.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::kernel;

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one; raises what the kernel says when there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and ours.
        unsafe {
            let descriptor = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(Epoll(OwnedFd::from_raw_fd(descriptor))) }
        }
    }

    /// Has the kernel keep room for watching a descriptor, which it may refuse; nothing of it is told yet.
    pub fn reserve(&self, descriptor: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, token, libc::EPOLLET)
    }

    /// Watches a reserved descriptor for input; `token` comes back from every wait() while there is some.
    pub fn watch(&self, descriptor: RawFd, token: u64) {
        self.change(descriptor, token, libc::EPOLLIN);
    }

    /// Watches a reserved descriptor for input; `token` comes back when some has come in since, and once for what is
    /// there.
    pub fn watch_arrivals(&self, descriptor: RawFd, token: u64) {
        self.change(descriptor, token, libc::EPOLLIN | libc::EPOLLET);
    }

    /// Takes no room, and so the kernel has no reason to refuse it.
    fn change(&self, descriptor: RawFd, token: u64, events: libc::c_int) {
        let changed = self.control(libc::EPOLL_CTL_MOD, descriptor, token, events);
        debug_assert!(changed.is_ok(), "a descriptor is watched that was not reserved: {changed:?}");
    }

    fn control(&self, what: libc::c_int, descriptor: RawFd, token: u64, events: libc::c_int) -> io::Result<()> {
        if kernel::is_played() {
            return Ok(());
        }
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: the event is read during the call only.
        let result = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, descriptor, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches it no more.
    pub fn forget(&self, descriptor: RawFd) {
        if kernel::is_played() {
            return;
        }
        // SAFETY: no event is given.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, descriptor, std::ptr::null_mut()) };
    }

    /// Waits for input and writes the tokens of what is ready.
    pub fn wait(&self, tokens: &mut Vec<u64>, milliseconds: i32) -> io::Result<()> {
        const EVENTS: usize = 256;
        let mut events = [const { MaybeUninit::<libc::epoll_event>::uninit() }; EVENTS];
        tokens.clear();
        let place = events.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most EVENTS events.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), place, EVENTS as libc::c_int, milliseconds) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel has written so many.
        tokens.extend(events[..count as usize].iter().map(|event| unsafe { event.assume_init_ref() }.u64));
        Ok(())
    }
}

/// A descriptor that is readable from ring() to silence().
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and ours.
        unsafe {
            let descriptor = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(Bell(OwnedFd::from_raw_fd(descriptor))) }
        }
    }

    /// Makes it readable.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from a value that lives through the call. A full counter is readable too.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to a value that lives through the call.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
