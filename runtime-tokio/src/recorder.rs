//! Writes down every step of a machine, without its secrets.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    mem,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use selvedge_core::{
    Machine, Secret, Snapshot, Time,
    record::{Recorded, Redactor},
};
use serde::Serialize;

/// How many lines are handed to the writer at once, and how many times so many may wait for it. A machine
/// that is faster than its recording waits then: what a recording leaves out would make it worthless.
const LINES_AT_ONCE: usize = 64;
const WAITING_MAX: usize = 16;

/// How much is written to a file at once.
const WRITE_BYTES: usize = 64 << 10;

/// Where recordings are made, and how much of each is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// The folder of the recordings.
    pub dir: PathBuf,
    /// How long a segment may grow behind its first line before the next one begins; by default
    /// [`SEGMENT_BYTES`]. What waits to be written then, some 1,000 lines at most, still goes into the old one.
    /// Each begins with a snapshot of the machine, so small ones are mostly snapshots.
    pub segment_bytes: u64,
    /// How many segments of a recording are kept, by default [`SEGMENTS`]; for one more, the oldest is
    /// deleted.
    pub segments: u64,
    /// Whether what people and agents have written is replaced by filler, so that the recording can be
    /// shown to others; by default not. See [`Redactor::filling`].
    pub filler: bool,
    /// What the process knows and its machines do not, such as the keys of its accounts: it is in no line
    /// either, should somebody have put it into a message.
    pub secrets: Vec<Secret>,
}

/// How long a segment may grow where nobody says otherwise: 64 MiB.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// How many segments of a recording are kept where nobody says otherwise: with segments of 64 MiB each
/// machine takes 1 GiB at most.
pub const SEGMENTS: u64 = 16;

impl From<PathBuf> for RecordOptions {
    /// In that folder, with the defaults for the rest.
    fn from(dir: PathBuf) -> Self {
        Self {
            dir,
            segment_bytes: SEGMENT_BYTES,
            segments: SEGMENTS,
            filler: false,
            secrets: Vec::new(),
        }
    }
}

/// A recording of one machine: a row of files, `NAME.000000.jsonl` and so on, each of which can be replayed
/// by itself; the oldest are deleted.
///
/// Each is JSON lines. The first one says what was recorded, and the whole `state` of the machine before the
/// first step: with its configuration, its numbers to draw and what it was given. A step is one of
/// `{"at": micros, "input": …}`, or `{"at": micros}` for a bare tick; where something came of it,
/// `{"out": […]}` follows, as of [`digests`](selvedge_core::record::digests). The last line is
/// `{"next": number}` where the recording goes on in another file, or else `{"end": true}`, unless the
/// process was killed or the file could not be written: on a full disk the recording ends, is said to in the
/// log, and the machine goes on without it. What a step begins with is noted before the machine is stepped,
/// so that a recording of a panic has what led to it.
///
/// Secrets are looked for and lines are written by a thread of its own; of the machine it is given a clone
/// for each file. Dropped, it waits until everything is written.
pub struct Recorder<M: Machine> {
    /// `None` once the recording has ended.
    lines: Option<SyncSender<Vec<Line<M>>>>,
    /// What is handed over next.
    next: Vec<Line<M>>,
    /// The segment has grown long enough: the next one is to begin.
    full: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

/// What was recorded is not shown.
impl<M: Machine> fmt::Debug for Recorder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

enum Line<M: Machine> {
    State(Box<M>),
    Input(Time, M::Input),
    Tick(Time),
    Outputs(Vec<M::Output>),
}

impl<M> Recorder<M>
where
    M: Machine + Snapshot + Clone + Send + 'static,
    M::Input: Recorded + Send + 'static,
    M::Output: Serialize + Send + 'static,
{
    /// Starts a recording of that name, readable by its owner alone. `kind` is what is recorded, in a word.
    ///
    /// # Errors
    ///
    /// Where the file is there already, or cannot be made or written.
    pub fn create(
        options: &RecordOptions,
        name: &str,
        kind: &'static str,
        machine: &M,
    ) -> io::Result<Self> {
        let mut redactor = Redactor::default().knowing(&options.secrets);
        if options.filler {
            redactor = redactor.filling();
        }
        let mut row = Row {
            options: options.clone(),
            name: name.to_owned(),
            kind,
            number: 0,
            full: Arc::default(),
            segment: None,
            redactor,
        };
        row.begin(machine)?;
        row.flush()?;
        Self::start(row)
    }

    fn start(row: Row) -> io::Result<Self> {
        let full = Arc::clone(&row.full);
        let (lines, written) = sync_channel(WAITING_MAX);
        let writer = thread::Builder::new().name("recorder".to_owned());
        let writer = writer.spawn(move || {
            let name = row.name.clone();
            if let Err(error) = write(row, &written) {
                tracing::error!(
                    name,
                    %error,
                    "the recording ends, since it cannot be written; make room and start again for another one"
                );
            }
        })?;
        Ok(Self {
            lines: Some(lines),
            next: Vec::new(),
            full,
            writer: Some(writer),
        })
    }

    /// Notes that `machine` is about to take a step, with an input or as a bare tick.
    pub fn before(&mut self, now: Time, input: Option<M::Input>, machine: &M) {
        if self.full.swap(false, Ordering::Relaxed) {
            self.next.push(Line::State(Box::new(machine.clone())));
        }
        self.next.push(match input {
            Some(input) => Line::Input(now, input),
            None => Line::Tick(now),
        });
    }

    /// Notes what came of the step.
    pub fn after(&mut self, outputs: Vec<M::Output>) {
        if !outputs.is_empty() {
            self.next.push(Line::Outputs(outputs));
        }
        if self.next.len() >= LINES_AT_ONCE {
            self.settle();
        }
    }
}

impl<M: Machine> Recorder<M> {
    /// Has what was noted written down; to be called whenever there may be nothing more for a while.
    pub fn settle(&mut self) {
        let next = mem::take(&mut self.next);
        if let Some(lines) = &self.lines
            && !next.is_empty()
            && lines.send(next).is_err()
        {
            // It has said why.
            self.lines = None;
        }
    }

    /// Whether nothing is written down any more, since it could not be.
    pub const fn has_ended(&self) -> bool {
        self.lines.is_none()
    }
}

impl<M: Machine> Drop for Recorder<M> {
    fn drop(&mut self) {
        self.settle();
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // A bug in it has been said by its panic.
            let _ = writer.join();
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files of a recording.
#[derive(Debug)]
struct Row {
    options: RecordOptions,
    name: String,
    kind: &'static str,
    /// Of the segment.
    number: u64,
    full: Arc<AtomicBool>,
    segment: Option<Segment>,
    redactor: Redactor,
}

/// A file that is being written.
#[derive(Debug)]
struct Segment {
    file: BufWriter<File>,
    /// Behind its head.
    bytes: u64,
}

impl Row {
    fn path(&self, number: u64) -> PathBuf {
        let Self { options, name, .. } = self;
        options.dir.join(format!("{name}.{number:06}.jsonl"))
    }

    /// Begins a segment with the machine as it is, and deletes the one that is one too many for it.
    fn begin(&mut self, machine: &impl Snapshot) -> io::Result<()> {
        let state = self.redactor.state(machine).map_err(io::Error::other)?;
        let (kind, number) = (self.kind, self.number);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(self.path(number))?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
        writeln!(
            file,
            r#"{{"machine":"{kind}","version":"{VERSION}","segment":{number},"state":{state}}}"#
        )?;
        self.segment = Some(Segment { file, bytes: 0 });
        if let Some(old) = number.checked_sub(self.options.segments.max(1)) {
            match fs::remove_file(self.path(old)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes over to the next segment.
    fn go_on(&mut self, machine: &impl Snapshot) -> io::Result<()> {
        self.number += 1;
        let number = self.number;
        self.line(format_args!(r#"{{"next":{number}}}"#))?;
        self.flush()?;
        self.begin(machine)
    }

    fn line(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let line = format!("{line}\n");
        segment.file.write_all(line.as_bytes())?;
        let before = segment.bytes;
        segment.bytes += line.len() as u64;
        // Once for a segment: what waits to be written is not counted.
        let most = self.options.segment_bytes;
        if before < most && segment.bytes >= most {
            self.full.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write<M>(&mut self, line: Line<M>) -> io::Result<()>
    where
        M: Machine + Snapshot,
        M::Input: Recorded,
        M::Output: Serialize,
    {
        match line {
            Line::State(machine) => self.go_on(&*machine),
            Line::Input(at, input) => {
                let (at, input) = (at.as_micros(), self.redactor.line(&input)?);
                self.line(format_args!(r#"{{"at":{at},"input":{input}}}"#))
            }
            Line::Tick(at) => self.line(format_args!(r#"{{"at":{}}}"#, at.as_micros())),
            Line::Outputs(outputs) => {
                let out = self.redactor.digests(&outputs);
                let line = serde_json::to_string(&Outputs { out })?;
                self.line(format_args!("{line}"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.segment.as_mut().map_or(Ok(()), |it| it.file.flush())
    }
}

/// Writes what comes; what is written is on its way to the disk whenever nothing more waits.
fn write<M>(mut row: Row, lines: &Receiver<Vec<Line<M>>>) -> io::Result<()>
where
    M: Machine + Snapshot,
    M::Input: Recorded,
    M::Output: Serialize,
{
    loop {
        let lines = match lines.try_recv() {
            Ok(lines) => lines,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                row.flush()?;
                match lines.recv() {
                    Ok(lines) => lines,
                    Err(_) => break,
                }
            }
        };
        for line in lines {
            row.write(line)?;
        }
    }
    row.line(format_args!(r#"{{"end":true}}"#))?;
    row.flush()
}

#[derive(Serialize)]
struct Outputs {
    out: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_core::{Wakeup, snapshot};
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Word(String);

    impl Recorded for Word {
        fn secrets(&self, found: &mut dyn FnMut(&str)) {
            if self.0.starts_with("token") {
                found(&self.0);
            }
        }
    }

    /// Keeps the last word.
    #[derive(Clone, Debug, PartialEq)]
    struct Parrot {
        key: Secret,
        last: String,
    }
    snapshot!(struct Parrot { key, last });

    impl Default for Parrot {
        fn default() -> Self {
            Self {
                key: Secret::new("key of bea"),
                last: "I say: key of bea".to_owned(),
            }
        }
    }

    impl Machine for Parrot {
        type Input = Word;
        type Output = Word;

        fn handle(&mut self, _: Time, Word(word): Word, _: &mut Vec<Word>) {
            self.last = word;
        }

        fn tick(&mut self, _: Time, _: &mut Vec<Word>) {}

        fn next_wakeup(&self) -> Option<Wakeup> {
            None
        }
    }

    fn options(folder: &Path) -> RecordOptions {
        folder.to_path_buf().into()
    }

    fn word(word: &str) -> Option<Word> {
        Some(Word(word.to_owned()))
    }

    #[test]
    fn a_recording_has_each_step_with_what_came_of_it_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let (at, machine) = (Time::from_millis(1), Parrot::default());
        let mut recorder = Recorder::create(&options, "it", "parrot", &machine).unwrap();
        for _ in 0..2 {
            recorder.before(at, word("token of ann"), &machine);
            recorder.after(vec![Word("token of ann".into())]);
        }
        recorder.before(at, None, &machine);
        recorder.after(Vec::new());
        drop(recorder);
        let text = fs::read_to_string(folder.path().join("it.000000.jsonl")).unwrap();
        assert!(!text.contains("token of"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        let head = r#""segment":0,"state":{"key":"S0-xxxxxxx","last":"I say: S0-xxxxxxx"}}"#;
        let head = format!(r#"{{"machine":"parrot","version":"{VERSION}",{head}"#);
        assert_eq!(lines[0], head);
        assert_eq!(lines[5..], [r#"{"at":1000}"#, r#"{"end":true}"#]);
        // What a replay says that knows the placeholder only.
        let step: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        let placeholder = step["input"].as_str().unwrap().to_owned();
        let told = selvedge_core::record::digests(&[Word(placeholder)], &mut |_, _| None);
        let told = serde_json::to_string(&Outputs { out: told }).unwrap();
        assert_eq!(lines[2], told);
        assert_eq!(lines[2], lines[4]);
    }

    #[test]
    fn a_row_of_segments_begins_each_with_the_state_and_loses_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let options = RecordOptions {
            segment_bytes: 1,
            segments: 3,
            ..options(folder.path())
        };
        let mut machine = Parrot::default();
        let mut recorder = Recorder::create(&options, "it", "parrot", &machine).unwrap();
        let mut taken = 0;
        // Each waits for the writer, so that every step is a segment.
        for number in 0..8 {
            let input = Word(format!("token of {number}"));
            let now = Time::from_millis(number);
            recorder.before(now, Some(input.clone()), &machine);
            recorder.settle();
            selvedge_core::step(&mut machine, now, Some(input), &mut Vec::new());
            while !recorder.full.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            taken += 1;
        }
        drop(recorder);
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let names: Vec<_> = files
            .iter()
            .map(|file| file.file_name().unwrap().to_str().unwrap())
            .collect();
        let kept = [taken - 3, taken - 2, taken - 1];
        assert_eq!(names, kept.map(|number| format!("it.{number:06}.jsonl")));
        for (file, number) in files.iter().zip(kept) {
            let text = fs::read_to_string(file).unwrap();
            assert!(!text.contains("token of"), "{text}");
            let lines: Vec<_> = text.lines().collect();
            let [head, step, last] = lines.as_slice() else {
                panic!("{text}");
            };
            let head: serde_json::Value = serde_json::from_str(head).unwrap();
            assert_eq!(head["segment"], number);
            let last_word = head["state"]["last"].as_str().unwrap();
            assert!(
                // The first one is the key.
                last_word.starts_with(&format!("S{number}-")),
                "{head}"
            );
            assert!(
                step.starts_with(&format!(r#"{{"at":{},"#, number * 1_000)),
                "{step}"
            );
            let goes_on = format!(r#"{{"next":{}}}"#, number + 1);
            let ends = [goes_on.as_str(), r#"{"end":true}"#];
            assert_eq!(*last, ends[usize::from(number + 1 == taken)]);
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_and_a_full_disk_ends_the_recording_alone() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let path = folder.path().join("it.000000.jsonl");
        fs::write(&path, "kept").unwrap();
        assert!(Recorder::create(&options, "it", "parrot", &Parrot::default()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let row = Row {
            options,
            name: "it".to_owned(),
            kind: "parrot",
            number: 0,
            full: Arc::default(),
            segment: Some(Segment {
                file: BufWriter::new(full),
                bytes: 0,
            }),
            redactor: Redactor::default(),
        };
        let mut recorder = Recorder::start(row).unwrap();
        for number in 0.. {
            recorder.before(Time::from_millis(number), None, &Parrot::default());
            recorder.settle();
            if recorder.has_ended() {
                return;
            }
        }
    }
}
