//! The files that the kernel knows of, by numbers of our own, each held open by a descriptor
//! without a path: a rename moves nothing here, and a file that was removed lives as long as it is
//! used.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::stat::{FileStat, fstat};

use super::overlay::Overlay;

/// FUSE's number of the root.
pub const ROOT: u64 = 1;

/// A file, folder or link.
pub struct Inode {
    /// Its number.
    pub number: u64,
    below: Below,
    handle: OwnedFd,
    overlay: Mutex<Overlay>,
    /// Opened at the first need, for reading and writing.
    content: Mutex<Option<Arc<File>>>,
}

/// Locks, whatever became of the thread that held it before: every change is complete in itself.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inode {
    /// For calls that take a folder and a name.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// A path that leads to it, whatever it is called now.
    pub fn through(&self) -> String {
        format!("/proc/self/fd/{}", self.handle.as_raw_fd())
    }

    /// Its present path in the folder underneath.
    pub fn path(&self) -> PathBuf {
        fs::read_link(self.through()).unwrap_or_default()
    }

    /// What the file system underneath knows of it.
    pub fn stat(&self) -> io::Result<FileStat> {
        Ok(fstat(self.fd())?)
    }

    /// Its content underneath.
    pub fn content(&self) -> io::Result<Arc<File>> {
        let mut content = lock(&self.content);
        if let Some(file) = &*content {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.through())?);
        *content = Some(Arc::clone(&file));
        Ok(file)
    }

    /// What its disk does not hold yet.
    pub fn overlay(&self) -> MutexGuard<'_, Overlay> {
        lock(&self.overlay)
    }

    /// Does something with its content and what the disk does not hold of it.
    pub fn with<R>(&self, act: impl FnOnce(&mut Overlay, &File) -> io::Result<R>) -> io::Result<R> {
        let content = self.content()?;
        act(&mut self.overlay(), &content)
    }

    /// Writes down what the disk does not hold, if there is anything.
    pub fn sync(&self) -> io::Result<()> {
        if self.overlay().is_empty() {
            return Ok(());
        }
        self.with(|overlay, below| overlay.sync(below))
    }
}

/// Device and number of a file underneath. Over an overlay of two file systems a number alone may
/// be that of a folder and of a file.
type Below = (u64, u64);

/// See the module's doc.
pub struct Inodes {
    all: BTreeMap<u64, (Arc<Inode>, u64)>,
    numbers: BTreeMap<Below, u64>,
    next: u64,
}

impl Inodes {
    /// With the root alone.
    pub fn new(root: OwnedFd) -> io::Result<Inodes> {
        let mut inodes = Inodes { all: BTreeMap::new(), numbers: BTreeMap::new(), next: ROOT };
        inodes.insert(root)?;
        Ok(inodes)
    }

    /// One more look-up of a file.
    pub fn insert(&mut self, handle: OwnedFd) -> io::Result<Arc<Inode>> {
        let stat = fstat(&handle)?;
        let below = (stat.st_dev, stat.st_ino);
        let number = *self.numbers.entry(below).or_insert(self.next);
        self.next = self.next.max(number + 1);
        let new = || {
            let (overlay, content) = (Mutex::default(), Mutex::default());
            (Arc::new(Inode { number, below, handle, overlay, content }), 0)
        };
        let (inode, lookups) = self.all.entry(number).or_insert_with(new);
        *lookups += 1;
        Ok(Arc::clone(inode))
    }

    /// The file of a number.
    pub fn get(&self, number: u64) -> io::Result<Arc<Inode>> {
        let found = self.all.get(&number).map(|(inode, _)| Arc::clone(inode));
        found.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ESTALE))
    }

    /// The kernel forgets a file. One with content that the disk does not hold is kept, for it may
    /// be looked up again.
    pub fn forget(&mut self, number: u64, lookups: u64) {
        if number == ROOT {
            return;
        }
        if let Some((inode, left)) = self.all.get_mut(&number) {
            *left = left.saturating_sub(lookups);
            let removed = || inode.stat().is_ok_and(|stat| stat.st_nlink == 0);
            if *left == 0 && (inode.overlay().is_empty() || removed()) {
                // The descriptor goes last: until then nobody else can have the number below.
                self.numbers.remove(&inode.below);
                self.all.remove(&number);
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Inode>> {
        self.all.values().map(|(inode, _)| Arc::clone(inode)).collect()
    }
}
