//! The system calls that move packets. With the feature `played-kernel` a thread may play the kernel in their place:
//! it reads what a real one would read and writes what a real one would write, and no packet leaves the process.

use std::io;
use std::os::fd::RawFd;

#[cfg(feature = "played-kernel")]
use super::played;

/// Receives as many datagrams as there are headers; returns how many there were.
///
/// # Safety
/// All that the headers point to is writable for the lengths that they give.
pub unsafe fn receive(socket: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    #[cfg(feature = "played-kernel")]
    if let Some(played) = unsafe { played::receive(headers) } {
        return played;
    }
    let most = headers.len() as libc::c_uint;
    counted(unsafe {
        libc::recvmmsg(socket, headers.as_mut_ptr(), most, libc::MSG_DONTWAIT, std::ptr::null_mut()) as isize
    })
}

/// Sends the datagrams of the headers; returns how many the kernel took, or why not even the first.
///
/// # Safety
/// All that the headers point to is readable for the lengths that they give.
pub unsafe fn send(socket: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    #[cfg(feature = "played-kernel")]
    if let Some(played) = unsafe { played::send(socket, headers) } {
        return played;
    }
    let most = headers.len() as libc::c_uint;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    counted(unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), most, flags) as isize })
}

/// Sends one datagram.
///
/// # Safety
/// `length` bytes of the name are an address.
pub unsafe fn send_to(
    socket: RawFd,
    bytes: &[u8],
    name: &libc::sockaddr_storage,
    length: libc::socklen_t,
) -> io::Result<()> {
    #[cfg(feature = "played-kernel")]
    if let Some(played) = played::send_to(socket, bytes, name) {
        return played;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let name = (&raw const *name).cast();
    counted(unsafe { libc::sendto(socket, bytes.as_ptr().cast(), bytes.len(), flags, name, length) }).map(drop)
}

/// The time that programs measure durations by (CLOCK_MONOTONIC), in nanoseconds, as of the last tick: hundredths of a
/// second late at most, and read without a call into the kernel.
pub fn now() -> u64 {
    #[cfg(feature = "played-kernel")]
    if let Some(now) = played::with(|kernel| kernel.now) {
        return now;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for what is written. No kernel lacks this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Whether there is no kernel behind the sockets of this thread.
pub fn is_played() -> bool {
    #[cfg(feature = "played-kernel")]
    return played::is_on();
    #[cfg(not(feature = "played-kernel"))]
    false
}

fn counted(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
