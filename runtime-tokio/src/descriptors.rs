//! How many descriptors the process may have: every file and every connection takes one.

use std::{error::Error, io};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// What is open apart from agents and links: the store, the host, those who ask for the status.
const OTHERS: usize = 100;

/// How many a link takes at the most: its connection, the one that replaces it, and one for what it
/// asks of its guild over HTTP, which all links do at once when a guild has come back.
const A_LINK: usize = 3;

/// What to do where there are too few.
const RAISE: &str =
    "raise the limit of open files: `ulimit -Hn` in a shell, LimitNOFILE= in a unit";

/// Lets the process have as many as the system lets it: what a login shell starts with is 1,024 on
/// most systems, and too few for some hundred agents.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let most = Rlimit {
            current: maximum,
            maximum,
        };
        // Where that is not taken the limit stays, and is said where it is too low.
        let _ = setrlimit(Resource::Nofile, most);
    }
}

/// What is wrong where so many agents with so many links would need more than there are.
pub(crate) fn shortage(agents: usize, links: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile).current?;
    short_of(limit, agents, links)
}

fn short_of(limit: u64, agents: usize, links: usize) -> Option<String> {
    // An agent has the lock of its account.
    let needed = OTHERS + agents + A_LINK * links;
    (u64::try_from(needed).is_ok_and(|needed| limit < needed)).then(|| {
        format!(
            "{agents} agent(s) with {links} link(s) may need {needed} open files and connections, and \
             the process may have {limit}: {RAISE}"
        )
    })
}

/// What to do about an error that comes of too few, wherever in `error` it stands.
pub(crate) fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if code == Some(Errno::MFILE.raw_os_error()) {
            return Some(RAISE);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_are_noticed_before_they_are_needed() {
        assert_eq!(short_of(1_024, 50, 200), None);
        let words = short_of(1_024, 500, 2_000).unwrap();
        assert!(
            words.starts_with("500 agent(s) with 2000 link(s) may need 6600 open"),
            "{words}"
        );
        assert!(words.contains("may have 1024: raise the limit"), "{words}");
    }

    #[test]
    fn an_error_for_want_of_one_is_known_beneath_others() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] io::Error);
        let of = |errno: Errno| Outer(io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(advice(&of(Errno::MFILE)), Some(RAISE));
        assert_eq!(advice(&of(Errno::CONNREFUSED)), None);
    }
}
