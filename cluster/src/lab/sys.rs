//! System calls that the standard library and nix do not give in the form needed here.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Pid, execve};

/// Clones this process into fresh namespaces and executes this binary again in `mode`.
///
/// `keep` are descriptors that the child may use; all others close on exec. The child is killed
/// when this process's main thread ends. Call from a single-threaded process, on its main thread.
pub(super) fn clone_into(
    mode: &str,
    arguments: &[String],
    keep: &[&OwnedFd],
    environment: &[(String, String)],
) -> io::Result<Pid> {
    let c = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let program = c(OsStr::new("/proc/self/exe"))?;
    let mut argv = vec![c(OsStr::new("splitbrain"))?, c(OsStr::new(mode))?];
    for argument in arguments {
        argv.push(c(OsStr::new(argument))?);
    }
    let mut envp = Vec::new();
    for (name, value) in std::env::vars_os() {
        if !environment.iter().any(|(own, _)| OsStr::new(own) == name) {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            envp.push(c(&pair)?);
        }
    }
    for (name, value) in environment {
        envp.push(c(OsStr::new(&format!("{name}={value}")))?);
    }
    let flags = libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::SIGCHLD;
    // SAFETY: a fork in a single-threaded process; without CLONE_VM the child has a memory of its
    // own, and a null stack means that it goes on with a copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if 0 < pid {
        return Ok(Pid::from_raw(pid as i32));
    }
    die_with_parent();
    for fd in keep {
        // The child's copy of the descriptor; a failure shows when it is used.
        let _ = fcntl(*fd, FcntlArg::F_SETFD(FdFlag::empty()));
    }
    let _ = execve(&program, &argv, &envp);
    // SAFETY: ends this copy of the process at once, without running the parent's destructors.
    unsafe { libc::_exit(127) }
}

/// SIGKILL for this process when the thread that made it ends.
pub(super) fn die_with_parent() {
    // SAFETY: sets an attribute of this process and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Takes the right to set the clock from this process and all that it starts.
pub(super) fn drop_clock_capability() {
    const CAP_SYS_TIME: libc::c_ulong = 25;
    // SAFETY: sets an attribute of this process and touches no memory.
    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0) };
}

/// The number of a descriptor, for a child's arguments.
pub(super) fn number(fd: &OwnedFd) -> String {
    fd.as_raw_fd().to_string()
}
