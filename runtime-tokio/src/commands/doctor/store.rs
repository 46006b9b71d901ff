//! The store of the plugin, and the locks of its accounts: looked at, and left as they are.

use std::{fs, io, io::Write, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::fs::{Access, access, statvfs};
use selvedge_core::{
    id::UserId,
    plugin::kept::{Kept, TurnState},
};

use super::{Examination, Findings, usable};
use crate::{
    config::{Agent, Config},
    plugin::{StartError, lock},
    store::{
        folder_of,
        plugin::{Look, look},
    },
};

/// With less room than this on the disk, somebody should make some: logs and recordings fill it too.
const ROOM_LOW: u64 = 100 << 20;
/// With less than this a transaction may find none.
const ROOM_NONE: u64 = 1 << 20;

/// Goes through the store of a configuration. Gives back what is in it, if that could be read.
pub(super) async fn store<W: Write>(
    config: &Config,
    findings: &mut Findings<'_, W>,
) -> io::Result<Option<Look>> {
    let Some(path) = config.store.as_deref() else {
        findings.error(StartError::NoPlace)?;
        return Ok(None);
    };
    let (shown, folder) = (path.display(), folder_of(path));
    if let Err(why) = usable(folder) {
        findings.error(format_args!(
            "the store: its folder {} cannot be used: {why}; let the user that the plugin runs as write \
             there, or set [store] path",
            folder.display()
        ))?;
        return Ok(None);
    }
    room(folder, findings)?;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.ok(format_args!(
                "the store: {shown} is made at the first start of the plugin"
            ))?;
            return Ok(None);
        }
        Err(error) => {
            findings.error(format_args!(
                "the store: {shown} cannot be seen: {error}; let the user that the plugin runs as in, \
                 or set [store] path"
            ))?;
            return Ok(None);
        }
    };
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK) {
        findings.error(format_args!(
            "the store: {shown} cannot be read and written: {error}; give it to the user that the \
             plugin runs as, or set [store] path"
        ))?;
        return Ok(None);
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        findings.warning(format_args!(
            "the store: {shown} is open to other users (mode {mode:o}); the plugin closes it at its \
             next start, or do so now: chmod 600 {shown}"
        ))?;
    }
    let found = match look(path).await {
        Ok(found) => found,
        Err(error) => {
            findings.error(format_args!("the store: {error}"))?;
            return Ok(None);
        }
    };
    let (version, known) = found.version;
    let next = match version == known {
        true => String::new(),
        false => format!(", which the plugin brings to version {known} at its next start"),
    };
    findings.ok(format_args!(
        "the store: {shown} is whole, and has version {version} of its schema{next}"
    ))?;
    Ok(Some(found))
}

/// How much room there is on the disk of a folder, or of the one that it is made in.
fn room<W: Write>(folder: &Path, findings: &mut Findings<'_, W>) -> io::Result<()> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let Ok(disk) = statvfs(there.unwrap_or_else(|| Path::new("."))) else {
        // What is wrong with the folder has been said.
        return Ok(());
    };
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    let megabytes = room >> 20;
    let shown = folder.display();
    match room {
        ..ROOM_NONE => findings.error(format_args!(
            "the store: the disk of {shown} is full, so that no turn begins; make room there"
        )),
        ROOM_NONE..ROOM_LOW => findings.warning(format_args!(
            "the store: the disk of {shown} has {megabytes} MiB left; without room no turn begins"
        )),
        ROOM_LOW.. => findings.ok(format_args!(
            "the store: the disk of {shown} has {megabytes} MiB left"
        )),
    }
}

impl<W: Write> Examination<'_, W> {
    /// What is kept of an agent.
    pub(super) fn kept(&self, agent: &Agent) -> Option<&Kept> {
        let mut agents = self.store.as_ref()?.agents.iter();
        let owned = agents.find(|(owner, _)| {
            owner.center == self.config.center_url && owner.agent == agent.config.agent_id
        });
        owned.map(|(_, kept)| kept)
    }

    /// Turns of an agent that nobody is offered any more.
    pub(super) fn parked(&mut self, agent: &Agent) -> io::Result<()> {
        let kept = self.kept(agent);
        let turns = kept.into_iter().flat_map(|kept| kept.turns.values());
        let parked = turns.filter(|turn| turn.state == TurnState::Parked);
        let channels: Vec<String> = parked
            .map(|turn| format!("channel {} of guild {}", turn.channel, turn.guild))
            .collect();
        if channels.is_empty() {
            return Ok(());
        }
        self.findings.warning(format_args!(
            "{} turn(s) are parked, since the host got each too often without ending it: {}; the tool \
             list_pending names them, and turn_done ends one",
            channels.len(),
            channels.join(", ")
        ))
    }

    /// Who serves an account.
    pub(super) fn lock(&mut self, user: &UserId) -> io::Result<()> {
        let Some(store) = &self.config.store else {
            return Ok(());
        };
        if usable(folder_of(store)).is_err() {
            // That has been said.
            return Ok(());
        }
        let folder = self.config.locks.as_deref();
        for path in lock::paths(folder, store, &self.config.center_url, user) {
            let shown = path.display();
            match lock::held_by(&path) {
                Ok(None) => {}
                Ok(Some(holder)) => {
                    return self.findings.ok(format_args!(
                        "process {holder} of this machine serves the account, as {shown} says; a second \
                         plugin would wait for its end"
                    ));
                }
                Err(error) => {
                    return self.findings.error(format_args!(
                        "its lock {shown} cannot be used: {error}; let the user that the plugin runs as \
                         read and write it"
                    ));
                }
            }
        }
        self.findings
            .ok("no process of this machine serves the account now")
    }
}
