//! Writes down every step of a machine, without its secrets.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::{self, JoinHandle},
};

use selvedge_core::{
    Time,
    record::{Recorded, Redactor},
};
use serde::Serialize;

/// How many lines may wait to be written. A machine that is faster than its recording waits then: what a
/// recording leaves out would make it worthless.
const LINES_MAX: usize = 1_024;

/// A recording of one machine: JSON lines, the first one says what was recorded. A step is one of
/// `{"at": micros, "input": …}`, or `{"at": micros}` for a bare tick; where something came of it,
/// `{"out": […]}` follows, as of [`digests`](selvedge_core::record::digests); `{"end": true}` is the last line
/// unless the process was killed. What a step begins with is
/// written before the machine is stepped, so that a recording of a panic has what led to it.
///
/// Secrets are looked for and lines are written by a thread of its own. Dropped, it waits until
/// everything is written.
#[derive(Debug)]
pub struct Recorder<I, O> {
    /// `None` once the recording has ended.
    lines: Option<SyncSender<Line<I, O>>>,
    writer: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
enum Line<I, O> {
    Input(Time, I),
    Tick(Time),
    Outputs(Vec<O>),
}

impl<I, O> Recorder<I, O>
where
    I: Recorded + Send + 'static,
    O: Serialize + Send + 'static,
{
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
        file.flush()?;
        let (lines, written) = sync_channel(LINES_MAX);
        let writer = thread::Builder::new().name("recorder".to_owned());
        let writer = writer.spawn(move || write(file, &written))?;
        Ok(Self {
            lines: Some(lines),
            writer: Some(writer),
        })
    }

    /// Writes down a step with an input.
    ///
    /// # Errors
    ///
    /// Where the file could not be written; once for what came before.
    pub fn input(&mut self, now: Time, input: I) -> io::Result<()> {
        self.line(Line::Input(now, input))
    }

    /// Writes down a bare tick.
    ///
    /// # Errors
    ///
    /// As of [`input`](Self::input).
    pub fn tick(&mut self, now: Time) -> io::Result<()> {
        self.line(Line::Tick(now))
    }

    /// Writes down what came of the step.
    ///
    /// # Errors
    ///
    /// As of [`input`](Self::input).
    pub fn outputs(&mut self, outputs: Vec<O>) -> io::Result<()> {
        match outputs.is_empty() {
            true => Ok(()),
            false => self.line(Line::Outputs(outputs)),
        }
    }

    fn line(&mut self, line: Line<I, O>) -> io::Result<()> {
        if let Some(lines) = &self.lines
            && lines.send(line).is_ok()
        {
            return Ok(());
        }
        self.lines = None;
        let written = self.writer.take().map(JoinHandle::join);
        Err(match written {
            Some(Ok(Err(error))) => error,
            _ => io::Error::other("the recording has ended"),
        })
    }
}

impl<I, O> Drop for Recorder<I, O> {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // An error of the last lines has nobody to go to: the machine is done.
            let _ = writer.join();
        }
    }
}

/// Writes what comes; what is written is on its way to the disk whenever nothing more waits.
fn write<I: Recorded, O: Serialize>(
    mut file: BufWriter<File>,
    lines: &Receiver<Line<I, O>>,
) -> io::Result<()> {
    let mut redactor = Redactor::default();
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                file.flush()?;
                match lines.recv() {
                    Ok(line) => line,
                    Err(_) => break,
                }
            }
        };
        match line {
            Line::Input(at, input) => {
                let line = redactor.line(&input)?;
                writeln!(file, r#"{{"at":{},"input":{line}}}"#, at.as_micros())?;
            }
            Line::Tick(at) => writeln!(file, r#"{{"at":{}}}"#, at.as_micros())?,
            Line::Outputs(outputs) => {
                let told = redactor.digests(&outputs);
                serde_json::to_writer(&mut file, &Outputs { out: told })?;
                file.write_all(b"\n")?;
            }
        }
    }
    file.write_all(b"{\"end\":true}\n")?;
    file.flush()
}

#[derive(Serialize)]
struct Outputs {
    out: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Word(String);

    impl Recorded for Word {
        fn secrets(&self, found: &mut dyn FnMut(&str)) {
            if self.0.starts_with("token") {
                found(&self.0);
            }
        }
    }

    #[test]
    fn a_recording_has_each_step_with_what_came_of_it_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.jsonl");
        let mut recorder = Recorder::create(&path, &"head").unwrap();
        let at = Time::from_millis(1);
        for _ in 0..2 {
            recorder.input(at, Word("token of ann".into())).unwrap();
            recorder.outputs(vec![Word("token of ann".into())]).unwrap();
        }
        recorder.tick(at).unwrap();
        recorder.outputs(Vec::new()).unwrap();
        drop(recorder);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("token of"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.first(), Some(&r#""head""#));
        assert_eq!(lines[5..], [r#"{"at":1000}"#, r#"{"end":true}"#]);
        // What a replay says that knows the placeholder only.
        let step: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        let placeholder = step["input"].as_str().unwrap().to_owned();
        let told = selvedge_core::record::digests(&[Word(placeholder)], &mut |_| None);
        let told = serde_json::to_string(&Outputs { out: told }).unwrap();
        assert_eq!(lines[2], told);
        assert_eq!(lines[2], lines[4]);
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_and_a_full_disk_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.jsonl");
        fs::write(&path, "kept").unwrap();
        assert!(Recorder::<Word, Word>::create(&path, &"head").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (lines, written) = sync_channel::<Line<Word, Word>>(LINES_MAX);
        let writer = thread::spawn(move || write(BufWriter::new(full), &written));
        let mut recorder = Recorder {
            lines: Some(lines),
            writer: Some(writer),
        };
        let error = loop {
            if let Err(error) = recorder.tick(Time::from_millis(1)) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(
            recorder.tick(Time::from_millis(1)).is_err(),
            "also from then on"
        );
    }
}
