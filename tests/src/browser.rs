//! Whether there is a browser for the scripts of `tests/browser`.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
};

/// Where Debian puts the browser.
pub const CHROMIUM: &str = "/usr/bin/chromium";

/// Whether there is a browser.
///
/// # Panics
///
/// Where there is none in CI: there it must be.
pub fn is_there() -> bool {
    let there = Path::new(CHROMIUM).is_file();
    if !there {
        let ci = env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "no {CHROMIUM} found, and in CI nothing is skipped");
        // Past the macros, whose output of a test that passes nobody sees.
        let _ = writeln!(io::stderr(), "skipped: no {CHROMIUM} found");
    }
    there
}
