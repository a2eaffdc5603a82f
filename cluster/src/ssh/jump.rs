//! A host behind another: `ssh -W` carries the connection, so that the host in between is found,
//! checked and logged in to exactly as the user's own `ssh` does it.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use super::CONNECT_LIMIT;
use super::connect::unreachable;
use crate::host::{HostAddress, HostError};

/// A stream that ends at the host's sshd.
pub(super) fn dial(address: &HostAddress, jump: &str) -> Result<UnixStream, HostError> {
    let fail = |error: std::io::Error| unreachable(address, &format!("ssh -W by {jump}: {error}"));
    let (own, far) = UnixStream::pair().map_err(fail)?;
    let input = far.try_clone().map_err(fail)?;
    let target = format!("[{}]:{}", address.address, address.port);
    let mut command = Command::new("ssh");
    command.args(["-W", &target, "-o", "BatchMode=yes", "-o"]);
    command.arg(format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs()));
    command.args(["--", jump]);
    command.stdin(Stdio::from(OwnedFd::from(input))).stdout(Stdio::from(OwnedFd::from(far)));
    let mut child = command.stderr(Stdio::inherit()).spawn().map_err(fail)?;
    // This process's copies of the far end; while they are open the end would not be seen.
    drop(command);
    let watched = own.try_clone().map_err(fail)?;
    thread::spawn(move || {
        // It ends with the stream, or the stream with it.
        let _ = child.wait();
        let _ = watched.shutdown(Shutdown::Both);
    });
    Ok(own)
}
