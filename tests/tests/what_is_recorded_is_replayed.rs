//! What a guild and a plugin have recorded on real sockets gives the same outputs in the simulator.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use selvedge_sim::replay::{ReplayError, Replayed, replay};
use selvedge_tests::{
    PATIENCE,
    fabric::{Fabric, Recordings},
};
use tokio::sync::mpsc;

/// A conversation with an echo agent and a guild that is killed in the middle of it; the segments of
/// what was recorded, and the key of the agent, which somebody has put into a message.
async fn recorded(folder: &Path, filler: bool) -> (Vec<PathBuf>, String) {
    let dir = folder.to_path_buf();
    let recordings = Recordings { dir, filler };
    let mut fabric = Fabric::start_recorded(Some(recordings)).await.unwrap();
    let (events, mut seen) = mpsc::channel(1_024);
    let agent = fabric.start_agent(Stdio::null(), events).await.unwrap();
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let round = fabric.create("round", "discuss", &agent).await.unwrap();
    let hall = fabric.create("hall", "general", &agent).await.unwrap();
    for times in 0..2 {
        for channel in [&round, &hall] {
            let said = fabric
                .post(channel, &format!("number {times}"))
                .await
                .unwrap();
            let reply = fabric.reply(&said, PATIENCE).await.unwrap();
            assert!(reply.is_some(), "number {times} in {channel}");
        }
        if times == 0 {
            fabric.kill_guild().await.unwrap();
            fabric.start_guild().await.unwrap();
        }
    }
    let key = fabric.agent_key().unwrap().to_owned();
    let content = format!("is {key} your key?");
    let said = fabric.post(&hall, &content).await.unwrap();
    assert!(fabric.reply(&said, PATIENCE).await.unwrap().is_some());
    agent.shutdown().await;
    fabric.stop().await.unwrap();
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path()).collect();
    (files, key)
}

fn replayed(recording: &str) -> Result<Replayed, ReplayError> {
    replay(recording.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_real_sockets_replays_to_the_same_outputs() {
    replays_to_the_same_outputs(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_with_filler_replays_too_and_tells_nothing_that_was_said() {
    replays_to_the_same_outputs(true).await;
}

async fn replays_to_the_same_outputs(filler: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (files, key) = recorded(folder.path(), filler).await;
    let mut rows = BTreeMap::<_, Vec<Replayed>>::new();
    let mut tells = false;
    for file in files {
        let recording = fs::read_to_string(&file).unwrap();
        let said = ["number 0", "number 1", "your key?"];
        tells |= said.iter().any(|said| recording.contains(said));
        let went = replayed(&recording).unwrap();
        // A guild does not know it.
        let knows_key = went.machine == "agent" || filler;
        assert!(!knows_key || !recording.contains(&key), "{recording}");
        assert_eq!(went.difference, None, "{}", file.display());
        if went.outputs > 5 {
            finds_what_was_changed(&recording);
        }
        let name = file.file_name().unwrap().to_str().unwrap();
        let (row, _) = name.split_once('.').unwrap();
        rows.entry(row.to_owned()).or_default().push(went);
    }
    assert_eq!(tells, !filler, "what was said stands in a file");
    let (mut guilds, mut agents) = (0, 0);
    for (name, mut row) in rows {
        match row.first().unwrap().machine {
            "guild" => guilds += 1,
            _ => agents += 1,
        }
        row.sort_by_key(|went| went.segment);
        assert!(row.len() > 2, "{name} has segments");
        let outputs: u64 = row.iter().map(|went| went.outputs).sum();
        assert!(outputs > 30, "{name}: {row:?}");
        for (went, number) in row.iter().zip(0..) {
            assert_eq!(went.segment, number, "{name}");
            // The first guild was killed.
            let goes_on = went.next == Some(number + 1);
            assert!(
                goes_on || number + 1 == row.len() as u64,
                "{name}: {went:?}"
            );
        }
    }
    assert_eq!((guilds, agents), (2, 1));
}

/// A recording from which one line is taken, or in which an output is another one, does not pass.
fn finds_what_was_changed(recording: &str) {
    let lines: Vec<_> = recording.lines().collect();
    let outs = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with(r#"{"out""#));
    let outs: Vec<_> = outs.map(|(at, _)| at).collect();
    let middle = *outs.get(outs.len() / 2).unwrap();
    let but = |change: &dyn Fn(usize, &str) -> Option<String>| {
        let changed = lines
            .iter()
            .enumerate()
            .filter_map(|(at, line)| change(at, line));
        changed.map(|line| line + "\n").collect::<String>()
    };
    let without = but(&|at, line| (at != middle).then(|| line.to_owned()));
    let found = replayed(&without).unwrap().difference.unwrap();
    assert!(
        found.recorded.is_empty() && !found.replayed.is_empty(),
        "{found}"
    );
    let altered = but(&|at, line| {
        let hash = line.rfind('"').filter(|_| at == middle);
        let Some(digit) = hash.and_then(|end| end.checked_sub(1)) else {
            return Some(line.to_owned());
        };
        let (head, rest) = line.split_at(digit);
        let other = if rest.starts_with('0') { '1' } else { '0' };
        Some(format!("{head}{other}{}", rest.get(1..)?))
    });
    let found = replayed(&altered).unwrap().difference.unwrap();
    assert_eq!(found.recorded.len(), found.replayed.len(), "{found}");
    assert_eq!(usize::try_from(found.line).unwrap(), middle, "{found}");
}

#[test]
fn what_is_no_recording_is_said() {
    assert!(matches!(replayed(""), Err(ReplayError::Empty)));
    for (text, line) in [("{}\n", 1), ("{\"machine\":\"guest\"}\n", 1)] {
        let error = replayed(text).unwrap_err();
        assert!(
            error.to_string().contains(&format!("line {line} ")),
            "{error}"
        );
    }
}
