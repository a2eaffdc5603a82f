//! Whether a fault takes a leader from its place for as long as it lasts: only then another leader
//! is what it is for. One that slows it, damages its files, or is over before anybody misses it may
//! leave the leader where it is.

use crate::fault::Fault;

impl Fault {
    /// See the module's doc.
    pub fn unseats(self) -> bool {
        match self {
            Fault::Kill
            | Fault::Pause
            | Fault::Stop
            | Fault::KillInStart
            | Fault::Isolate
            | Fault::Halves
            | Fault::LeaderAlone
            | Fault::RegionCut
            | Fault::RegionLost
            | Fault::StepDown
            | Fault::Remove
            | Fault::Replace
            | Fault::LoseUnsynced
            | Fault::TornTail => true,
            // A crash loop starts it again at once, a restart too.
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use crate::fault::ALL;

    #[test]
    fn whose_default_target_is_a_leader_and_who_only_troubles_it() {
        let troubles = ALL.into_iter().filter(|fault| !fault.unseats());
        let of_leaders: Vec<&str> =
            troubles.filter(|f| f.default_selector() == "leader").map(Fault::name).collect();
        let expected = ["clients-cut", "restart", "crash-loop", "disk-full", "disk-error"];
        assert_eq!(of_leaders, expected);
        let clocks = ALL.into_iter().filter(|fault| fault.family() == Family::Clock);
        assert!(clocks.into_iter().all(|fault| !fault.unseats()));
    }
}
