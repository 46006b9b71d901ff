//! A process of the bench, and the lines that it says.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{PATIENCE, cost::Cost, fabric::Fault};

/// A running process. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(super) fn start(mut command: Command) -> Result<Self, Fault> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no input")?;
        let stdout = child.stdout.take().ok_or("no output")?;
        Ok(Self {
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// What follows `words` in the next line that begins with them.
    pub(super) async fn says(&mut self, words: &str) -> Result<String, Fault> {
        let said = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(rest) = line.strip_prefix(words) {
                    return Ok(rest.trim().to_owned());
                }
            }
            Err(format!("a process does not say {words:?}").into())
        };
        timeout(PATIENCE, said).await?
    }

    pub(super) async fn tell(&mut self, line: &str) -> Result<(), Fault> {
        Ok(self.stdin.write_all(line.as_bytes()).await?)
    }

    pub(super) fn cost(&self) -> Result<Cost, Fault> {
        Cost::of(self.child.id().ok_or("the process has ended")?)
    }
}
