//! How many files, sockets among them, the process may have open, and how many of those desktops may take.
//!
//! Owns: raising the limit as far as the system lets us, and the part that is kept for everything else: operators,
//! workers, platforms, libraries. Must never: let desktops take the last one; then nobody could look at the host.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for everything but desktops: a quarter of all, within these bounds.
const KEPT: (u64, u64) = (128, 2048);

/// Raises the limit, and returns how many connections of desktops there may be: `wanted`, or fewer, which the log tells.
pub(crate) fn for_desktops(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let Some(limit) = (if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current }) else {
        return wanted;
    };
    let most = most(limit);
    if wanted <= most {
        return wanted;
    }
    tracing::warn!(
        wanted,
        lowered_to = most,
        open_files = limit,
        "listener.max_connections is lowered, because the limit of open files (ulimit -n, LimitNOFILE) leaves no room for more"
    );
    most
}

fn most(limit: u64) -> usize {
    let kept = (limit / 4).clamp(KEPT.0, KEPT.1);
    usize::try_from(limit.saturating_sub(kept)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desktops_never_take_all() {
        assert_eq!([64, 200, 1024, 1 << 20].map(most), [1, 72, 768, (1 << 20) - 2048]);
    }
}
