//! The binary `selvedge`, built as production builds it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Builds the binary of this profile, once a process, and says where it is.
///
/// # Panics
///
/// Where it does not build.
#[expect(clippy::panic, reason = "without the binary there is nothing to test")]
pub fn selvedge() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build", "--quiet", "--locked", "-p", "selvedge", "--bin", "selvedge",
        ]);
        build
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(root);
        // What cargo tells a test of its package would make dependencies be built anew, now for this
        // build and then for the next one.
        let of_the_test = |name: &OsString| {
            let name = name.to_string_lossy();
            ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| of_the_test(name)) {
            build.env_remove(name);
        }
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let output = match build.output() {
            Ok(output) if output.status.success() => output,
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("cargo cannot be run: {error}"),
        };
        let built = String::from_utf8_lossy(&output.stdout);
        let executable = built
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
        executable.unwrap_or_else(|| panic!("cargo names no executable"))
    })
}
