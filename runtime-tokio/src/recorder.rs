//! Writes down every step of a machine, without its secrets.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use selvedge_core::{
    Time,
    record::{Recorded, Redactor},
};
use serde::Serialize;

/// A recording of one machine: JSON lines, the first one says what was recorded, each other one is
/// a step: `{"at": micros, "input": …}`, or `{"at": micros}` for a bare tick.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    redactor: Redactor,
}

impl Recorder {
    /// Starts a recording at `path`, readable by its owner alone, with `head` as its first line.
    ///
    /// # Errors
    ///
    /// Where the file is there already, or cannot be made or written.
    pub fn create(path: &Path, head: &impl Serialize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, head)?;
        file.write_all(b"\n")?;
        Ok(Self {
            file,
            redactor: Redactor::default(),
        })
    }

    /// Writes down a step with an input.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn input(&mut self, now: Time, input: &impl Recorded) -> io::Result<()> {
        let line = self.redactor.line(input)?;
        writeln!(self.file, r#"{{"at":{},"input":{line}}}"#, now.as_micros())?;
        self.file.flush()
    }

    /// Writes down a bare tick.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn tick(&mut self, now: Time) -> io::Result<()> {
        writeln!(self.file, r#"{{"at":{}}}"#, now.as_micros())?;
        self.file.flush()
    }
}
