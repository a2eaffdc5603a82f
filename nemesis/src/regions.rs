//! Regions: groups of nodes that are near to one another, by label.

use std::collections::BTreeMap;

/// Nodes, by number, of each region. A node may be in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    nodes: BTreeMap<String, Vec<usize>>,
}

impl Regions {
    /// Of these nodes, by number.
    pub fn new(nodes: BTreeMap<String, Vec<usize>>) -> Regions {
        Regions { nodes }
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.nodes.keys().map(String::as_str).collect()
    }

    /// The nodes of a region; none if there is no such region.
    pub fn of(&self, name: &str) -> &[usize] {
        self.nodes.get(name).map_or(&[], Vec::as_slice)
    }

    /// All nodes of the regions that these are in, in order.
    pub fn around(&self, nodes: &[usize]) -> Vec<usize> {
        let hit = self.nodes.values().filter(|members| members.iter().any(|n| nodes.contains(n)));
        let mut all: Vec<usize> = hit.flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named_stands_for_its_whole_region() {
        let nodes = [("eu".to_owned(), vec![0, 1]), ("us".to_owned(), vec![3])];
        let regions = Regions::new(nodes.into());
        assert_eq!(regions.names(), ["eu", "us"]);
        assert_eq!(regions.of("eu"), [0, 1]);
        assert_eq!(regions.of("asia"), [] as [usize; 0]);
        assert_eq!(regions.around(&[1]), [0, 1]);
        assert_eq!(regions.around(&[3, 0]), [0, 1, 3]);
        assert_eq!(regions.around(&[2]), [] as [usize; 0], "it is in none");
    }
}
