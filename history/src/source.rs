//! Files as bytes: packed or plain by their first bytes, bounded, and never anything but a file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// How much of a file is read at most. Small packed files can hold more than memory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, or of one operation of an array or of EDN.
    pub line: u64,
    /// Bytes of the whole text of a packed file; of a plain one the disk is the bound.
    pub size: u64,
}

impl Limits {
    /// Elements of lists kept at most: those that are no beginning of one another. Recorded
    /// histories are far from it; a small packed file of lists that all differ is not.
    pub fn elements(&self) -> u64 {
        self.size / 16
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line: 16 << 20, size: 1 << 30 }
    }
}

/// A number of bytes as the flags take it: `512K`, `64M`, `8G`, or a plain number.
///
/// # Errors
/// If it is none.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| 0 < *bytes)
        .ok_or_else(|| format!("{text} is no size: try 64M or 8G"))
}

/// A number of bytes in words.
pub fn in_words(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// What is wrong with a path as a file to read, if anything: pipes, devices and folders would be
/// read for ever, or not at all. A link counts as what it leads to.
///
/// # Errors
/// Why it is not to be read; also if there is nothing.
pub fn regular(path: &Path) -> io::Result<()> {
    told(&fs::metadata(path)?)
}

/// The same of a file in a run's folder, where a link may lead anywhere and is refused too.
///
/// # Errors
/// Why it is not to be read; also if there is nothing.
pub fn regular_inside(path: &Path) -> io::Result<()> {
    told(&fs::symlink_metadata(path)?)
}

fn told(found: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a folder",
        _ if kind.is_symlink() => "a link",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(format!("{what}, not a file: it is not read")))
}

/// Opens a file, unpacking it if its first bytes say that it is packed.
///
/// # Errors
/// If there is none, or something else than a file.
pub fn open(path: &Path, limits: &Limits) -> io::Result<Box<dyn BufRead>> {
    regular(path)?;
    unpack(File::open(path)?, limits)
}

/// Opens a file of a run's folder: see [`regular_inside`].
///
/// # Errors
/// If there is none, or something else than a file.
pub fn open_inside(path: &Path, limits: &Limits) -> io::Result<Box<dyn BufRead>> {
    regular_inside(path)?;
    unpack(File::open(path)?, limits)
}

fn unpack(mut file: File, limits: &Limits) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut head)?;
    let kind = head.clone();
    let whole = Cursor::new(head).chain(file);
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => bounded(flate2::read::MultiGzDecoder::new(whole), limits),
        [0x28, 0xb5, 0x2f, 0xfd] => bounded(zstd::stream::read::Decoder::new(whole)?, limits),
        // A frame that is skipped, as some packers put before the first.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            bounded(zstd::stream::read::Decoder::new(whole)?, limits)
        }
        _ => Box::new(BufReader::with_capacity(1 << 18, whole)),
    })
}

fn bounded(reader: impl Read + 'static, limits: &Limits) -> Box<dyn BufRead> {
    let bounded = Bounded { reader, left: limits.size, size: limits.size };
    Box::new(BufReader::with_capacity(1 << 18, bounded))
}

/// Ends in an error where the text is longer than it may be.
struct Bounded<R> {
    reader: R,
    left: u64,
    size: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // Exactly as long as allowed is allowed.
            let mut one = [0];
            return match self.reader.read(&mut one)? {
                0 => Ok(0),
                _ => Err(io::Error::other(format!(
                    "unpacked, the text is longer than {}: --max-size raises that limit",
                    in_words(self.size)
                ))),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.reader.read(&mut buffer[..most])?;
        self.left -= got as u64;
        Ok(got)
    }
}

/// The words for a line that is too long.
pub fn too_long(limits: &Limits) -> String {
    format!("longer than {}: --max-line raises that limit", in_words(limits.line))
}
