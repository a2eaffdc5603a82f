//! The kernel's side of the layer: requests of FUSE, answered by [`super::ops`].

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::fcntl::{readlinkat, renameat2};
use nix::libc;
use nix::sys::stat::FileStat;
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;

use super::inodes::{Inode, lock};
use super::ops::{Change, Layer};

/// How long the kernel may remember names and attributes: all changes come through it, and a crash
/// tells it to forget.
const TTL: Duration = Duration::from_secs(1);
/// Marks a handle whose writes are synced.
const SYNCED: u64 = 1 << 63;

/// See the module's doc.
pub struct Mounted(pub Arc<Layer>);

fn time(seconds: i64, nanos: i64) -> SystemTime {
    let since = Duration::new(seconds.unsigned_abs(), nanos as u32);
    if seconds < 0 { UNIX_EPOCH } else { UNIX_EPOCH + since }
}

fn kind(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn attributes(inode: &Inode, stat: &FileStat) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode.number),
        size: inode.overlay().size(stat.st_size as u64),
        blocks: stat.st_blocks as u64,
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: kind(stat.st_mode),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: 4096,
        flags: 0,
    }
}

fn entry(found: io::Result<Arc<Inode>>, reply: ReplyEntry) {
    let found = found.and_then(|inode| inode.stat().map(|stat| attributes(&inode, &stat)));
    match found {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error.into()),
    }
}

fn attr(found: io::Result<Arc<Inode>>, reply: ReplyAttr) {
    let found = found.and_then(|inode| inode.stat().map(|stat| attributes(&inode, &stat)));
    match found {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(error) => reply.error(error.into()),
    }
}

fn empty(done: io::Result<()>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error.into()),
    }
}

fn spec(time: Option<TimeOrNow>) -> Option<TimeSpec> {
    match time? {
        TimeOrNow::Now => Some(TimeSpec::new(0, libc::UTIME_NOW)),
        TimeOrNow::SpecificTime(at) => {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(TimeSpec::from_duration(since))
        }
    }
}

fn opened(flags: i32) -> FileHandle {
    FileHandle(if flags & (libc::O_SYNC | libc::O_DSYNC) == 0 { 0 } else { SYNCED })
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.0.lookup(parent.0, name), reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        lock(&self.0.inodes).forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(self.0.inode(ino.0), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, uid, gid, size, atime: spec(atime), mtime: spec(mtime) };
        attr(self.0.change(ino.0, &change), reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self.0.inode(ino.0).and_then(|inode| Ok(readlinkat(inode.fd(), "")?));
        match target {
            Ok(target) => reply.data(target.as_encoded_bytes()),
            Err(error) => reply.error(error.into()),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let owner = (request.uid(), request.gid());
        entry(self.0.make((parent.0, name), mode & !umask, owner), reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let (mode, owner) = (mode & !umask | libc::S_IFDIR, (request.uid(), request.gid()));
        entry(self.0.make((parent.0, name), mode, owner), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.unlink(parent.0, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.unlink(parent.0, name, true), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        entry(self.0.symlink((parent.0, name), target, (request.uid(), request.gid())), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = nix::fcntl::RenameFlags::from_bits_truncate(flags.bits());
        let done = self.0.inode(parent.0).and_then(|from| {
            let to = self.0.inode(new_parent.0)?;
            Ok(renameat2(from.fd(), name, to.fd(), new_name, flags)?)
        });
        empty(done, reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.0.link(ino.0, parent.0, name), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.0.inode(ino.0).and_then(|inode| inode.content()) {
            // Past the kernel's cache: a crash must not leave what it forgot to be read.
            Ok(_) => reply.opened(opened(flags.0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error.into()),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (mode, owner) =
            (mode & !umask & 0o7777 | libc::S_IFREG, (request.uid(), request.gid()));
        let made = match self.0.make((parent.0, name), mode, owner) {
            // Another was faster, which is no error unless it was asked to be one.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && flags & libc::O_EXCL == 0 =>
            {
                self.0.lookup(parent.0, name)
            }
            made => made,
        };
        let made = made.and_then(|inode| Ok(attributes(&inode, &inode.stat()?)));
        let direct = FopenFlags::FOPEN_DIRECT_IO;
        match made {
            Ok(made) => reply.created(&TTL, &made, Generation(0), opened(flags), direct),
            Err(error) => reply.error(error.into()),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error.into()),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(ino.0, offset, data, handle.0 & SYNCED != 0) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error.into()),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file writes nothing down.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let inode = match self.0.inode(ino.0) {
            Ok(inode) => inode,
            Err(error) => return reply.error(error.into()),
        };
        let delay = self.0.delay_ms(&inode);
        if delay == 0 {
            return empty(self.0.sync_file(&inode), reply);
        }
        // A thread of its own, so that nobody else waits.
        let layer = Arc::clone(&self.0);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(delay));
            empty(layer.sync_file(&inode), reply);
        });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.list(ino.0) {
            Ok(entries) => {
                let number = self.0.next_listing.fetch_add(1, Ordering::Relaxed) as u64;
                lock(&self.0.listings).insert(number, entries);
                reply.opened(FileHandle(number), FopenFlags::empty());
            }
            Err(error) => reply.error(error.into()),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listings = lock(&self.0.listings);
        let entries = listings.get(&handle.0).map_or(&[][..], Vec::as_slice);
        for (place, (ino, mode, name)) in entries.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*ino), place as u64 + 1, kind(*mode), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        lock(&self.0.listings).remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Names go straight to the folder underneath.
        reply.ok();
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let found = self.0.inode(ino.0).and_then(|inode| Ok(fstatvfs(inode.fd())?));
        match found {
            Ok(found) => reply.statfs(
                found.blocks(),
                found.blocks_free(),
                found.blocks_available(),
                found.files(),
                found.files_free(),
                found.block_size() as u32,
                found.name_max() as u32,
                found.fragment_size() as u32,
            ),
            Err(error) => reply.error(error.into()),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let keep = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        empty(self.0.allocate(ino.0, offset.saturating_add(length), keep), reply);
    }
}
