//! The official parsers from npm: a child process that answers requests in JSON lines.

#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::{
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    process::Stdio,
    thread,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use selvedge_core::ws;
use serde::{Deserialize, Serialize};

use super::readings::Reading;
use crate::npm;

/// What the script is asked; what there is to ask stands at `tasks` in `parsers.mjs`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Request {
    /// Which parser.
    pub parser: &'static str,
    /// To decode or to encode.
    #[serde(rename = "do")]
    pub task: &'static str,
    /// The one frame to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// The frames to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
    /// The Engine.IO packets to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<Reading>,
    /// The Socket.IO packet to write, as the parser takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<serde_json::Value>,
    /// JSON texts to bring into one form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<String>,
}

/// What the script answers.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Answer {
    /// What was read, if it was not refused.
    #[serde(default)]
    pub packets: Vec<Reading>,
    /// What came of each frame before one was refused.
    #[serde(default)]
    pub steps: Vec<Option<Reading>>,
    /// What was written.
    #[serde(default)]
    pub frames: Vec<String>,
    /// Why it was refused.
    pub error: Option<String>,
    /// The JSON texts of the request in one form, `None` for what is not JSON.
    #[serde(default)]
    pub json: Vec<Option<String>>,
}

/// Asks the official parsers, all in one process. `None` where there is no Node.
///
/// # Panics
///
/// If the process does not answer everything.
pub fn ask(requests: &[Request]) -> Option<Vec<Answer>> {
    let mut command = npm::command("parsers.mjs")?;
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("the parsers do not start: {error}"));
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let answers: Vec<Answer> = thread::scope(|scope| {
        scope.spawn(move || {
            let mut lines = BufWriter::new(stdin?);
            for request in requests {
                serde_json::to_writer(&mut lines, request).ok()?;
                lines.write_all(b"\n").ok()?;
            }
            lines.flush().ok()
        });
        let lines = stdout.into_iter().flat_map(|it| BufReader::new(it).lines());
        lines
            .map_while(Result::ok)
            .map(|line| {
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    });
    if let Err(error) = child.wait() {
        panic!("the parsers cannot be waited for: {error}");
    }
    assert_eq!(answers.len(), requests.len(), "the parsers gave up");
    Some(answers)
}

/// A frame as it stands in a request or an answer.
pub fn written(frame: &ws::Frame) -> String {
    match frame {
        ws::Frame::Text(text) => format!("t{}", BASE64_STANDARD.encode(text.as_bytes())),
        ws::Frame::Binary(bytes) => format!("b{}", BASE64_STANDARD.encode(bytes)),
    }
}

/// The frame that stands in an answer.
///
/// # Panics
///
/// If none does.
pub fn read(written: &str) -> ws::Frame {
    let bytes = |base64: &str| BASE64_STANDARD.decode(base64).ok();
    let frame = match written.split_at_checked(1) {
        Some(("t", base64)) => bytes(base64)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(|text| ws::Frame::Text(text.into())),
        Some(("b", base64)) => bytes(base64).map(|bytes| ws::Frame::Binary(bytes.into())),
        Some(_) | None => None,
    };
    frame.unwrap_or_else(|| panic!("not a frame: {written}"))
}
