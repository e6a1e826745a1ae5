//! More sockets at once than a ring has room for; alone in its program, since the limit of descriptors is the process's.
#![allow(unsafe_code, reason = "setrlimit")]

use std::collections::HashSet;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use engine::Ring;

/// More than the completions that the kernel keeps in a ring.
const CROWD: usize = 5000;

/// Whether the process may have so many descriptors from now on.
fn may_open(descriptors: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is written and read during the calls only.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_cur.max(descriptors);
        limit.rlim_cur <= limit.rlim_max && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
    }
}

#[test]
fn all_of_a_crowd_are_heard() {
    let (Ok((mut ring, mut arena)), true) = (Ring::new(), may_open(CROWD as u64 + 100)) else {
        return eprintln!("not with rings or not with {CROWD} sockets, which this machine refuses");
    };
    ring.enable().unwrap();
    let speaker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let crowd: Vec<UdpSocket> = (0..CROWD).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (token, socket) in crowd.iter().enumerate() {
        speaker.send_to(&token.to_be_bytes(), socket.local_addr().unwrap()).unwrap();
        ring.watch(socket.as_raw_fd(), token as u64);
    }
    let (mut tokens, mut sources, mut heard) = (Vec::new(), Vec::new(), HashSet::new());
    let began = Instant::now();
    while heard.len() < CROWD {
        ring.wait(&mut arena, &mut tokens, &mut sources, false).unwrap();
        for (slot, &token) in sources.iter().enumerate() {
            let received = arena.received(slot);
            assert_eq!(arena.bytes()[received.start..][..received.length], (token as usize).to_be_bytes());
            assert!(heard.insert(token), "{token} is heard twice");
        }
        // Those that found no slot, as the worker does it.
        tokens.iter().for_each(|&token| ring.watch(crowd[token as usize].as_raw_fd(), token));
        assert!(began.elapsed() < Duration::from_secs(30), "{} of {CROWD} are heard", heard.len());
    }
    (0..CROWD as u64).for_each(|token| ring.forget(token));
}
