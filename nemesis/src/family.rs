//! Families of faults.

/// A family of faults, by the resource that they act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Packets between nodes.
    Network,
    /// The system's processes.
    Process,
    /// What a process takes for the time.
    Clock,
    /// What a process reads from and writes to disk.
    Disk,
    /// Who belongs to the cluster.
    Membership,
    /// Who leads.
    Failover,
    /// Nothing at all.
    Nothing,
}

impl Family {
    /// Every family that does something.
    pub const ALL: [Family; 6] = [
        Family::Network,
        Family::Process,
        Family::Clock,
        Family::Disk,
        Family::Membership,
        Family::Failover,
    ];

    /// The one called `name`, of those that do something.
    pub fn by_name(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.as_str() == name)
    }

    /// The word of the records.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Network => "network",
            Family::Process => "process",
            Family::Clock => "clock",
            Family::Disk => "disk",
            Family::Membership => "membership",
            Family::Failover => "failover",
            Family::Nothing => "nothing",
        }
    }
}
