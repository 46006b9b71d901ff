//! Where keys and passwords come from: an environment variable or a file, never the configuration.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::Path};

use selvedge_core::Secret;

use super::tree::Section;

/// What secrets are looked up in.
pub(super) struct Source<'s> {
    pub(super) folder: &'s Path,
    pub(super) env: &'s BTreeMap<String, String>,
}

/// The secret that one of two keys names, with words for where it came from; nothing where neither
/// is set, an error where the problem has been told.
pub(super) fn take_secret(
    section: &mut Section<'_>,
    source: &Source<'_>,
    env_key: &'static str,
    file_key: &'static str,
    warnings: &mut Vec<String>,
) -> Result<Option<(Secret, String)>, ()> {
    let env_place = section.place(env_key);
    let file_place = section.place(file_key);
    let text = |text: &str| Some(text.to_owned());
    let variable = section.read(env_key, "the name of an environment variable", text);
    let file = section.read(file_key, "a path", text);
    match (env_place.is_some(), file_place.is_some()) {
        (false, false) => Ok(None),
        (true, true) => {
            section.problem(
                env_place.as_ref(),
                format_args!("{env_key} and {file_key} are both set: leave one out"),
            );
            Err(())
        }
        (true, false) => {
            let variable = variable.ok_or(())?;
            match source.env.get(&variable).filter(|value| !value.is_empty()) {
                Some(value) => Ok(Some((
                    Secret::new(trimmed(value)),
                    shown(&variable, env_key),
                ))),
                None => {
                    let shown = shown(&variable, env_key);
                    section.problem(
                        env_place.as_ref(),
                        format_args!(
                            "{env_key}: {shown} is not set; set it where this process is started"
                        ),
                    );
                    Err(())
                }
            }
        }
        (false, true) => {
            let path = source.folder.join(file.ok_or(())?);
            let content = fs::read_to_string(&path).map_err(|error| error.to_string());
            let content = content.and_then(|content| match trimmed(&content) {
                "" => Err("it is empty".into()),
                content => Ok(Secret::new(content)),
            });
            match content {
                Ok(secret) => {
                    if fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o004 != 0) {
                        warnings.push(format!(
                            "{} can be read by every user of this machine: run chmod 600 on it",
                            path.display()
                        ));
                    }
                    warnings.extend(changeable(&path));
                    Ok(Some((secret, path.display().to_string())))
                }
                Err(why) => {
                    section.problem(
                        file_place.as_ref(),
                        format_args!(
                            "{file_key}: cannot read {}: {why}; expected a file that holds the \
                             secret and nothing else, readable by its owner",
                            path.display()
                        ),
                    );
                    Err(())
                }
            }
        }
    }
}

/// What to say about a file that every user can change: who does, sends the agents' keys elsewhere.
pub(super) fn changeable(path: &Path) -> Option<String> {
    let open = fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o002 != 0);
    open.then(|| {
        format!(
            "{} can be changed by every user of this machine: run chmod o-w on it",
            path.display()
        )
    })
}

/// Without the line end that editors and `echo` put behind it.
fn trimmed(text: &str) -> &str {
    text.strip_suffix('\n')
        .map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

/// The variable's name, unless it looks like a key that was put there by mistake.
fn shown(variable: &str, key: &str) -> String {
    let name = variable
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if name {
        format!("the environment variable {variable}")
    } else {
        format!("the environment variable that {key} names")
    }
}
