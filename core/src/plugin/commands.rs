//! The catalogue of slash commands: what the host has, each guild gets, where it has another.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::error::ErrorBody,
    http::{Failure, Response},
    machine::Wakeup,
    plugin::retry,
    rng::Rng,
    time::Time,
};

/// The host's notification.
pub const METHOD: &str = "notifications/plexum/commands";

/// How many commands a host may have: as many as a guild takes.
pub const COMMANDS_MAX: usize = 500;

/// How many bytes they may have together, as JSON: as many as a guild takes in one request.
pub const BYTES_MAX: usize = 128 * 1_024;

/// The longest wait between two repetitions.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// What a guild is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which commands it has.
    Compare,
    /// To have these, a JSON array.
    Replace(String),
}

/// What a guild's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing, or it is asked again by itself.
    Again,
    /// The token was refused: invalidate the session; it is then asked again.
    Unauthorized,
    /// It has these commands now, so many, and had others before.
    Replaced(usize),
    /// It does not take them: why, in words. It is asked again when its link is live again.
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Compare,
    Replace,
}
canonical!(
    enum Step {
        Compare,
        Replace,
    }
);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sync {
    step: Step,
    /// It is being asked: nothing else is before it has answered, so that what is asked later is not
    /// overtaken.
    asked: bool,
    /// The commands changed, or its link was away, while it was being asked.
    stale: bool,
    failures: u32,
    /// A token was refused already.
    refused: bool,
}
canonical!(struct Sync { step, asked, stale, failures, refused });

impl Sync {
    fn new() -> Self {
        Self {
            step: Step::Compare,
            asked: false,
            stale: false,
            failures: 0,
            refused: false,
        }
    }
}

/// The commands of the host, and how far each guild is with them.
///
/// Its owner tells it of every guild that is live and of what the host says; asks what
/// [`next_due`](Self::next_due) gives, and says [`on_answer`](Self::on_answer) of each answer, or
/// [`on_blocked`](Self::on_blocked) or [`give_up`](Self::give_up) where it cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// As JSON, once the host has said it.
    wanted: Option<(String, usize)>,
    /// The guilds that were ever live.
    known: BTreeSet<u32>,
    /// Those that may have others.
    open: BTreeMap<u32, Sync>,
    due: Deadlines<u32>,
    /// Those that wait for a login.
    blocked: BTreeSet<u32>,
    rng: Rng,
}
canonical!(struct Commands { wanted, known, open, due, blocked; - rng });

impl Commands {
    /// None yet.
    pub fn new(rng: Rng) -> Self {
        Self {
            wanted: None,
            known: BTreeSet::new(),
            open: BTreeMap::new(),
            due: Deadlines::default(),
            blocked: BTreeSet::new(),
            rng,
        }
    }

    /// The host has these commands: the parameters of its notification, as JSON.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words for the host. The former ones stay.
    pub fn on_commands(&mut self, now: Time, params: &str) -> Result<(), String> {
        self.wanted = Some(read(params)?);
        for guild in self.known.clone() {
            self.restart(now, guild);
        }
        Ok(())
    }

    /// A guild's link has become live: it may have other commands now.
    pub fn on_live(&mut self, now: Time, guild: u32) {
        self.known.insert(guild);
        if self.wanted.is_some() {
            self.restart(now, guild);
        }
    }

    fn restart(&mut self, now: Time, guild: u32) {
        let sync = self.open.entry(guild).or_insert_with(Sync::new);
        if sync.asked {
            sync.stale = true;
            return;
        }
        *sync = Sync::new();
        self.blocked.remove(&guild);
        self.due.set(guild, Some(now));
    }

    /// The next guild to ask, and what.
    pub fn next_due(&mut self, now: Time) -> Option<(u32, Question)> {
        loop {
            let guild = self.due.pop_due(now)?;
            let (Some(sync), Some((wanted, _))) = (self.open.get_mut(&guild), &self.wanted) else {
                continue;
            };
            sync.asked = true;
            let question = match sync.step {
                Step::Compare => Question::Compare,
                Step::Replace => Question::Replace(wanted.clone()),
            };
            return Some((guild, question));
        }
    }

    /// There is no token to ask it with.
    pub fn on_blocked(&mut self, guild: u32) {
        if let Some(sync) = self.open.get_mut(&guild) {
            sync.asked = false;
            self.blocked.insert(guild);
        }
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        for guild in core::mem::take(&mut self.blocked) {
            self.due.set(guild, Some(now));
        }
    }

    /// There is no way to ask it now.
    pub fn give_up(&mut self, guild: u32) {
        self.open.remove(&guild);
        self.blocked.remove(&guild);
        self.due.set(guild, None);
    }

    /// A guild's answer, or why there is none.
    pub fn on_answer(&mut self, now: Time, guild: u32, answer: Result<Response, Failure>) -> Heard {
        let (Some(sync), Some((wanted, count))) = (self.open.get_mut(&guild), &self.wanted) else {
            return Heard::Again;
        };
        sync.asked = false;
        if sync.stale {
            self.restart(now, guild);
            return Heard::Again;
        }
        let response = match answer {
            Ok(response) => response,
            // More than we have: other ones in any case.
            Err(Failure::TooLarge) if sync.step == Step::Compare => {
                return self.replace(now, guild);
            }
            Err(
                Failure::Unreachable(_)
                | Failure::Broken(_)
                | Failure::TooLarge
                | Failure::Local(_),
            ) => {
                return self.again(now, guild, None);
            }
        };
        match (response.status, sync.step) {
            (401, _) if !core::mem::replace(&mut sync.refused, true) => {
                self.due.set(guild, Some(now));
                Heard::Unauthorized
            }
            (401 | 429 | 500.., _) => self.again(now, guild, response.retry_after),
            (200..=299, Step::Compare) if is_same(wanted, &response.body) => {
                self.give_up(guild);
                Heard::Again
            }
            (200..=299, Step::Compare) => self.replace(now, guild),
            (200..=299, Step::Replace) => {
                let count = *count;
                self.give_up(guild);
                Heard::Replaced(count)
            }
            (status, Step::Compare | Step::Replace) => {
                self.give_up(guild);
                let body = serde_json::from_slice::<ErrorBody>(&response.body);
                Heard::Refused(match body {
                    Ok(body) => format!("the guild answers {status}: {}", body.message),
                    Err(_) => format!("the guild answers {status}"),
                })
            }
        }
    }

    fn replace(&mut self, now: Time, guild: u32) -> Heard {
        if let Some(sync) = self.open.get_mut(&guild) {
            sync.step = Step::Replace;
            self.due.set(guild, Some(now));
        }
        Heard::Again
    }

    /// It is asked again after a while, from the start: nobody knows what was carried out.
    fn again(&mut self, now: Time, guild: u32, after: Option<Duration>) -> Heard {
        if let Some(sync) = self.open.get_mut(&guild) {
            let wait = retry::wait_after(&mut self.rng, sync.failures, RETRY_MOST, after);
            sync.failures = sync.failures.saturating_add(1);
            sync.step = Step::Compare;
            self.due.set(guild, Some(now + wait));
        }
        Heard::Again
    }

    /// When there is something to ask.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup {
            at,
            why: "commands to be compared",
        })
    }
}

/// The commands in the parameters of the host's notification, as JSON, and how many they are.
fn read(params: &str) -> Result<(String, usize), String> {
    #[derive(Deserialize)]
    struct Params {
        commands: Vec<Value>,
    }
    let Params { commands } = serde_json::from_str(params).map_err(|error| {
        format!("expected {{\"commands\": [...]}}, an array of objects: {error}")
    })?;
    if commands.len() > COMMANDS_MAX {
        let count = commands.len();
        return Err(format!(
            "{count} commands are too many, {COMMANDS_MAX} are allowed"
        ));
    }
    let mut names = BTreeSet::new();
    for (at, command) in commands.iter().enumerate() {
        let name = command.get("name").and_then(Value::as_str).map(str::trim);
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            format!("commands[{at}]: expected an object with a `name` that is not empty")
        })?;
        if !names.insert(name) {
            return Err(format!("commands[{at}]: there are two commands `{name}`"));
        }
    }
    let count = commands.len();
    let text = Value::Array(commands).to_string();
    if text.len() > BYTES_MAX {
        let bytes = text.len();
        return Err(format!(
            "{bytes} bytes of commands are too many, {BYTES_MAX} are allowed"
        ));
    }
    Ok((text, count))
}

/// Whether a guild's catalogue says the same, however it is written.
fn is_same(wanted: &str, found: &[u8]) -> bool {
    let wanted = serde_json::from_str::<Value>(wanted);
    let found = serde_json::from_slice::<Value>(found);
    wanted.is_ok_and(|wanted| found.is_ok_and(|found| wanted == found))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    const ONE: &str = r#"{"commands":[{"name":"help","description":"what can be done"}]}"#;
    const WRITTEN: &str = r#"[{"name":"help","description":"what can be done"}]"#;

    fn now(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn answer(status: u16, body: &str) -> Result<Response, Failure> {
        Ok(Response {
            status,
            retry_after: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    /// The commands [`ONE`], and a guild that is live.
    fn one() -> Commands {
        let mut commands = Commands::new(Rng::from_number(1));
        commands.on_live(now(1), 0);
        assert_eq!(commands.next_due(now(1)), None, "the host has said nothing");
        commands.on_commands(now(1), ONE).unwrap();
        assert_eq!(commands.next_due(now(1)), Some((0, Question::Compare)));
        commands
    }

    fn replaces(question: Option<(u32, Question)>, wanted: &str) -> bool {
        match question {
            Some((0, Question::Replace(text))) => is_same(wanted, text.as_bytes()),
            _ => false,
        }
    }

    #[test]
    fn a_guild_that_has_the_same_is_left_alone() {
        let mut commands = one();
        let otherwise = r#" [ {"description":"what can be done", "name":"help"} ] "#;
        assert_eq!(
            commands.on_answer(now(2), 0, answer(200, otherwise)),
            Heard::Again
        );
        assert_eq!(commands.next_wakeup(), None);
    }

    #[test]
    fn a_guild_that_has_others_gets_these_and_is_asked_again_when_it_was_away() {
        let mut commands = one();
        commands.on_answer(now(2), 0, answer(200, "[]"));
        assert!(replaces(commands.next_due(now(2)), WRITTEN));
        let heard = commands.on_answer(now(3), 0, answer(200, "{}"));
        assert_eq!(heard, Heard::Replaced(1));
        assert_eq!(commands.next_wakeup(), None);
        commands.on_live(now(9), 0);
        assert_eq!(commands.next_due(now(9)), Some((0, Question::Compare)));
    }

    #[test]
    fn what_changes_meanwhile_waits_for_the_answer() {
        let mut commands = one();
        commands.on_answer(now(2), 0, answer(200, "[]"));
        assert!(commands.next_due(now(2)).is_some());
        commands.on_commands(now(3), r#"{"commands":[]}"#).unwrap();
        assert_eq!(commands.next_due(now(3)), None, "it could be overtaken");
        assert_eq!(
            commands.on_answer(now(4), 0, answer(200, "{}")),
            Heard::Again
        );
        assert_eq!(commands.next_due(now(4)), Some((0, Question::Compare)));
        commands.on_answer(now(5), 0, answer(200, WRITTEN));
        assert!(replaces(commands.next_due(now(5)), "[]"));
    }

    #[test]
    fn what_fails_begins_anew_and_what_is_refused_is_told_once() {
        for failed in [
            Err(Failure::Broken("reset".into())),
            answer(500, ""),
            answer(429, ""),
        ] {
            let mut commands = one();
            commands.on_answer(now(2), 0, answer(200, "[]"));
            commands.next_due(now(2));
            assert_eq!(commands.on_answer(now(3), 0, failed), Heard::Again);
            let at = commands.next_wakeup().unwrap().at;
            assert!(at > now(3));
            assert_eq!(commands.next_due(at), Some((0, Question::Compare)));
        }
        let mut commands = one();
        assert_eq!(
            commands.on_answer(now(2), 0, answer(401, "")),
            Heard::Unauthorized
        );
        commands.next_due(now(2));
        assert_eq!(commands.on_answer(now(3), 0, answer(401, "")), Heard::Again);
        let at = commands.next_wakeup().unwrap().at;
        commands.next_due(at);
        let refusal = json!({"statusCode": 404, "message": "no such thing"}).to_string();
        let heard = commands.on_answer(at, 0, answer(404, &refusal));
        let words = "the guild answers 404: no such thing".to_string();
        assert_eq!(heard, Heard::Refused(words));
        assert_eq!(commands.next_wakeup(), None);
    }

    #[test]
    fn a_guild_without_a_token_waits_for_the_login() {
        let mut commands = one();
        commands.on_blocked(0);
        assert_eq!(commands.next_wakeup(), None);
        commands.on_token(now(5));
        assert_eq!(commands.next_due(now(5)), Some((0, Question::Compare)));
    }

    #[test]
    fn what_is_wrong_is_said_and_changes_nothing() {
        let many: Vec<Value> = (0..=COMMANDS_MAX)
            .map(|n| json!({"name": n.to_string()}))
            .collect();
        let large = json!([{"name": "a", "about": "x".repeat(BYTES_MAX)}]);
        for (params, words) in [
            ("".to_string(), "expected {\"commands\": [...]}"),
            ("null".to_string(), "expected {\"commands\": [...]}"),
            ("{}".to_string(), "missing field `commands`"),
            (json!({"commands": {}}).to_string(), "expected a sequence"),
            (
                json!({"commands": [{"name": "a"}, 1]}).to_string(),
                "commands[1]: expected an object",
            ),
            (
                json!({"commands": [{"name": " "}]}).to_string(),
                "commands[0]: expected an object",
            ),
            (
                json!({"commands": [{"name": "a"}, {"name": "a "}]}).to_string(),
                "commands[1]: there are two commands `a`",
            ),
            (
                json!({"commands": many}).to_string(),
                "501 commands are too many, 500 are allowed",
            ),
            (json!({"commands": large}).to_string(), "131072 are allowed"),
        ] {
            let mut commands = one();
            let before = commands.clone();
            let why = commands.on_commands(now(9), &params).unwrap_err();
            assert!(why.contains(words), "{why}");
            assert_eq!(commands, before);
        }
    }
}
