//! The anomalies by the names that the literature and the original give them, and what implies
//! what.

use std::fmt;

macro_rules! anomalies {
    ($($id:ident = $name:literal),* $(,)?) => {
        /// A kind of anomaly.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Anomaly {
            $(#[doc = $name] $id),*
        }

        impl Anomaly {
            /// All of them.
            pub const ALL: &'static [Anomaly] = &[$(Anomaly::$id),*];

            /// Its name: `G-single-item-realtime`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Anomaly::$id => $name),*
                }
            }
        }
    };
}

anomalies! {
    G0 = "G0",
    G1c = "G1c",
    GSingleItem = "G-single-item",
    GSingle = "G-single",
    GNonadjacentItem = "G-nonadjacent-item",
    GNonadjacent = "G-nonadjacent",
    G2Item = "G2-item",
    G2 = "G2",
    G0Process = "G0-process",
    G1cProcess = "G1c-process",
    GSingleItemProcess = "G-single-item-process",
    GSingleProcess = "G-single-process",
    GNonadjacentItemProcess = "G-nonadjacent-item-process",
    GNonadjacentProcess = "G-nonadjacent-process",
    G2ItemProcess = "G2-item-process",
    G2Process = "G2-process",
    G0Realtime = "G0-realtime",
    G1cRealtime = "G1c-realtime",
    GSingleItemRealtime = "G-single-item-realtime",
    GSingleRealtime = "G-single-realtime",
    GNonadjacentItemRealtime = "G-nonadjacent-item-realtime",
    GNonadjacentRealtime = "G-nonadjacent-realtime",
    G2ItemRealtime = "G2-item-realtime",
    G2Realtime = "G2-realtime",
    G1 = "G1",
    G1Process = "G1-process",
    G1Realtime = "G1-realtime",
    G1a = "G1a",
    G1b = "G1b",
    Internal = "internal",
    FutureRead = "future-read",
    DirtyUpdate = "dirty-update",
    LostUpdate = "lost-update",
    DuplicateElements = "duplicate-elements",
    IncompatibleOrder = "incompatible-order",
    CyclicVersions = "cyclic-versions",
    GarbageRead = "garbage-read",
    WriteSkew = "write-skew",
    LongFork = "long-fork",
    GCursor = "G-cursor",
    GMonotonic = "G-monotonic",
    GMsr = "G-MSR",
    GSi = "G-SI",
    GSib = "G-SIb",
    GUpdate = "G-update",
    PredicateReadMiss = "predicate-read-miss",
    EmptyTransactionGraph = "empty-transaction-graph",
    Pl1Cycle = "PL-1-cycle-exists",
    Pl2Cycle = "PL-2-cycle-exists",
    PlSiCycle = "PL-SI-cycle-exists",
    Pl299Cycle = "PL-2.99-cycle-exists",
    Pl3Cycle = "PL-3-cycle-exists",
    SessionPl1Cycle = "strong-session-PL-1-cycle-exists",
    SessionPl2Cycle = "strong-session-PL-2-cycle-exists",
    SessionSiCycle = "strong-session-snapshot-isolation-cycle-exists",
    SessionPl3Cycle = "strong-session-serializable-cycle-exists",
    StrongPl1Cycle = "strong-PL-1-cycle-exists",
    StrongPl2Cycle = "strong-PL-2-cycle-exists",
    StrongSiCycle = "strong-snapshot-isolation-cycle-exists",
    PlSsCycle = "PL-SS-cycle-exists",
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Anomaly {
    /// The anomaly of that name.
    pub fn named(name: &str) -> Option<Anomaly> {
        Anomaly::ALL.iter().copied().find(|anomaly| anomaly.name() == name)
    }

    /// What a cycle is called that rests on an order of versions which only levels with an order
    /// beside data imply: no less than one anti-dependency, and the ending of that order (0: none,
    /// 1: a process's, 2: real time). Nothing if it is no cycle of dependencies.
    pub(crate) fn by_implied_order(self, ending: usize) -> Option<Anomaly> {
        const ENDINGS: usize = Anomaly::G1 as usize;
        let at = self as usize;
        let kind = match at % (ENDINGS / 3) {
            0..=3 => Anomaly::GSingleItem,
            4 | 5 => Anomaly::GNonadjacentItem,
            _ => Anomaly::G2Item,
        };
        (at < ENDINGS).then(|| Anomaly::ALL[kind as usize + ending * (ENDINGS / 3)])
    }

    /// What a history that shows this one shows as well, one step.
    pub fn implies(self) -> Vec<Anomaly> {
        use Anomaly::*;
        let mut implied: Vec<Anomaly> = match self {
            G0 => vec![G1c],
            G1c | G1a | G1b => vec![G1],
            GSingleItem => vec![GSingle, GNonadjacentItem],
            GSingle => vec![GNonadjacent, GSib],
            GNonadjacentItem => vec![GNonadjacent, G2Item],
            GNonadjacent | G2Item | WriteSkew => vec![G2],
            G0Process => vec![G1cProcess],
            G1cProcess => vec![G1Process],
            GSingleItemProcess => vec![GSingleProcess, GNonadjacentItemProcess],
            GSingleProcess => vec![GNonadjacentProcess],
            GNonadjacentItemProcess => vec![GNonadjacentProcess, G2ItemProcess],
            GNonadjacentProcess | G2ItemProcess => vec![G2Process],
            G0Realtime => vec![G1cRealtime],
            G1cRealtime => vec![G1Realtime],
            GSingleItemRealtime => vec![GSingleRealtime, GNonadjacentItemRealtime],
            GSingleRealtime => vec![GNonadjacentRealtime],
            GNonadjacentItemRealtime => vec![GNonadjacentRealtime, G2ItemRealtime],
            GNonadjacentRealtime | G2ItemRealtime => vec![G2Realtime],
            IncompatibleOrder | DirtyUpdate | GarbageRead => vec![G1a],
            FutureRead => vec![G1c],
            LostUpdate => vec![WriteSkew, G2Item],
            LongFork => vec![GNonadjacentItem],
            _ => Vec::new(),
        };
        let at = self as usize;
        let cyclic = at < G0Realtime as usize;
        if cyclic {
            implied.push(Anomaly::ALL[at + 8]);
        }
        match self {
            G1 => implied.push(G1Process),
            G1Process => implied.push(G1Realtime),
            _ => {}
        }
        implied
    }
}

/// A set of anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalySet(u128);

impl AnomalySet {
    /// Adds one; whether it is new.
    pub fn insert(&mut self, anomaly: Anomaly) -> bool {
        let new = !self.contains(anomaly);
        self.0 |= 1 << anomaly as u8;
        new
    }

    /// Whether it is in.
    pub fn contains(self, anomaly: Anomaly) -> bool {
        self.0 >> (anomaly as u8) & 1 == 1
    }

    /// Whether the two have one in common.
    pub fn meets(self, other: AnomalySet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in either.
    pub fn union(self, other: AnomalySet) -> AnomalySet {
        AnomalySet(self.0 | other.0)
    }

    /// All, in the order of the list.
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::ALL.iter().copied().filter(move |anomaly| self.contains(*anomaly))
    }

    /// These and all that they imply.
    pub fn implied(self) -> AnomalySet {
        let mut all = self;
        let mut open: Vec<Anomaly> = self.iter().collect();
        while let Some(anomaly) = open.pop() {
            open.extend(anomaly.implies().into_iter().filter(|next| all.insert(*next)));
        }
        all
    }

    /// These and all that imply one of them.
    pub fn implying(self) -> AnomalySet {
        let implying = |anomaly: &Anomaly| {
            let mut one = AnomalySet::default();
            one.insert(*anomaly);
            one.implied().meets(self)
        };
        Anomaly::ALL.iter().copied().filter(implying).collect()
    }
}

impl FromIterator<Anomaly> for AnomalySet {
    fn from_iter<I: IntoIterator<Item = Anomaly>>(anomalies: I) -> AnomalySet {
        let mut set = AnomalySet::default();
        for anomaly in anomalies {
            set.insert(anomaly);
        }
        set
    }
}
