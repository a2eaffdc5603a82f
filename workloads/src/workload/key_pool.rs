//! A small pool of keys in use: some hot, each replaced by a fresh one after so many writes.
//!
//! Place `i` of the pool is drawn half as often as place `i - 1`, so that one key is fought over
//! while others are touched now and then: conflicts of both kinds, in one run. Few writes a key
//! keep reads, and the search of a checker, short however long the run.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// See the module's doc.
pub struct KeyPool {
    /// Keys in use and how many writes each was given.
    open: Vec<(i64, u32)>,
    next_key: i64,
    writes_per_key_max: u32,
}

impl KeyPool {
    /// Keys 0 to `size - 1`, each for at most `writes_per_key_max` writes.
    pub fn new(size: usize, writes_per_key_max: u32) -> KeyPool {
        let open = (0..size as i64).map(|key| (key, 0)).collect();
        KeyPool { open, next_key: size as i64, writes_per_key_max }
    }

    /// A place of the pool, by halving odds.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let last = self.open.len() - 1;
        (0..last).find(|_| rng.random_bool(0.5)).unwrap_or(last)
    }

    /// The key at a place.
    pub fn key(&self, place: usize) -> i64 {
        self.open[place].0
    }

    /// Notes a write to the key at a place, and gives the key: a full one makes room first.
    pub fn write(&mut self, place: usize) -> i64 {
        if self.open[place].1 == self.writes_per_key_max {
            self.replace(place);
        }
        self.open[place].1 += 1;
        self.open[place].0
    }

    /// Takes a key out of use, if it is in use.
    pub fn retire(&mut self, key: i64) {
        if let Some(place) = self.open.iter().position(|(open, _)| *open == key) {
            self.replace(place);
        }
    }

    fn replace(&mut self, place: usize) {
        self.open[place] = (self.next_key, 0);
        self.next_key += 1;
    }
}
