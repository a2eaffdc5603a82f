//! The agent: a small static binary that acts on one host.
//!
//! What lives here: its protocol ([`proto`], [`frame`]), what it can do to a host ([`process`],
//! [`life`], [`press`], [`burn`], [`cgroup`], [`external`], [`packet_filter`], [`shape`],
//! [`clocks`], [`disk`], [`probe`], [`ping`], [`addresses`], [`capture`]), what that needs
//! ([`means`]), and what makes sure that it is undone ([`journal`], [`undo`], [`guardian`],
//! [`worker`], [`timer`], [`host_lock`]). What must not: anything of a particular system under
//! test, any choice of whom to hit.
//!
//! Read next: [`proto`], [`worker`], [`guardian`].

pub mod addresses;
pub mod burn;
pub mod capture;
pub mod cgroup;
pub mod clock;
pub mod clocks;
pub mod disk;
pub mod external;
pub mod fake_clock;
pub mod frame;
pub mod guardian;
pub mod hold;
pub mod host_lock;
pub mod journal;
pub mod keep;
pub mod life;
pub mod means;
pub mod nf_tables;
pub mod packet_filter;
pub mod ping;
pub mod press;
pub mod probe;
pub mod process;
pub mod proto;
pub mod quote;
pub mod real_clock;
pub mod shape;
pub mod sockets;
pub mod time_sync;
pub mod timer;
pub mod undo;
pub mod worker;
