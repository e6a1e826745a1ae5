//! Rings where they are refused; alone in its program, since this thread can make none any more.

use std::io;

use engine::{Engine, Options, Ring};

/// Has the kernel answer EPERM to every io_uring_setup of this thread, as the profiles of containers do.
fn refuse_rings() {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless = |k: u32, jf: u8| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ) as u16, jt: 0, jf, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        unless(libc::SYS_io_uring_setup as u32, 1),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is read during the call only.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filtered = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        assert_eq!(filtered, 0, "{}", io::Error::last_os_error());
    }
}

#[test]
fn a_kernel_that_refuses_rings_is_told_of_and_the_other_way_stays() {
    refuse_rings();
    assert_eq!(Ring::probe().unwrap_err().raw_os_error(), Some(libc::EPERM));
    let asked = Options { threads: 1, by_ring: true, ..Options::default() };
    assert_eq!(Engine::new(asked.clone()).err().and_then(|error| error.raw_os_error()), Some(libc::EPERM));
    assert!(Engine::new(Options { by_ring: false, ..asked }).is_ok());
}
