//! What a crash, or age, does to a disk: unsynced writes lost, a tail torn, a bit flipped.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;

use super::inodes::{Inode, lock};
use super::ops::Layer;
use super::overlay::{PAGE, SECTOR};
use super::trouble::matches;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 16;
/// How often a place with content is sought in a file that is mostly empty.
const TRIES: u64 = 64;

/// What a crash took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Pages, whole or in part.
    pub pages: usize,
    /// Files that they were of.
    pub files: usize,
}

/// Numbers from a seed, each told by what it is for.
fn draw(seed: u64, about: (u64, &str)) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, about).hash(&mut hasher);
    hasher.finish()
}

/// Forgets all unsynced content. If `torn`, of each file the first pages and some sectors of the
/// next one arrive nevertheless. Gives what was lost, and whose content the kernel must forget.
pub fn crash(layer: &Layer, torn: Option<u64>) -> io::Result<(Lost, Vec<Arc<Inode>>)> {
    let (mut lost, mut changed) = (Lost::default(), Vec::new());
    for inode in lock(&layer.inodes).all() {
        let pages = inode.overlay().pages();
        if inode.overlay().is_empty() {
            continue;
        }
        let (keep, sectors) = torn.map_or((0, 0), |seed| {
            let keep = draw(seed, (inode.number, "pages")) % pages.max(1) as u64;
            let sectors = draw(seed, (inode.number, "sectors")) % (PAGE / SECTOR) as u64;
            (keep as usize, sectors as usize)
        });
        let taken = inode.with(|overlay, below| overlay.crash(below, keep, sectors))?;
        lost.pages += taken;
        lost.files += usize::from(taken != 0);
        layer.settle(pages);
        changed.push(inode);
    }
    Ok((lost, changed))
}

/// The files under the folder that are meant, with their sizes, by path.
fn files(layer: &Layer, meant: &[String]) -> io::Result<Vec<(PathBuf, u64)>> {
    let root = lock(&layer.inodes).get(super::inodes::ROOT)?.through();
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::from(root), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let (path, kind) = match entry {
                Ok(entry) => (entry.path(), entry.file_type()),
                Err(error) => return Err(error),
            };
            match kind {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => folders.push((path, depth + 1)),
                Ok(kind) if kind.is_file() && matches(meant, &path.to_string_lossy()) => {
                    // One that was removed meanwhile is not meant.
                    let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    found.push((path, size));
                }
                _ => {}
            }
        }
    }
    found.retain(|(path, size)| *size != 0 && !path.ends_with(super::trouble::PROBE));
    found.sort();
    Ok(found)
}

fn nothing_matches(meant: &[String]) -> io::Error {
    let what = if meant.is_empty() { "anything".to_owned() } else { meant.join(" or ") };
    io::Error::other(format!("no file with content matches {what}"))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A path without the descriptor that led to it.
fn shown(path: &Path) -> String {
    path.iter().skip(5).collect::<PathBuf>().display().to_string()
}

/// Flips one bit that is on disk, in a place with content; says which, and whose content the
/// kernel must forget.
pub fn flip(layer: &Layer, meant: &[String], seed: u64) -> io::Result<String> {
    let files = files(layer, meant)?;
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    if total == 0 {
        return Err(nothing_matches(meant));
    }
    let mut place = (0, 0, 0);
    for attempt in 0..TRIES {
        // Every byte is as likely.
        let mut at = draw(seed, (attempt, "byte")) % total;
        let number = files.iter().position(|(_, size)| match at.checked_sub(*size) {
            Some(left) => {
                at = left;
                false
            }
            None => true,
        });
        let number = number.unwrap_or(0);
        let mut byte = [0];
        open(&files[number].0)?.read_at(&mut byte, at)?;
        place = (number, at, byte[0]);
        if byte[0] != 0 {
            break;
        }
    }
    let (number, at, byte) = place;
    let flipped = byte ^ (1 << (draw(seed, (at, "bit")) % 8));
    let path = &files[number].0;
    let file = open(path)?;
    file.write_all_at(&[flipped], at)?;
    let mut found = [0];
    file.read_exact_at(&mut found, at)?;
    if found != [flipped] {
        return Err(io::Error::other(format!("{} did not take a flipped bit", shown(path))));
    }
    Ok(format!("{} at byte {at}: {byte:#04x} is {flipped:#04x} now", shown(path)))
}

/// Takes the last `bytes` of content from the file among those meant that was written last: it is
/// cut, or, where empty space was reserved behind its content, emptied. Says what it did.
pub fn tear(layer: &Layer, meant: &[String], bytes: u64) -> io::Result<String> {
    let written = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let files = files(layer, meant)?;
    let last = files.into_iter().max_by_key(|(path, _)| written(path));
    let (path, size) = last.ok_or_else(|| nothing_matches(meant))?;
    let file = open(&path)?;
    let end = content_end(&file, size)?;
    let from = end.saturating_sub(bytes);
    if end == 0 {
        return Err(io::Error::from_raw_os_error(libc::ENODATA));
    }
    if end == size {
        file.set_len(from)?;
    } else {
        file.write_all_at(&vec![0; (end - from) as usize], from)?;
    }
    let how = if end == size { "cut" } else { "emptied" };
    Ok(format!("{}: {} bytes before byte {end} were {how}", shown(&path), end - from))
}

/// Where content ends and reserved space begins.
fn content_end(file: &File, size: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = size;
    while end != 0 {
        let start = (end - 1) / BLOCK * BLOCK;
        let mut block = vec![0; (end - start) as usize];
        file.read_exact_at(&mut block, start)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
