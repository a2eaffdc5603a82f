//! What a program says to people, on standard output and standard error.
//!
//! The standard library's printing macros end the program with a panic when nobody reads any more
//! or the disk is full. These write what can be written and go on: what a run found is told by its
//! folder and its exit code too. They also keep text from outside from steering a terminal: see
//! [`plain`]. Nothing else in the product writes to either stream (`cargo xtask tidy` holds it),
//! but for the passing on of another program's bytes by [`pass`].

mod plain;
mod stream;

pub use plain::{one_line, plain};
pub use stream::{Stream, clear_status, is_terminal, pass, status, write};

/// Writes to standard output, as `print` does, without ever panicking.
#[macro_export]
macro_rules! out {
    ($($words:tt)*) => { $crate::write($crate::Stream::Out, &::std::format!($($words)*)) };
}

/// Writes a line to standard output, as `println` does, without ever panicking.
#[macro_export]
macro_rules! outln {
    () => { $crate::write($crate::Stream::Out, "\n") };
    ($($words:tt)*) => {{
        let mut text = ::std::format!($($words)*);
        text.push('\n');
        $crate::write($crate::Stream::Out, &text)
    }};
}

/// Writes to standard error, as `eprint` does, without ever panicking.
#[macro_export]
macro_rules! err {
    ($($words:tt)*) => { $crate::write($crate::Stream::Err, &::std::format!($($words)*)) };
}

/// Writes a line to standard error, as `eprintln` does, without ever panicking.
#[macro_export]
macro_rules! errln {
    () => { $crate::write($crate::Stream::Err, "\n") };
    ($($words:tt)*) => {{
        let mut text = ::std::format!($($words)*);
        text.push('\n');
        $crate::write($crate::Stream::Err, &text)
    }};
}
