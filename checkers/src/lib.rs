//! History to verdict.
