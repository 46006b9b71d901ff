//! Log lines for the host: `notifications/message`, above the level that it has set.
#![expect(
    deprecated,
    reason = "log notifications are part of the revisions that are spoken"
)]

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam, ServerNotification,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// How many log lines may wait for the host; further ones are counted and told with the next.
const LINES_MAX: usize = 256;

/// Only what this crate says goes to the host: the SDK's own lines would make new ones.
const TARGET: &str = "selvedge";

/// Takes log lines out of `tracing`.
#[derive(Debug)]
pub struct LogLayer {
    lines: mpsc::Sender<Line>,
    threshold: Threshold,
    dropped: Arc<AtomicU64>,
}

/// Log lines on their way to the host.
#[derive(Debug)]
pub struct LogFeed {
    lines: mpsc::Receiver<Line>,
    threshold: Threshold,
    dropped: Arc<AtomicU64>,
}

/// The least level that the host wants to see; `info` until it says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Threshold(Arc<AtomicU8>);

#[derive(Debug)]
struct Line {
    level: LoggingLevel,
    target: &'static str,
    data: Map<String, Value>,
}

/// The two ends of the host's log.
pub fn channel() -> (LogLayer, LogFeed) {
    let (lines_in, lines) = mpsc::channel(LINES_MAX);
    let threshold = Threshold(Arc::new(AtomicU8::new(rank(LoggingLevel::Info))));
    let dropped = Arc::new(AtomicU64::new(0));
    let layer = LogLayer {
        lines: lines_in,
        threshold: threshold.clone(),
        dropped: Arc::clone(&dropped),
    };
    let feed = LogFeed {
        lines,
        threshold,
        dropped,
    };
    (layer, feed)
}

impl Threshold {
    pub(super) fn set(&self, level: LoggingLevel) {
        self.0.store(rank(level), Ordering::Relaxed);
    }

    fn lets(&self, level: LoggingLevel) -> bool {
        rank(level) >= self.0.load(Ordering::Relaxed)
    }
}

/// The order of the levels, least first.
const fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

impl LogFeed {
    pub(super) fn threshold(&self) -> Threshold {
        self.threshold.clone()
    }

    /// The next line as a notification. It waits for ever where nothing logs any more.
    pub(super) async fn next(&mut self) -> ServerNotification {
        let Some(mut line) = self.lines.recv().await else {
            return std::future::pending().await;
        };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            line.data
                .insert("lines_dropped_before".into(), dropped.into());
        }
        let params = LoggingMessageNotificationParam::new(line.level, Value::Object(line.data))
            .with_logger(line.target);
        ServerNotification::LoggingMessageNotification(LoggingMessageNotification::new(params))
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let level = level_of(*event.metadata().level());
        let ours = target == TARGET || target.starts_with("selvedge::");
        if !ours || !self.threshold.lets(level) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            level,
            target,
            data: fields.0,
        };
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn level_of(level: Level) -> LoggingLevel {
    match level {
        Level::ERROR => LoggingLevel::Error,
        Level::WARN => LoggingLevel::Warning,
        Level::INFO => LoggingLevel::Info,
        Level::DEBUG | Level::TRACE => LoggingLevel::Debug,
    }
}

/// The fields of an event as JSON; the sentence is `message`.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}
