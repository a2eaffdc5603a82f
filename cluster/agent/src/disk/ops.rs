//! What the layer does for each request: names go straight to the folder underneath, content stays
//! in memory until it is synced, and what is in trouble is refused.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use super::inodes::{Inode, Inodes, lock};
use super::trouble::{Fate, Operation, Troubles};

/// How many unsynced pages are kept in memory; more are written down, as a kernel short of memory
/// would: 512 MiB.
const PAGES_MAX: usize = 128 << 10;

/// A name in a folder: number, file type bits, name.
pub type Entry = (u64, u32, OsString);

/// The state that requests and orders share.
pub struct Layer {
    /// The files.
    pub inodes: Mutex<Inodes>,
    /// What is wrong.
    pub troubles: Mutex<Troubles>,
    /// The folder underneath.
    pub folder: PathBuf,
    /// Nothing is held back any more: the layer is being taken away.
    pub retired: AtomicBool,
    unsynced: AtomicUsize,
    pub(super) listings: Mutex<std::collections::BTreeMap<u64, Vec<Entry>>>,
    pub(super) next_listing: AtomicUsize,
}

/// What a request to change attributes asks for.
pub struct Change {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size, bytes.
    pub size: Option<u64>,
    /// Last read.
    pub atime: Option<TimeSpec>,
    /// Last written.
    pub mtime: Option<TimeSpec>,
}

impl Layer {
    /// A layer over an open folder.
    pub fn new(root: OwnedFd, folder: PathBuf) -> io::Result<Layer> {
        Ok(Layer {
            inodes: Mutex::new(Inodes::new(root)?),
            troubles: Mutex::default(),
            folder,
            retired: AtomicBool::new(false),
            unsynced: AtomicUsize::new(0),
            listings: Mutex::default(),
            next_listing: AtomicUsize::new(1),
        })
    }

    /// The file of a number.
    pub fn inode(&self, number: u64) -> io::Result<Arc<Inode>> {
        lock(&self.inodes).get(number)
    }

    /// Refuses what the file's troubles refuse.
    fn allow(&self, inode: &Inode, operation: Operation) -> io::Result<()> {
        self.allow_path(operation, || inode.path())
    }

    fn allow_path(&self, operation: Operation, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        let mut troubles = lock(&self.troubles);
        if troubles.is_empty() {
            return Ok(());
        }
        let error = match troubles.fate(operation, &self.relative(&path())) {
            Fate::Granted => return Ok(()),
            Fate::NoSpace => libc::ENOSPC,
            Fate::Failed => libc::EIO,
        };
        Err(io::Error::from_raw_os_error(error))
    }

    /// A path as troubles name it: `/` and what is under the folder.
    pub fn relative(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.folder).unwrap_or(path);
        format!("/{}", below.display())
    }

    /// How much longer a sync of this file takes, ms.
    pub fn delay_ms(&self, inode: &Inode) -> u64 {
        let mut troubles = lock(&self.troubles);
        if troubles.is_empty() { 0 } else { troubles.delay_ms(&self.relative(&inode.path())) }
    }

    /// Finds a name.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> io::Result<Arc<Inode>> {
        let parent = self.inode(parent)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(parent.fd(), name, flags, Mode::empty())?;
        lock(&self.inodes).insert(handle)
    }

    /// Makes a file, a pipe or a socket, owned by who asked.
    pub fn make(
        &self,
        (parent, name): (u64, &OsStr),
        mode: u32,
        (uid, gid): (u32, u32),
    ) -> io::Result<Arc<Inode>> {
        let folder = self.inode(parent)?;
        self.allow_path(Operation::Write, || folder.path().join(name))?;
        let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
        let permissions = Mode::from_bits_truncate(mode & 0o7777);
        match kind {
            SFlag::S_IFDIR => mkdirat(folder.fd(), name, permissions)?,
            SFlag::S_IFREG | SFlag::S_IFIFO | SFlag::S_IFSOCK => {
                mknodat(folder.fd(), name, kind, permissions, 0)?;
            }
            _ => return Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
        self.own((parent, name), (uid, gid))
    }

    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        (parent, name): (u64, &OsStr),
        target: &Path,
        owner: (u32, u32),
    ) -> io::Result<Arc<Inode>> {
        symlinkat(target, self.inode(parent)?.fd(), name)?;
        self.own((parent, name), owner)
    }

    fn own(&self, (parent, name): (u64, &OsStr), (uid, gid): (u32, u32)) -> io::Result<Arc<Inode>> {
        let folder = self.inode(parent)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(folder.fd(), name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        self.lookup(parent, name)
    }

    /// Gives a file one more name.
    pub fn link(&self, number: u64, parent: u64, name: &OsStr) -> io::Result<Arc<Inode>> {
        let (inode, folder) = (self.inode(number)?, self.inode(parent)?);
        let from = inode.through();
        linkat(AT_FDCWD, from.as_str(), folder.fd(), name, AtFlags::AT_SYMLINK_FOLLOW)?;
        self.lookup(parent, name)
    }

    /// Takes a name away.
    pub fn unlink(&self, parent: u64, name: &OsStr, folder: bool) -> io::Result<()> {
        let how = if folder { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
        Ok(unlinkat(self.inode(parent)?.fd(), name, how)?)
    }

    /// Changes attributes.
    pub fn change(&self, number: u64, change: &Change) -> io::Result<Arc<Inode>> {
        let inode = self.inode(number)?;
        let through = inode.through();
        if let Some(mode) = change.mode {
            fs::set_permissions(&through, Permissions::from_mode(mode & 0o7777))?;
        }
        if change.uid.is_some() || change.gid.is_some() {
            let (uid, gid) = (change.uid.map(Uid::from_raw), change.gid.map(Gid::from_raw));
            fchownat(inode.fd(), "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
        }
        if let Some(size) = change.size {
            if self.size(&inode)? < size {
                self.allow(&inode, Operation::Write)?;
            }
            inode.with(|overlay, below| overlay.truncate(below, size))?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let omit = TimeSpec::new(0, libc::UTIME_OMIT);
            let (atime, mtime) = (change.atime.unwrap_or(omit), change.mtime.unwrap_or(omit));
            let follow = UtimensatFlags::FollowSymlink;
            utimensat(AT_FDCWD, through.as_str(), &atime, &mtime, follow)?;
        }
        Ok(inode)
    }

    /// The size that its writers know.
    pub fn size(&self, inode: &Inode) -> io::Result<u64> {
        Ok(inode.overlay().size(inode.stat()?.st_size as u64))
    }

    /// Reads.
    pub fn read(&self, number: u64, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let inode = self.inode(number)?;
        self.allow(&inode, Operation::Read)?;
        inode.with(|overlay, below| overlay.read(below, offset, size))
    }

    /// Writes; `synced` is for files that were opened so.
    pub fn write(&self, number: u64, offset: u64, data: &[u8], synced: bool) -> io::Result<()> {
        let inode = self.inode(number)?;
        self.allow(&inode, Operation::Write)?;
        let (before, after) = inode.with(|overlay, below| {
            let before = overlay.pages();
            overlay.write(below, offset, data)?;
            Ok((before, overlay.pages()))
        })?;
        let held = self.unsynced.fetch_add(after - before, Ordering::Relaxed) + after - before;
        if synced {
            return self.sync_file(&inode);
        }
        if PAGES_MAX < held || self.retired.load(Ordering::Relaxed) {
            return self.write_down(&inode);
        }
        Ok(())
    }

    /// Syncs a file as its writer asked.
    pub fn sync_file(&self, inode: &Inode) -> io::Result<()> {
        if let Err(error) = self.allow(inode, Operation::Sync) {
            inode.overlay().sync_failed();
            return Err(error);
        }
        self.write_down(inode)
    }

    fn write_down(&self, inode: &Inode) -> io::Result<()> {
        let before = inode.overlay().pages();
        inode.sync()?;
        let written = before.saturating_sub(inode.overlay().pages());
        self.settle(written);
        Ok(())
    }

    /// Writes all content down.
    pub fn settle_all(&self) -> io::Result<()> {
        let all = lock(&self.inodes).all();
        all.iter().try_for_each(|inode| self.write_down(inode))
    }

    /// So many pages are held no more.
    pub fn settle(&self, pages: usize) {
        let fewer = |held: usize| Some(held.saturating_sub(pages));
        let _ = self.unsynced.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// Reserves space, which here is no more than growing.
    pub fn allocate(&self, number: u64, end: u64, keep_size: bool) -> io::Result<()> {
        let inode = self.inode(number)?;
        self.allow(&inode, Operation::Write)?;
        if !keep_size && self.size(&inode)? < end {
            inode.sync()?;
            inode.with(|overlay, below| overlay.truncate(below, end))?;
        }
        Ok(())
    }

    /// The names in a folder.
    pub fn list(&self, number: u64) -> io::Result<Vec<Entry>> {
        use std::os::unix::ffi::OsStrExt;
        let inode = self.inode(number)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(inode.fd(), ".", flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in folder.iter() {
            let entry = entry?;
            let kind = match entry.file_type() {
                Some(nix::dir::Type::Directory) => libc::S_IFDIR,
                Some(nix::dir::Type::Symlink) => libc::S_IFLNK,
                Some(nix::dir::Type::Fifo) => libc::S_IFIFO,
                Some(nix::dir::Type::Socket) => libc::S_IFSOCK,
                _ => libc::S_IFREG,
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            entries.push((entry.ino(), kind, name));
        }
        Ok(entries)
    }
}
