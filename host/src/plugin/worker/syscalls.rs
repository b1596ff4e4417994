//! The system calls that a worker is refused.
//!
//! Owns: a seccomp filter of a few calls that would lead around what `sandbox.rs` and the end of a worker's process group
//! rely on. Must never: refuse what a plugin may need; it is a list of what is refused, and all else is allowed.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Refuses these calls to this process and all that it starts, for ever, with `EPERM`. `ports`: also what would reach a TCP
/// port past landlock's rules, which look at `connect` of TCP sockets only.
///
/// # Errors
/// The kernel does not offer it, or the machine's architecture is not known here.
pub(super) fn refuse(ports: bool) -> Result<(), String> {
    let filter = filter(ports).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&filter).map_err(|error| error.to_string())
}

fn filter(ports: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let when =
        |argument, operator, value| SeccompRule::new(vec![SeccompCondition::new(argument, Dword, operator, value)?]);
    let is = |argument, value: i32| when(argument, SeccompCmpOp::Eq, value.unsigned_abs().into());
    let has_flag = |argument, flag: i32| {
        let flag = u64::from(flag.unsigned_abs());
        when(argument, SeccompCmpOp::MaskedEq(flag), flag)
    };
    // Whatever it starts ends with its process group, which it must not leave.
    let mut refused = BTreeMap::from([(libc::SYS_setsid, Vec::new()), (libc::SYS_setpgid, Vec::new())]);
    if ports {
        refused.extend([
            // Several paths of one connection, which fall back to plain TCP; and sockets that are turned into TCP.
            (libc::SYS_socket, vec![is(2, libc::IPPROTO_MPTCP)?, is(0, AF_SMC)?]),
            // Connecting by sending.
            (libc::SYS_sendto, vec![has_flag(3, libc::MSG_FASTOPEN)?]),
            (libc::SYS_sendmsg, vec![has_flag(2, libc::MSG_FASTOPEN)?]),
            (libc::SYS_sendmmsg, vec![has_flag(3, libc::MSG_FASTOPEN)?]),
            // All of these without a system call that could be looked at.
            (libc::SYS_io_uring_setup, Vec::new()),
        ]);
    }
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(refused, SeccompAction::Allow, eperm, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Shared memory communications; not in the C library's headers.
const AF_SMC: i32 = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made_for_this_machine() {
        for ports in [false, true] {
            assert!(filter(ports).is_ok_and(|filter| !filter.is_empty()), "{ports}");
        }
    }
}
