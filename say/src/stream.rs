//! The two streams: written to without panic, and without end of anything when they are closed.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::plain;

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What was asked for.
    Out,
    /// All that is said beside it.
    Err,
}

/// Whether standard output has failed: said once, and not tried again.
static OUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Writes text, made [`plain`], to a stream. That nobody reads any more is no error; anything else
/// that standard output cannot be written for is said once on standard error.
pub fn write(stream: Stream, text: &str) {
    pass(stream, plain(text).as_bytes());
}

/// Writes bytes to a stream as they are: another program's, asked for by whoever reads.
pub fn pass(stream: Stream, bytes: &[u8]) {
    match stream {
        Stream::Out if OUT_FAILED.load(Ordering::Relaxed) => {}
        Stream::Out => {
            if let Err(error) = all(&mut io::stdout().lock(), bytes) {
                out_failed(&error);
            }
        }
        // Nobody is left to be told.
        Stream::Err => drop(all(&mut io::stderr().lock(), bytes)),
    }
}

fn out_failed(error: &io::Error) {
    let told = OUT_FAILED.swap(true, Ordering::Relaxed);
    if !told && error.kind() != ErrorKind::BrokenPipe {
        let text = format!(
            "warning: standard output could not be written: {error}; \
             the exit code still tells the verdict\n"
        );
        write(Stream::Err, &text);
    }
}

fn all(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

/// Whether a stream is a terminal.
pub fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Out => io::stdout().is_terminal(),
        Stream::Err => io::stderr().is_terminal(),
    }
}

/// Puts a line in the place of the last one on the terminal that standard error is.
pub fn status(line: &str) {
    let line = crate::one_line(line);
    pass(Stream::Err, format!("\r\x1b[2K{line}").as_bytes());
}

/// Takes the line of [`status`] away, so that what follows starts on a clean one.
pub fn clear_status() {
    pass(Stream::Err, b"\r\x1b[2K");
}
