//! Packages from PyPI as child processes: a host of the plugin whose script stands in `tests/hosts`.
//!
//! They live in an environment of their own beside the binary. Where there is no Python, or no
//! package can be had, the tests that need them are skipped and say so.

#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use crate::binary;

/// The versions of all packages.
const REQUIREMENTS: &str = "requirements.txt";

/// The command that runs a script of `tests/hosts`. `None` where there is no Python, or where its
/// packages cannot be had.
///
/// # Panics
///
/// Where this checkout cannot be read or its target folder cannot be written.
pub fn host(script: &str) -> Option<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts");
    let target = binary::selvedge().parent().and_then(Path::parent);
    let environment = target.unwrap_or(&folder).join("python-hosts");
    if let Err(why) = install("python3", &folder.join(REQUIREMENTS), &environment) {
        // Past the macros, whose output of a test that passes nobody sees.
        let _ = writeln!(io::stderr(), "skipped: {why}");
        return None;
    }
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(folder.join(script));
    Some(command)
}

/// Makes the environment what the requirements say, unless it is already. Others that come at the
/// same time wait: the requirements themselves are what they queue on.
fn install(python: &str, requirements: &Path, environment: &Path) -> Result<(), String> {
    let wanted = fs::read(requirements);
    let wanted = wanted.unwrap_or_else(|error| panic!("{}: {error}", requirements.display()));
    let queue = File::open(requirements).and_then(|file| file.lock().map(|()| file));
    let _queue = queue.unwrap_or_else(|error| panic!("{}: {error}", requirements.display()));
    let stamp = environment.join("made-from.txt");
    if fs::read(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(());
    }
    let mut make = Command::new(python);
    make.args(["-m", "venv", "--clear"]).arg(environment);
    run(make, "no Python with venv found")?;
    let mut fetch = Command::new(environment.join("bin/python"));
    fetch.args(["-m", "pip", "install", "--quiet", "--no-input"]);
    fetch.args(["--only-binary", ":all:", "--no-deps", "--requirement"]);
    fetch.arg(requirements);
    run(fetch, "the packages from PyPI cannot be had")?;
    fs::write(&stamp, wanted).unwrap_or_else(|error| panic!("{}: {error}", stamp.display()));
    Ok(())
}

fn run(mut command: Command, otherwise: &str) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().next_back().unwrap_or_default();
            Err(format!("{otherwise}: {last}"))
        }
        Err(error) => Err(format!("{otherwise}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that is skipped passes: it must not look like one that was played.
    #[test]
    fn what_is_missing_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let environment = folder.path().join("environment");
        let requirements = folder.path().join(REQUIREMENTS);
        fs::write(&requirements, "no-package==0\n").unwrap();
        let why = |python: &str| install(python, &requirements, &environment).unwrap_err();
        let missing = why("/no/such/python3");
        assert!(
            missing.starts_with("no Python with venv found: "),
            "{missing}"
        );
        // What stands for a Python makes no environment, and so there is none to fetch with.
        let unfetched = why("/bin/true");
        let words = "the packages from PyPI cannot be had: ";
        assert!(unfetched.starts_with(words), "{unfetched}");
    }
}
