//! The `splitbrain` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Must come first: takes over in the lab's own processes, before any thread is started.
    cluster::lab::maybe_reenter();
    splitbrain::cli::main()
}
