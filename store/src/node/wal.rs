//! The log on disk: one JSON record a line, appended and synced in groups.
//!
//! A crash can leave a torn last line; it was never acknowledged, and is cut off when read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::core::Record;
use crate::node::NodeError;

/// See the module's doc.
pub struct Wal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    fsync: bool,
}

impl Wal {
    /// Opens `wal.jsonl` in `dir` and reads what it has.
    pub fn open(dir: &Path, fsync: bool) -> Result<(Wal, Vec<Record>), NodeError> {
        let path = dir.join("wal.jsonl");
        let fail = |source| NodeError::Log { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(fail)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        let (records, good) = read(&file).map_err(fail)?;
        file.set_len(good).map_err(fail)?;
        file.seek(SeekFrom::Start(good)).map_err(fail)?;
        Ok((Wal { path: path.clone(), file, buffer: Vec::new(), fsync }, records))
    }

    /// Adds a record to the next group.
    pub fn push(&mut self, record: &Record) {
        serde_json::to_writer(&mut self.buffer, record).expect("records are plain data");
        self.buffer.push(b'\n');
    }

    /// Writes the group out; afterwards it is on disk, if syncing is on.
    pub fn sync(&mut self) -> Result<(), NodeError> {
        let written = self.file.write_all(&self.buffer).and_then(|()| match self.fsync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        self.buffer.clear();
        written.map_err(|source| NodeError::Log { path: self.path.clone(), source })
    }
}

/// The whole records, and how many bytes they take.
fn read(file: &File) -> io::Result<(Vec<Record>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut records, mut good, mut line) = (Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok((records, good));
        }
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) => return Ok((records, good)),
        }
        good += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_tail_is_cut_off_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let record = |term| Record::Term { shard: 0, term, voted: None };
        let (mut wal, _) = Wal::open(dir.path(), true).unwrap();
        wal.push(&record(1));
        wal.push(&record(2));
        wal.sync().unwrap();
        let path = dir.path().join("wal.jsonl");
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 4).unwrap();

        let (mut wal, records) = Wal::open(dir.path(), true).unwrap();
        assert_eq!(records, [record(1)]);
        wal.push(&record(3));
        wal.sync().unwrap();
        let (_, records) = Wal::open(dir.path(), true).unwrap();
        assert_eq!(records, [record(1), record(3)]);
    }
}
