//! Jepsen-style fault-injection test harness.
