//! What a file's writers have been told is written and what its disk does not hold yet.
//!
//! Pages in memory over a file underneath. A sync writes them down; a crash forgets them. A sync
//! that failed leaves its pages to be read until then, but the next one does not write them: so do
//! kernels, and so a server that tries again is deceived.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// What a disk writes whole or not at all, bytes.
pub const SECTOR: usize = 512;

/// One page that differs from the disk's.
struct Page {
    bytes: Box<[u8; PAGE]>,
    /// The next sync writes it.
    dirty: bool,
}

/// See the module's doc.
#[derive(Default)]
pub struct Overlay {
    pages: BTreeMap<u64, Page>,
    /// The size that writers know, where it is not the disk's.
    size: Option<u64>,
}

impl Overlay {
    /// Whether the disk holds everything.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.size.is_none()
    }

    /// How many pages a crash would take.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The size that writers know.
    pub fn size(&self, below: u64) -> u64 {
        self.size.map_or(below, |size| size.max(below))
    }

    /// Writes into memory alone.
    pub fn write(&mut self, below: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let length = (PAGE - within).min(data.len() - done);
            let page = match self.pages.entry(number) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(place) => {
                    let mut bytes = Box::new([0; PAGE]);
                    if length < PAGE {
                        read_whole(below, number * PAGE as u64, &mut bytes[..])?;
                    }
                    place.insert(Page { bytes, dirty: true })
                }
            };
            page.bytes[within..within + length].copy_from_slice(&data[done..done + length]);
            page.dirty = true;
            done += length;
        }
        let end = offset + data.len() as u64;
        let size = self.size(below.metadata()?.len());
        if size < end {
            self.size = Some(end);
        }
        Ok(())
    }

    /// Reads what writers would see; shorter at the file's end.
    pub fn read(&self, below: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let end = self.size(below.metadata()?.len()).min(offset.saturating_add(size as u64));
        let length = end.saturating_sub(offset) as usize;
        let mut bytes = vec![0; length];
        read_whole(below, offset, &mut bytes)?;
        if length == 0 {
            return Ok(bytes);
        }
        let (first, last) = (offset / PAGE as u64, (end - 1) / PAGE as u64);
        for (number, page) in self.pages.range(first..=last) {
            let start = number * PAGE as u64;
            let (from, to) = (start.max(offset), (start + PAGE as u64).min(end));
            let source = &page.bytes[(from - start) as usize..(to - start) as usize];
            bytes[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
        Ok(bytes)
    }

    /// Writes down what is dirty.
    pub fn sync(&mut self, below: &File) -> io::Result<()> {
        let size = self.size(below.metadata()?.len());
        let dirty: Vec<u64> =
            self.pages.iter().filter(|(_, page)| page.dirty).map(|(number, _)| *number).collect();
        for number in dirty {
            if let Some(page) = self.pages.get(&number) {
                let start = number * PAGE as u64;
                let length = size.saturating_sub(start).min(PAGE as u64) as usize;
                below.write_all_at(&page.bytes[..length], start)?;
            }
            self.pages.remove(&number);
        }
        if below.metadata()?.len() < size {
            below.set_len(size)?;
        }
        self.size = None;
        below.sync_data()
    }

    /// What a failed sync leaves: readable, and never written.
    pub fn sync_failed(&mut self) {
        for page in self.pages.values_mut() {
            page.dirty = false;
        }
    }

    /// The file is cut or grown; like all that is not its content, on disk at once.
    pub fn truncate(&mut self, below: &File, size: u64) -> io::Result<()> {
        below.set_len(size)?;
        self.size = None;
        self.pages.split_off(&size.div_ceil(PAGE as u64));
        let within = (size % PAGE as u64) as usize;
        if within != 0
            && let Some(page) = self.pages.get_mut(&(size / PAGE as u64))
        {
            page.bytes[within..].fill(0);
        }
        Ok(())
    }

    /// Power is lost: `keep` of the pages, the first by place, were on their way down and arrived,
    /// and so did `sectors` of the next one. Gives how many pages were lost whole or in part.
    pub fn crash(&mut self, below: &File, keep: usize, sectors: usize) -> io::Result<usize> {
        let size = self.size(below.metadata()?.len());
        let dirty = std::mem::take(&mut self.pages).into_iter().filter(|(_, page)| page.dirty);
        let mut lost = 0;
        for (place, (number, page)) in dirty.enumerate() {
            let start = number * PAGE as u64;
            let whole = size.saturating_sub(start).min(PAGE as u64) as usize;
            let length = match place {
                place if place < keep => whole,
                place if place == keep => whole.min(sectors * SECTOR),
                _ => 0,
            };
            below.write_all_at(&page.bytes[..length], start)?;
            lost += usize::from(length < whole);
        }
        self.size = None;
        Ok(lost)
    }
}

/// Fills `bytes` from a place on; what lies behind the file's end is left as it is.
fn read_whole(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a seed, for tests alone.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *state >> 33
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        read_whole(file, 0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_crash_gives_back_what_was_synced_and_nothing_else() {
        for seed in 0..50 {
            let mut state = seed;
            let file = tempfile::tempfile().unwrap();
            let mut overlay = Overlay::default();
            let (mut seen, mut synced): (Vec<u8>, Vec<u8>) = (vec![], vec![]);
            for _ in 0..40 {
                match next(&mut state) % 8 {
                    0 => {
                        overlay.sync(&file).unwrap();
                        synced.clone_from(&seen);
                        assert!(overlay.is_empty());
                    }
                    1 => {
                        overlay.crash(&file, 0, 0).unwrap();
                        seen.clone_from(&synced);
                    }
                    2 => {
                        // Everything is down first, so that the model needs no rule for it.
                        overlay.sync(&file).unwrap();
                        let size = next(&mut state) as usize % 20_000;
                        overlay.truncate(&file, size as u64).unwrap();
                        seen.resize(size, 0);
                        synced.clone_from(&seen);
                    }
                    _ => {
                        let at = next(&mut state) as usize % 20_000;
                        let length = 1 + next(&mut state) as usize % 9_000;
                        let data = vec![next(&mut state) as u8; length];
                        overlay.write(&file, at as u64, &data).unwrap();
                        if seen.len() < at + length {
                            seen.resize(at + length, 0);
                        }
                        seen[at..at + length].copy_from_slice(&data);
                    }
                }
                assert_eq!(overlay.read(&file, 0, 1 << 20).unwrap(), seen, "seed {seed}");
                let at = next(&mut state) % 20_000;
                let part = overlay.read(&file, at, 5_000).unwrap();
                let from = seen.len().min(at as usize);
                assert_eq!(part, seen[from..seen.len().min(from + 5_000)], "seed {seed}");
            }
            overlay.crash(&file, 0, 0).unwrap();
            assert_eq!(content(&file), synced, "seed {seed}");
        }
    }

    #[test]
    fn a_torn_write_arrives_in_part() {
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::default();
        overlay.write(&file, 0, &[7; 3 * PAGE]).unwrap();
        assert_eq!(overlay.pages(), 3);
        assert_eq!(overlay.crash(&file, 1, 2).unwrap(), 2);
        assert_eq!(content(&file), vec![7; PAGE + 2 * SECTOR]);
        assert!(overlay.is_empty());
    }

    #[test]
    fn a_failed_sync_deceives_the_next_one() {
        let file = tempfile::tempfile().unwrap();
        let mut overlay = Overlay::default();
        overlay.write(&file, 0, b"told").unwrap();
        overlay.sync_failed();
        overlay.sync(&file).unwrap();
        assert_eq!(overlay.read(&file, 0, 10).unwrap(), b"told");
        overlay.crash(&file, 0, 0).unwrap();
        assert_ne!(content(&file), b"told");
    }
}
