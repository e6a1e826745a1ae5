//! A kernel that refuses this thread something, as the profiles of containers and its own limits do.
#![allow(unsafe_code, reason = "seccomp")]

use std::io;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
/// Where struct seccomp_data has its arguments, of eight bytes each; the number of the call stands first.
const ARGUMENTS: u32 = 16;

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn unless(k: u32, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ) as u16, jt: 0, jf, k }
}

/// Has every such call of the calling thread fail from now on; with `argument`, an index and a value, those that have it.
pub fn refuse(call: i64, argument: Option<(u32, u32)>, error: i32) {
    let (number, refusal) = (call as u32, libc::SECCOMP_RET_ERRNO | error as u32);
    let mut filter = vec![statement(LOAD, 0)];
    match argument {
        None => filter.push(unless(number, 1)),
        Some((index, value)) => {
            filter.extend([unless(number, 3), statement(LOAD, ARGUMENTS + 8 * index), unless(value, 1)])
        }
    }
    filter.push(statement(libc::BPF_RET, refusal));
    filter.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is read during the call only.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filtered = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        assert_eq!(filtered, 0, "{}", io::Error::last_os_error());
    }
}
