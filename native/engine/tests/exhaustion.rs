//! When the process may open no more descriptors; alone in its program, since the limit is the whole process's.
#![allow(unsafe_code, reason = "setrlimit")]

use std::net::SocketAddr;

use engine::{Engine, Options};

#[test]
fn an_engine_without_descriptors_refuses_and_goes_on() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut engine = Engine::new(Options { threads: 1, ..Options::default() }).unwrap();
    let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
    // SAFETY: the limit is read during the call only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let mut open = 0;
    let error = loop {
        match engine.open_relay(open, loopback) {
            Ok(opened) => opened.unwrap(),
            Err(error) => break error,
        }
        open += 1;
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert!(Engine::new(Options::default()).is_err());
    engine.close_relay(0);
    engine.open_relay(0, loopback).unwrap().unwrap();
    assert!((10..40).contains(&open));
    engine.close();
}
