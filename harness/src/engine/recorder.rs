//! Writes the three streams: a bounded channel to a thread with buffered files.
//!
//! A line handed over is on its way to disk within 100 ms, whatever becomes of the harness
//! afterwards; a full channel holds the runner back rather than losing a line.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use history::{Event, FaultEvent, TelemetryEvent};

/// Lines that may wait.
const QUEUE: usize = 16_384;
/// How long a line may stay in a buffer.
const FLUSH: Duration = Duration::from_millis(100);
/// Size of a file's buffer, bytes.
const BUFFER: usize = 256 << 10;

/// A line of one of the streams.
pub enum Line {
    /// `history.jsonl`.
    Event(Event),
    /// `faults.jsonl`.
    Fault(FaultEvent),
    /// `telemetry.jsonl`.
    Telemetry(TelemetryEvent),
}

/// See the module's doc.
pub struct Recorder {
    lines: Option<SyncSender<Line>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Recorder {
    /// Makes the three files in `folder`, which must not have them.
    pub fn create(folder: &Path) -> io::Result<Recorder> {
        let file = |name: &str| {
            File::create_new(folder.join(name)).map(|file| BufWriter::with_capacity(BUFFER, file))
        };
        let files = [file("history.jsonl")?, file("faults.jsonl")?, file("telemetry.jsonl")?];
        let (lines, receiver) = sync_channel(QUEUE);
        let builder = thread::Builder::new().name("recorder".to_owned());
        let thread = builder.spawn(move || write(files, &receiver))?;
        Ok(Recorder { lines: Some(lines), thread: Some(thread) })
    }

    /// Accepts a line. An error means that the disk failed; the run cannot go on.
    pub fn record(&self, line: Line) -> io::Result<()> {
        let sent = self.lines.as_ref().map(|lines| lines.send(line).is_ok());
        if sent == Some(true) {
            return Ok(());
        }
        Err(io::Error::other("the recorder has stopped: is the disk full?"))
    }

    /// Writes everything out and syncs.
    pub fn finish(mut self) -> io::Result<()> {
        self.lines = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(io::Error::other("the recorder panicked")),
        }
    }
}

fn write(mut files: [BufWriter<File>; 3], lines: &Receiver<Line>) -> io::Result<()> {
    let mut flushed = Instant::now();
    let mut text: Vec<u8> = Vec::with_capacity(1 << 10);
    loop {
        let left = FLUSH.saturating_sub(flushed.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                text.clear();
                let place = match &line {
                    Line::Event(event) => {
                        event.write_line(&mut text);
                        0
                    }
                    Line::Fault(event) => json_line(&mut text, event, 1)?,
                    Line::Telemetry(event) => json_line(&mut text, event, 2)?,
                };
                files[place].write_all(&text)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if FLUSH <= flushed.elapsed() {
            for file in &mut files {
                file.flush()?;
            }
            flushed = Instant::now();
        }
    }
    for file in files {
        file.into_inner()?.sync_all()?;
    }
    Ok(())
}

fn json_line<T: serde::Serialize>(
    text: &mut Vec<u8>,
    value: &T,
    place: usize,
) -> io::Result<usize> {
    serde_json::to_writer(&mut *text, value)?;
    text.push(b'\n');
    Ok(place)
}
