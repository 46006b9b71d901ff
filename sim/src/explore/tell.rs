//! A way through a world in words.

use std::fmt::Write as _;

use selvedge_core::{
    http::{Failure, Request, Response},
    ws::{Event, Frame},
};

use super::{
    choice::{Choice, Fault},
    scene::Scene,
    search::{begin, guarded},
    settle::Settled,
    world::World,
};
use crate::oracle::Breach;

/// How much of a frame or a body is shown.
const CHARS: usize = 160;

/// A way that was gone again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// A line for each step, those of the settle probe at its end included.
    pub lines: Vec<String>,
    /// The rule that is broken on the way, or when the world is to settle at its end.
    pub breach: Option<Breach>,
}

/// Goes a way again, and lets the world settle at its end.
///
/// # Errors
///
/// Where the scene cannot be begun, or the way names a choice that there is not.
pub fn walk(scene: Scene, way: &[u16]) -> Result<Walked, String> {
    let mut world = begin(scene)?;
    let mut lines = Vec::new();
    for number in way {
        let choices = world.choices();
        let choice = choices.get(usize::from(*number)).copied();
        let choice = choice.ok_or_else(|| {
            let step = lines.len();
            format!("there is no choice {number} at step {step}: {choices:?}")
        })?;
        lines.push(world.tell(choice));
        let taken = guarded(&mut world, |world| {
            world.take(choice);
            Ok(())
        });
        if let Err(breach) = taken {
            let breach = Some(breach);
            return Ok(Walked { lines, breach });
        }
    }
    lines.push("from here on nothing goes wrong, and nobody says anything more".to_owned());
    let settled = guarded(&mut world, |world| {
        Settled::default().probe(world, &mut |world, choice| lines.push(world.tell(choice)))
    });
    let breach = settled.err();
    Ok(Walked { lines, breach })
}

impl World {
    /// What is about to happen.
    fn tell(&self, choice: Choice) -> String {
        let mut line = format!("{:>9.3} s  ", self.since_start().as_secs_f64());
        let what = match choice {
            Choice::StartGuild => "the guild starts again".to_owned(),
            Choice::StartAgent => "the plugin starts again".to_owned(),
            Choice::Login => "Center answers the login".to_owned(),
            Choice::Dial(_) => "the dial reaches the guild".to_owned(),
            Choice::ToGuild(index) => {
                let wire = self.wires.get(index);
                let event = wire.and_then(|wire| wire.to_guild.front());
                format!("to the guild: {}", event.map_or_else(String::new, frame))
            }
            Choice::ToAgent(index) => {
                let wire = self.wires.get(index);
                let event = wire.and_then(|wire| wire.to_agent.front());
                format!("to the agent: {}", event.map_or_else(String::new, frame))
            }
            Choice::CommitGuild => "the guild's store commits".to_owned(),
            Choice::Commit => "the plugin's store commits".to_owned(),
            Choice::Request(index) => {
                let request = self.requests.get(index).map(|(_, request)| request);
                format!(
                    "request arrives: {}",
                    request.map_or_else(String::new, asked)
                )
            }
            Choice::Answer(index) => {
                let answer = self.answers.get(index).map(|(_, answer)| answer);
                format!(
                    "answer arrives: {}",
                    answer.map_or_else(String::new, answered)
                )
            }
            Choice::Ready => "the host is ready".to_owned(),
            Choice::Host(_) => "the host goes on with a turn".to_owned(),
            Choice::Post => {
                let number = self.fixed.scene.messages - self.left.posts;
                format!("a person posts message {}", number + 1)
            }
            Choice::Fire => format!("a timer fires: {}", self.why_fires()),
            Choice::Fault(fault) => format!("FAULT: {}", self.tell_fault(fault)),
        };
        line.push_str(&what);
        line
    }

    fn tell_fault(&self, fault: Fault) -> String {
        match fault {
            Fault::Reset(_) => "the connection is reset".to_owned(),
            Fault::LosePush(_) => "the push of a new message is lost".to_owned(),
            Fault::RefuseDial(_) => "the dial is refused".to_owned(),
            Fault::LoseRequest(index) => {
                let request = self.requests.get(index).map(|(_, request)| request);
                format!("request lost: {}", request.map_or_else(String::new, asked))
            }
            Fault::LoseAnswer(index) => {
                let answer = self.answers.get(index).map(|(_, answer)| answer);
                format!("answer lost: {}", answer.map_or_else(String::new, answered))
            }
            Fault::KillAgent { commits } => {
                format!("the plugin is killed; {}", told_commit(commits))
            }
            Fault::KillGuild { commits } => {
                format!("the guild is killed; {}", told_commit(commits))
            }
            Fault::Late => format!("all else is late, and a timer fires: {}", self.why_fires()),
        }
    }
}

const fn told_commit(commits: bool) -> &'static str {
    match commits {
        true => "what it was writing is kept",
        false => "nothing is kept of what it was writing",
    }
}

fn frame(event: &Event) -> String {
    match event {
        Event::Frame(Frame::Text(text)) => short(text),
        Event::Frame(Frame::Binary(bytes)) => format!("{} bytes", bytes.len()),
        Event::Closed(how) => format!("{how:?}"),
    }
}

fn asked(request: &Request) -> String {
    let mut line = format!("{} {}", request.method.as_str(), request.target);
    if !request.body.is_empty() {
        let body = String::from_utf8_lossy(&request.body);
        // A String takes whatever is written.
        let _ = write!(line, " {}", short(&body));
    }
    line
}

fn answered(answer: &Result<Response, Failure>) -> String {
    match answer {
        Ok(response) => {
            let body = String::from_utf8_lossy(&response.body);
            format!("{} {}", response.status, short(&body))
        }
        Err(failure) => failure.to_string(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(CHARS).collect()
}
