//! Files of this machine that go up with a request, or come down with its answer.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::canonical;

/// What the runtime does with a file when it sends a request. Paths are the host's words: they are looked
/// at below the folder of files alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// It sends the file as the field `file` of a form.
    Up {
        /// Where it is.
        path: String,
        /// What it is to be called; what it is called here where absent.
        name: Option<String>,
    },
    /// It writes the body of a good answer to a file, and puts [`Saved`] in the body's place.
    Down {
        /// What it is to be called; as the guild calls it where absent.
        name: Option<String>,
    },
}
canonical!(
    enum Transfer {
        Up { path, name },
        Down { name },
    }
);

/// A file that came down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Where it is.
    pub path: String,
    /// Its media type, as the guild says.
    pub mime: String,
    /// Its length.
    pub bytes: u64,
}
