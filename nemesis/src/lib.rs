//! Faults, selectors, schedules, evidence.
