//! The small static binary that acts on a host: faults, leases, probes.
