//! `selvedge demo`: one message all the way, with real parts at every step.

mod person;
mod stage;

use std::{
    io::{IsTerminal as _, stdin},
    time::Duration,
};

use clap::Args;
use selvedge_core::{
    Time,
    fabric::types::{Channel, Message},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
    time::timeout,
};

use self::{
    person::{PATIENCE, Person},
    stage::Stage,
};
use super::serving::{Wishes, say};
use crate::echo::EchoEvent;

/// How long the agent must stay silent in the report channel for the demo to believe it: a round
/// trip takes a hundredth of that.
const SILENCE: Duration = Duration::from_secs(1);

/// The options of `selvedge demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Runs the three checks, prints one line of JSON and ends; so it does without a terminal.
    #[arg(long)]
    pub once: bool,
}

/// Why the demo failed, and at which hop.
#[derive(Debug, thiserror::Error)]
#[error("the demo failed at the hop `{hop}`: {why}")]
pub struct DemoError {
    hop: &'static str,
    why: String,
}

impl DemoError {
    fn at(hop: &'static str, why: impl Into<String>) -> Self {
        Self {
            hop,
            why: why.into(),
        }
    }
}

/// Runs the demo: on a terminal until the user ends it, else once.
///
/// # Errors
///
/// With the hop at which it failed.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let once = args.once || !stdin().is_terminal();
    let on_terminal = |error: std::io::Error| DemoError::at("terminal", error.to_string());
    let mut wishes = Wishes::heed().map_err(on_terminal)?;
    let interrupted = || match once {
        true => Err(DemoError::at(
            "end",
            "it was asked to end before it was done",
        )),
        false => tell(""),
    };
    let Some(stage) = wishes.or(Stage::build()).await else {
        return interrupted();
    };
    let mut stage = stage?;
    let play = async {
        if once {
            play_once(&mut stage).await
        } else {
            play_on(&mut stage).await
        }
    };
    let played = wishes.or(play).await.unwrap_or_else(interrupted);
    let struck = wishes.farewell(stage.strike()).await;
    played.and(struck)
}

fn tell(line: &str) -> Result<(), DemoError> {
    say(line).map_err(|error| DemoError::at("terminal", error.to_string()))
}

/// The moments of one round trip.
struct RoundTrip {
    posted: Time,
    answered: Time,
    emitted: Time,
    notified: Time,
    sent: Time,
    stored: Time,
    seen: Time,
    reply: Box<Message>,
}

impl RoundTrip {
    fn millis(&self) -> f64 {
        self.seen.since(self.posted).as_secs_f64() * 1_000.0
    }
}

async fn play_once(stage: &mut Stage) -> Result<(), DemoError> {
    let (general, dm) = (stage.general.clone(), stage.dm.clone());
    let mut trips = Vec::new();
    for channel in [&general, &dm] {
        trips.push(round_trip(stage, channel, &format!("hello, {}", channel.name)).await?);
    }
    silence(stage).await?;
    let millis: Vec<f64> = trips
        .iter()
        .map(|trip| (trip.millis() * 100.0).round() / 100.0)
        .collect();
    let line = serde_json::json!({
        "ok": true, "roundtrips_ms": millis, "silent_in_report": true,
    });
    tell(&line.to_string())
}

async fn play_on(stage: &mut Stage) -> Result<(), DemoError> {
    let (general, dm) = (stage.general.clone(), stage.dm.clone());
    tell(&format!(
        "An embedded Fabric is up. Watch and join in at {}/ as bob, with this API key:",
        stage.guild_url
    ))?;
    tell(&format!("  {}", stage.bob_key.expose()))?;
    for (channel, line) in [(&general, "good morning"), (&dm, "just between us")] {
        converse(stage, channel, line).await?;
    }
    tell(&format!("\n#{} (report)", stage.report.name))?;
    tell("  alice  the build is green")?;
    silence(stage).await?;
    tell("         nobody is woken in a report channel, and the agent stays silent")?;
    tell(&format!(
        "\nType a line to post it in #{} as alice; Ctrl-C ends.",
        general.name
    ))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = lines
            .next_line()
            .await
            .map_err(|error| DemoError::at("terminal", error.to_string()))?;
        match line.as_deref().map(str::trim) {
            Some("") => {}
            Some(line) => match converse(stage, &general, line).await {
                Ok(()) => {}
                Err(error) => tell(&format!("  {error}"))?,
            },
            None => return Ok(()),
        }
    }
}

/// One round trip as a person would want to read it.
async fn converse(stage: &mut Stage, channel: &Channel, line: &str) -> Result<(), DemoError> {
    let trip = round_trip(stage, channel, line).await?;
    let after = |at: Time| at.since(trip.posted).as_secs_f64() * 1_000.0;
    tell(&format!(
        "\n#{} ({})",
        channel.name,
        channel.x_type.as_str()
    ))?;
    tell(&format!("  alice  {line}"))?;
    let mut moments = [
        (
            trip.emitted,
            "the guild has stored it and emits message.created",
        ),
        (trip.answered, "alice's POST is answered"),
        (
            trip.notified,
            "the plugin has decided, and the agent's host is notified",
        ),
        (trip.sent, "the agent answers: it calls the tool `send`"),
        (trip.stored, "the guild has taken the reply: `send` returns"),
        (trip.seen, "alice sees it on her own socket"),
    ];
    moments.sort_by_key(|(at, _)| *at);
    for (at, what) in moments {
        tell(&format!("         {:>8.2} ms  {what}", after(at)))?;
    }
    tell(&format!("  echo   {}", trip.reply.content))
}

/// Posts as alice and follows the message until she sees its answer.
async fn round_trip(
    stage: &mut Stage,
    channel: &Channel,
    line: &str,
) -> Result<RoundTrip, DemoError> {
    let posted = stage.clock.now();
    let message = stage.alice.post(&channel.id, line).await?;
    let answered = stage.clock.now();
    let (emitted, _) = seen(&mut stage.alice, "message.created", |seen| {
        seen.id == message.id
    })
    .await?;
    let notified = agent(&mut stage.events, "host notified", |event| match event {
        EchoEvent::Inbound { at, inbound } => inbound
            .messages
            .iter()
            .any(|told| told.id == message.id)
            .then_some(at),
        EchoEvent::Sent { .. } | EchoEvent::Done { .. } | EchoEvent::Failed { .. } => None,
    })
    .await?;
    let (sent, stored) = agent(&mut stage.events, "tool send", |event| match event {
        EchoEvent::Sent { called_at, at, .. } => Some((called_at, at)),
        EchoEvent::Inbound { .. } | EchoEvent::Done { .. } | EchoEvent::Failed { .. } => None,
    })
    .await?;
    let (seen, reply) = seen(&mut stage.alice, "reply visible", |seen| {
        seen.reply_to_id.as_ref() == Some(&message.id)
    })
    .await?;
    Ok(RoundTrip {
        posted,
        answered,
        emitted,
        notified,
        sent,
        stored,
        seen,
        reply,
    })
}

/// Posts in the report channel, where the agent must neither be woken nor answer.
async fn silence(stage: &mut Stage) -> Result<(), DemoError> {
    let report = stage.report.id.clone();
    let message = stage.alice.post(&report, "the build is green").await?;
    seen(&mut stage.alice, "message.created", |seen| {
        seen.id == message.id
    })
    .await?;
    let stirs = async {
        loop {
            match stage.events.recv().await {
                Some(EchoEvent::Done { .. }) => {}
                Some(EchoEvent::Inbound { .. } | EchoEvent::Sent { .. }) => {
                    return "the agent was woken in a report channel".to_owned();
                }
                Some(EchoEvent::Failed { why, .. }) => return why,
                None => return "the agent is gone".to_owned(),
            }
        }
    };
    if let Ok(why) = timeout(SILENCE, stirs).await {
        return Err(DemoError::at("silence", why));
    }
    match stage.alice.watch(Duration::ZERO).await? {
        None => Ok(()),
        Some(_) => Err(DemoError::at(
            "silence",
            "somebody spoke in the report channel",
        )),
    }
}

async fn seen(
    person: &mut Person,
    hop: &'static str,
    wanted: impl Fn(&Message) -> bool,
) -> Result<(Time, Box<Message>), DemoError> {
    loop {
        match person.watch(PATIENCE).await? {
            Some((at, message)) if wanted(&message) => return Ok((at, message)),
            Some(_) => {}
            None => {
                let why = format!("{} did not see it in {PATIENCE:?}", person.id);
                return Err(DemoError::at(hop, why));
            }
        }
    }
}

async fn agent<T>(
    events: &mut mpsc::Receiver<EchoEvent>,
    hop: &'static str,
    wanted: impl Fn(EchoEvent) -> Option<T>,
) -> Result<T, DemoError> {
    let found = async {
        loop {
            match events.recv().await {
                Some(EchoEvent::Failed { why, .. }) => return Err(DemoError::at(hop, why)),
                Some(event) => {
                    if let Some(found) = wanted(event) {
                        return Ok(found);
                    }
                }
                None => return Err(DemoError::at(hop, "the agent is gone")),
            }
        }
    };
    match timeout(PATIENCE, found).await {
        Ok(found) => found,
        Err(_) => Err(DemoError::at(hop, format!("nothing in {PATIENCE:?}"))),
    }
}
