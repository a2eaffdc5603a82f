//! The lists that were read, each as the first elements of a chain.
//!
//! Lists only grow, so most lists that were read of a key are prefixes of one another and are kept
//! once. A list that fits none of its key's latest chains begins a new one.

use crate::columns::ListPlace;

/// Chains of a key that a new list is compared with. More branches than these are kept apart:
/// that costs memory and changes no answer.
const BRANCHES: usize = 4;

const NONE: u32 = u32::MAX;

/// See the module's doc.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    /// The elements.
    chains: Vec<Vec<i64>>,
    /// By key: its latest chains, the one that was last of use first.
    of_key: Vec<[u32; BRANCHES]>,
    /// Elements in all.
    kept: u64,
}

impl Chains {
    /// Keeps a list of a key.
    pub fn keep(&mut self, key: u32, list: &[i64]) -> ListPlace {
        let len = list.len() as u32;
        if list.is_empty() {
            return ListPlace { chain: 0, len };
        }
        if self.of_key.len() <= key as usize {
            self.of_key.resize(key as usize + 1, [NONE; BRANCHES]);
        }
        let branches = &mut self.of_key[key as usize];
        for at in 0..BRANCHES {
            let number = branches[at];
            if number == NONE {
                break;
            }
            let chain = &mut self.chains[number as usize];
            let common = chain.len().min(list.len());
            if chain[..common] == list[..common] {
                chain.extend_from_slice(&list[common..]);
                self.kept += (list.len() - common) as u64;
                branches[..=at].rotate_right(1);
                return ListPlace { chain: number, len };
            }
        }
        let number = self.chains.len() as u32;
        self.chains.push(list.to_vec());
        self.kept += list.len() as u64;
        branches.rotate_right(1);
        branches[0] = number;
        ListPlace { chain: number, len }
    }

    /// The list at a place.
    pub fn list(&self, place: ListPlace) -> &[i64] {
        match place.len {
            0 => &[],
            len => &self.chains[place.chain as usize][..len as usize],
        }
    }

    /// All elements of a chain.
    pub fn whole(&self, number: u32) -> &[i64] {
        self.chains.get(number as usize).map_or(&[], Vec::as_slice)
    }

    /// Elements of all chains.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.chains.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_share_a_chain_and_branches_do_not() {
        let mut chains = Chains::default();
        let lists: [(u32, &[i64]); 9] = [
            (0, &[1, 2]),
            (1, &[1, 2, 3]),
            (0, &[1, 2, 3]),
            (0, &[1]),
            (0, &[1, 4]),
            (0, &[]),
            (0, &[1, 2, 3, 5]),
            (0, &[1, 4, 5]),
            (1, &[1, 2]),
        ];
        let places: Vec<ListPlace> =
            lists.iter().map(|(key, list)| chains.keep(*key, list)).collect();
        for ((_, list), place) in lists.iter().zip(&places) {
            assert_eq!(chains.list(*place), *list);
        }
        assert_eq!(chains.count(), 3, "two branches of the first key, one of the second");
    }

    #[test]
    fn more_branches_than_are_looked_at_are_kept_apart() {
        let mut chains = Chains::default();
        let lists: Vec<Vec<i64>> = (0..20).map(|at| vec![0, at % 7, at]).collect();
        let places: Vec<ListPlace> = lists.iter().map(|list| chains.keep(3, list)).collect();
        for (list, place) in lists.iter().zip(&places) {
            assert_eq!(chains.list(*place), list);
        }
    }
}
