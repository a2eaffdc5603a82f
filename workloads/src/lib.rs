//! Generators, client policies, what operations mean.
