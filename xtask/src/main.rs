//! Build tasks: test, demo, tidy.
fn main() {}
