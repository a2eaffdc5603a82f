//! elle-rs: which isolation level a transactional history keeps, over list-append and rw-register.
//!
//! Not built yet: this crate holds the place that the architecture gives it. It will depend on
//! `history` alone and be fit to be published by itself; nothing of a harness, a cluster or a
//! report may live here.
