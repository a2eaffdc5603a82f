//! Whom a fault hits: by role, by chance, by name. Resolved when it is injected.

use std::fmt;

use thiserror::Error;

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The node with the highest term among those that believe to lead the shard.
    Leader,
    /// A node that was leader and has met a higher term.
    Deposed,
    /// Every node that believes to lead the shard.
    AllLeaders,
    /// One live follower of the shard.
    AFollower,
    /// One node, drawn.
    One,
    /// As many nodes, drawn, as leave a majority.
    Minority,
    /// Every node.
    All,
    /// The nodes of one region, drawn.
    ARegion,
    /// The nodes of this region.
    Region(String),
    /// This node.
    Node(String),
}

/// Names of the selectors that are not a node's name.
pub const NAMES: [&str; 8] =
    ["leader", "deposed", "all-leaders", "a-follower", "one", "minority", "all", "a-region"];
/// What the name of a region follows.
pub const REGION: &str = "region:";

/// A selector that is neither a role nor a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown selector \"{name}\": expected one of leader, deposed, all-leaders, a-follower, \
         one, minority, all, a-region, region:NAME, or a node such as n1"
)]
pub struct UnknownSelector {
    /// What was given.
    pub name: String,
}

impl Selector {
    /// Reads a role's name, the name of one of `nodes`, or `region:NAME`; whether there is such a
    /// region is for others to say.
    pub fn parse(name: &str, nodes: &[String]) -> Result<Selector, UnknownSelector> {
        Ok(match name {
            "leader" => Selector::Leader,
            "deposed" => Selector::Deposed,
            "all-leaders" => Selector::AllLeaders,
            "a-follower" => Selector::AFollower,
            "one" => Selector::One,
            "minority" => Selector::Minority,
            "all" => Selector::All,
            "a-region" => Selector::ARegion,
            region if region.starts_with(REGION) => {
                Selector::Region(region[REGION.len()..].to_owned())
            }
            node if nodes.iter().any(|known| known == node) => Selector::Node(node.to_owned()),
            _ => {
                return Err(UnknownSelector { name: name.to_owned() });
            }
        })
    }

    /// Whether it speaks of regions.
    pub fn is_of_regions(&self) -> bool {
        matches!(self, Selector::ARegion | Selector::Region(_))
    }

    /// Whether a leader is what it is after.
    pub fn targets_leader(&self) -> bool {
        matches!(self, Selector::Leader | Selector::AllLeaders)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Selector::Leader => "leader",
            Selector::Deposed => "deposed",
            Selector::AllLeaders => "all-leaders",
            Selector::AFollower => "a-follower",
            Selector::One => "one",
            Selector::Minority => "minority",
            Selector::All => "all",
            Selector::ARegion => "a-region",
            Selector::Region(name) => return write!(f, "{REGION}{name}"),
            Selector::Node(name) => name,
        })
    }
}
