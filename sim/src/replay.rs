//! Takes every step of a recording again, and compares what comes of it with what came of it then.

use std::{
    any::Any,
    collections::VecDeque,
    fmt::{self, Debug},
    io::{self, BufRead},
    panic::{AssertUnwindSafe, catch_unwind},
};

use selvedge_core::{
    Machine, Snapshot, Time, guild::Guild, plugin::agent::Agent, record::digests, step,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use thiserror::Error;

/// How many lines before a difference are shown with it.
const CONTEXT: usize = 10;

/// The first line of a segment.
#[derive(Deserialize)]
struct Head {
    machine: Kind,
    version: String,
    segment: u64,
    state: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Agent,
    Guild,
}

/// What is wrong with the first line.
fn no_head(error: impl fmt::Display) -> ReplayError {
    ReplayError::Malformed {
        line: 1,
        why: error.to_string(),
    }
}

/// A line of a recording after the first.
#[derive(Deserialize)]
struct Line<'l> {
    at: Option<u64>,
    #[serde(borrow)]
    input: Option<&'l RawValue>,
    out: Option<Vec<String>>,
    #[serde(default)]
    end: bool,
    /// The segment that it goes on in.
    next: Option<u64>,
}

/// What a recording cannot be replayed for.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no recording, or one of another version of the machine.
    #[error(
        "line {line} is no line of a recording that this version can read: {why}; a recording is \
         replayed by the version that made it"
    )]
    Malformed {
        /// Which line of the file, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

/// How a replay went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// `agent` or `guild`.
    pub machine: &'static str,
    /// Which version of Selvedge made the recording.
    pub version: String,
    /// Which segment of the recording this is, counted from 0.
    pub segment: u64,
    /// How many steps were taken.
    pub steps: u64,
    /// How many outputs they had.
    pub outputs: u64,
    /// The moments of the first step and of the last one.
    pub span: Option<(Time, Time)>,
    /// The segment that it goes on in, if it does.
    pub next: Option<u64>,
    /// It has no end: the process was killed, or the disk was full.
    pub cut_off: bool,
    /// Where the replay left the recording, if it did: nothing after that was replayed.
    pub difference: Option<Difference>,
}

/// The first step that went differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of its input in the recording, counted from 1.
    pub line: u64,
    /// What came of it then.
    pub recorded: Vec<String>,
    /// What comes of it now.
    pub replayed: Vec<String>,
    /// The outputs of now in full; or the words of the panic.
    pub outputs: Vec<String>,
    /// The last lines of the recording, the differing step's own one last.
    pub lines: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "line {}: recorded were", self.line)?;
        for told in &self.recorded {
            writeln!(f, "  {told}")?;
        }
        writeln!(f, "and now come")?;
        for told in &self.replayed {
            writeln!(f, "  {told}")?;
        }
        writeln!(f, "which are")?;
        for output in &self.outputs {
            writeln!(f, "  {output}")?;
        }
        Ok(())
    }
}

/// Replays a segment of a recording, which is all of it where there is one.
///
/// # Errors
///
/// Where it cannot be read, or is none.
pub fn replay(mut recording: impl BufRead) -> Result<Replayed, ReplayError> {
    let mut head = String::new();
    if recording.read_line(&mut head)? == 0 {
        return Err(ReplayError::Empty);
    }
    let head: Head = serde_json::from_str(&head).map_err(no_head)?;
    match head.machine {
        Kind::Agent => Play::<Agent>::new("agent", head)?.all(recording),
        Kind::Guild => Play::<Guild>::new("guild", head)?.all(recording),
    }
}

/// The step that was taken last.
struct Taken<O> {
    line: u64,
    outputs: Vec<O>,
}

/// A replay under way.
struct Play<M: Machine> {
    machine: M,
    report: Replayed,
    /// Until it was compared.
    last: Option<Taken<M::Output>>,
    lines: VecDeque<String>,
}

impl<M> Play<M>
where
    M: Machine + Snapshot,
    M::Input: DeserializeOwned,
    M::Output: Serialize + Debug,
{
    fn new(name: &'static str, head: Head) -> Result<Self, ReplayError> {
        Ok(Self {
            machine: M::load(head.state).map_err(no_head)?,
            report: Replayed {
                machine: name,
                version: head.version,
                segment: head.segment,
                next: None,
                steps: 0,
                outputs: 0,
                span: None,
                cut_off: true,
                difference: None,
            },
            last: None,
            lines: VecDeque::new(),
        })
    }

    fn all(mut self, recording: impl BufRead) -> Result<Replayed, ReplayError> {
        let mut recording = recording;
        let (mut text, mut number) = (String::new(), 1);
        while self.report.difference.is_none() {
            text.clear();
            if recording.read_line(&mut text)? == 0 {
                break;
            }
            number += 1;
            let is_whole = text.ends_with('\n');
            let line = text.trim_end();
            match self.line(number, line) {
                Ok(()) => {}
                Err(_) if !is_whole => {}
                Err(why) => return Err(ReplayError::Malformed { line: number, why }),
            }
        }
        // Without an end, what came of the last step may not have been written down any more.
        Ok(self.report)
    }

    fn line(&mut self, number: u64, text: &str) -> Result<(), String> {
        let line: Line<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match (line.at, line.out, line.end || line.next.is_some()) {
            (Some(at), None, false) => {
                self.compare(Vec::new());
                if self.report.difference.is_some() {
                    return Ok(());
                }
                let input = line.input.map(|input| serde_json::from_str(input.get()));
                let input = input.transpose().map_err(|error| error.to_string())?;
                self.remember(text);
                self.step(number, Time::from_micros(at), input);
            }
            (None, Some(told), false) => {
                self.compare(told);
                self.remember(text);
            }
            (None, None, true) => {
                self.compare(Vec::new());
                self.report.cut_off = false;
                self.report.next = line.next;
            }
            _ => return Err("it is no step, nor what came of one, nor the end".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, text: &str) {
        if self.lines.len() >= CONTEXT {
            self.lines.pop_front();
        }
        self.lines.push_back(text.to_owned());
    }

    fn step(&mut self, line: u64, now: Time, input: Option<M::Input>) {
        let mut outputs = Vec::new();
        let machine = &mut self.machine;
        // A recording that ends in a panic is there to show it.
        let stepped = catch_unwind(AssertUnwindSafe(|| step(machine, now, input, &mut outputs)));
        self.report.steps += 1;
        self.report.outputs += outputs.len() as u64;
        let first = self.report.span.map_or(now, |(first, _)| first);
        self.report.span = Some((first, now));
        if let Err(panic) = stepped {
            self.report.difference = Some(Difference {
                line,
                recorded: Vec::new(),
                replayed: vec!["a panic".to_owned()],
                outputs: vec![words(&*panic)],
                lines: self.lines.iter().cloned().collect(),
            });
            return;
        }
        self.last = Some(Taken { line, outputs });
    }

    /// The last step's outputs were these then.
    fn compare(&mut self, recorded: Vec<String>) {
        let Some(last) = self.last.take() else {
            return;
        };
        let replayed = digests(&last.outputs, &mut |_, _| None);
        if replayed != recorded {
            let outputs = last.outputs.iter().map(|output| format!("{output:?}"));
            self.report.difference = Some(Difference {
                line: last.line,
                recorded,
                replayed,
                outputs: outputs.collect(),
                lines: self.lines.iter().cloned().collect(),
            });
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    words.unwrap_or("a panic without words").to_owned()
}
