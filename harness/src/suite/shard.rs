//! A slice of a suite: `3/16` is every sixteenth case from the third on.

use crate::error::UserError;

/// See the module's doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// Reads `3/16`.
    pub fn parse(text: &str) -> Result<Shard, UserError> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? })
        };
        parse().filter(|shard| (1..=shard.count).contains(&shard.index)).ok_or_else(|| {
            UserError::usage(format!("\"{text}\" is not a slice such as 3/16"))
                .at("--shard")
                .hint("slices count from 1: 1/16 to 16/16")
        })
    }

    /// Whether the case at this place of the file, from 0, is in the slice.
    pub fn has(self, place: usize) -> bool {
        place % self.count == self.index - 1
    }

    /// `3/16`.
    pub fn text(self) -> String {
        format!("{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_disjoint_and_together_everything() {
        for count in 1..=7 {
            let shards = (1..=count).map(|index| Shard { index, count });
            let shards: Vec<Shard> = shards.collect();
            for place in 0..20 {
                let having = shards.iter().filter(|shard| shard.has(place)).count();
                assert_eq!(having, 1, "place {place} of {count} slices");
            }
        }
    }

    #[test]
    fn a_slice_that_there_is_not_is_refused() {
        assert_eq!(Shard::parse("3/16"), Ok(Shard { index: 3, count: 16 }));
        for text in ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
    }
}
