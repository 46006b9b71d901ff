//! Recordings: what an input must tell so that it can be written down, and the redaction of it.

mod digest;
mod escapes;
mod filler;
mod known;
mod line;
mod matcher;
mod pass;
mod sieve;
mod strings;

use alloc::{
    collections::BTreeSet,
    string::{String, ToString as _},
    vec::Vec,
};

pub use self::digest::{digests, fold};
pub(crate) use self::strings::{name_broken, name_parameter, name_strings};
use self::{filler::Filler, known::Memory, matcher::Automaton, pass::Pass};
use crate::{
    secret::Secret,
    snapshot::{LoadError, Saved, Snapshot, Tree},
};
use serde::{Serialize, de::DeserializeOwned};

/// An input that can be written down and read back.
pub trait Recorded: Serialize + DeserializeOwned {
    /// Names every secret that this input holds, also those inside of frames and bodies, as they read
    /// without the escapes of JSON or of a URL.
    fn secrets(&self, found: &mut dyn FnMut(&str));
}

/// Replaces secrets by placeholders, the same one for the same secret.
///
/// What an input has named is replaced in that one and in all later ones, wherever it stands in a
/// string or in bytes: as it is, or with the escapes of JSON or of a URL, also those of the one inside
/// of the other. A placeholder has the same length, escape by escape, so that sizes, limits and
/// truncations replay as they happened; the names of fields and variants stay.
///
/// Each line costs time in proportion to its length, however many secrets there are, and however
/// they are made: what peers send is written down here, and they may mean harm. By that, a peer may
/// also call something a secret that is none, such as an id: it is replaced from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redactor {
    memory: Memory,
    filler: Option<Filler>,
    steps: u64,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What somebody has written: a message, a canvas, or a part of one.
    Content,
    /// Anything else, which may be JSON that has some.
    Other,
}

/// What is to stand in a recording in the place of a text, where that is not the text itself.
pub type Substitute<'s> = dyn FnMut(&[u8], Role) -> Option<Vec<u8>> + 's;

impl Role {
    /// Of what stands in a field with this name.
    fn of_field(name: &str) -> Self {
        match filler::is_content(name) {
            true => Self::Content,
            false => Self::Other,
        }
    }
}

/// What is shorter is written as it is: it could be guessed anyway, and a peer that chooses its own
/// "secret" must not be able to change words of our own, such as a method's name.
pub const SECRET_BYTES_MIN: usize = 8;

impl Redactor {
    /// One that also puts filler in the place of what people and agents have written, so that what it
    /// has redacted can be shown to others. Filler is as long, character by character, and has the same
    /// white space, mentions, marks of code, and commands: so a machine does with it what it did with
    /// the content. Equal contents have equal filler, and others have others, but for those of more
    /// than 1,000 bytes. Names, ids and paths stay.
    #[must_use]
    pub fn filling(self) -> Self {
        Self {
            filler: Some(Filler::default()),
            ..self
        }
    }

    /// One that knows these secrets from the beginning, and never forgets them: those that no input
    /// names.
    #[must_use]
    pub fn knowing<'s>(mut self, secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let long = |secret: &&Secret| secret.expose().len() >= SECRET_BYTES_MIN;
        let secrets = secrets.into_iter().filter(long).cloned().collect();
        self.memory.keep(secrets, &mut self.steps);
        self
    }

    /// `input` as one line of JSON, without its secrets.
    ///
    /// # Errors
    ///
    /// Where the input does not serialise, which is a bug of its type.
    pub fn line<I: Recorded>(&mut self, input: &I) -> Result<String, serde_json::Error> {
        let mut named = BTreeSet::new();
        input.secrets(&mut |secret| {
            if secret.len() >= SECRET_BYTES_MIN {
                named.insert(Secret::new(secret));
            }
        });
        let line = serde_json::to_string(input)?;
        self.redacted(named, line, |line| {
            serde_json::from_str::<I>(line).map(|_| ())
        })
    }

    /// A state as one line of JSON, without its secrets: what a recording can go on from.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read back, which is a bug of its type.
    pub fn state<S: Snapshot>(&mut self, state: &S) -> Result<String, LoadError> {
        let Saved {
            tree: Tree(tree),
            mut secrets,
        } = Saved::of(state);
        secrets.retain(|secret| secret.expose().len() >= SECRET_BYTES_MIN);
        self.redacted(secrets, tree.to_string(), |line| {
            let tree = serde_json::from_str(line).map_err(|_| LoadError::default())?;
            S::load(tree).map(|_| ())
        })
    }

    /// A line without secrets, those that it names itself among them, as somebody reads it.
    fn redacted<E>(
        &mut self,
        named: BTreeSet<Secret>,
        line: String,
        read: impl Fn(&str) -> Result<(), E>,
    ) -> Result<String, E> {
        let own = self.memory.learn(named, &mut self.steps);
        let Some(clean) = self.pass().line(&line) else {
            return Ok(line);
        };
        if read(&clean).is_ok() {
            return Ok(clean);
        }
        // A peer has called a word of ours a secret, without which the line cannot be read.
        let Self {
            memory,
            filler,
            steps,
        } = self;
        let own = Automaton::new(own, steps);
        let mut pass = Pass {
            sieve: None,
            automata: memory.kept().chain([&own]).collect(),
            filler: filler.as_mut(),
            steps,
        };
        let clean = pass.line(&line).unwrap_or(line);
        read(&clean).map(|()| clean)
    }

    /// With everything that is known.
    fn pass(&mut self) -> Pass<'_> {
        Pass {
            sieve: Some(self.memory.sieve()),
            automata: self.memory.automata().collect(),
            filler: self.filler.as_mut(),
            steps: &mut self.steps,
        }
    }

    /// The outputs of a step in a few words, their secrets replaced as in [`line`](Self::line): see
    /// [`digests`].
    pub fn digests<O: Serialize>(&mut self, outputs: &[O]) -> Vec<String> {
        let mut pass = self.pass();
        digests(outputs, &mut |text, role| pass.clean(text, role))
    }

    /// How much work it has done so far, by the bytes that were looked at: for whoever watches what
    /// recordings cost.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Toy {
        frame: String,
        token: String,
    }

    impl Recorded for Toy {
        fn secrets(&self, found: &mut dyn FnMut(&str)) {
            found(&self.token);
            found(r#"pass"word"#);
        }
    }

    #[test]
    fn secrets_become_stable_placeholders_of_the_same_length() {
        let toy = Toy {
            frame: r#"40/realtime,{"token":"header.claims.mac","password":"pass\"word"}"#.into(),
            token: "header.claims.mac".into(),
        };
        let mut redactor = Redactor::default();
        let line = redactor.line(&toy).unwrap();
        assert!(
            !line.contains("claims") && !line.contains("word\\\\\\\"}"),
            "{line}"
        );
        assert!(!line.contains("pass\\"), "{line}");
        let read: Toy = serde_json::from_str(&line).unwrap();
        assert_eq!(read.token.len(), toy.token.len());
        assert!(read.frame.contains(&read.token), "{line}");
        assert_eq!(redactor.line(&toy).unwrap(), line);
    }
}
