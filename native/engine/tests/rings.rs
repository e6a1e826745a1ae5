//! Rings where they are refused; alone in its program, since this thread can make none any more.

mod refusing;

use engine::{Engine, Options, Ring};
use refusing::refuse;

#[test]
fn a_kernel_that_refuses_rings_is_told_of_and_the_other_way_stays() {
    refuse(libc::SYS_io_uring_setup, None, libc::EPERM);
    assert_eq!(Ring::probe().unwrap_err().raw_os_error(), Some(libc::EPERM));
    let asked = Options { threads: 1, by_ring: true, ..Options::default() };
    assert_eq!(Engine::new(asked.clone()).err().and_then(|error| error.raw_os_error()), Some(libc::EPERM));
    assert!(Engine::new(Options { by_ring: false, ..asked }).is_ok());
}
