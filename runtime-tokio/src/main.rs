//! The binary `selvedge`: one subcommand for each thing that can be run.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use selvedge::{
    commands::{self, Failure},
    host::log::{LogFeed, LogLayer},
};
use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::ParseError,
    fmt::format::{Writer, debug_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Keeps AI agents attached to Fabric.
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, about, propagate_version = true)]
struct Cli {
    /// How log lines are written to standard error; SELVEDGE_LOG sets which.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, env = "SELVEDGE_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes one message all the way: a post, the plugin, an agent, its answer.
    Demo(commands::demo::DemoArgs),
    /// Serves the agents of a configuration to their host, over MCP on standard input and output.
    Plugin(commands::plugin::Args),
    /// Tries out everything that a configuration names, and says what works and what to do.
    Doctor(commands::doctor::DoctorArgs),
    /// Asks the running plugin of a configuration how each agent and each link does.
    Status(commands::status::StatusArgs),
    /// Copies the plugin's store, and puts a copy in its place.
    Store(commands::store::StoreArgs),
    /// Runs the plugin of a configuration with an agent that repeats what it is told.
    Echo(commands::echo::EchoArgs),
    /// Serves an embedded guild node, with its own Center where that is wanted.
    Guild(commands::guild::GuildArgs),
    /// Administers the embedded Center.
    Center(commands::center::CenterArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match run(cli) {
        Ok(()) => 0,
        Err(failure) => {
            // Nothing is left to be told where standard error is gone.
            let _ = writeln!(io::stderr(), "selvedge: {failure}");
            1
        }
    };
    // Not by returning: a blocking read of standard input would keep the runtime waiting.
    std::process::exit(code)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (layer, feed) = selvedge::host::log::channel();
    let unless_set = match cli.command {
        // The terminal is for the conversation, or for what is found.
        Command::Demo(_) | Command::Doctor(_) | Command::Status(_) | Command::Store(_) => "warn",
        Command::Plugin(_) | Command::Echo(_) | Command::Guild(_) | Command::Center(_) => "info",
    };
    start_log(cli.log_format, unless_set, layer).map_err(Failure::new)?;
    selvedge::descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let result = runtime.block_on(dispatch(cli.command, feed));
    runtime.shutdown_background();
    result
}

async fn dispatch(command: Command, log: LogFeed) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => commands::demo::run(args).await.map_err(Failure::new),
        Command::Plugin(args) => commands::plugin::run(args, log).await,
        Command::Doctor(args) => commands::doctor::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::Store(args) => commands::store::run(args).await,
        Command::Echo(args) => commands::echo::run(args).await,
        Command::Guild(args) => commands::guild::run(args).await.map_err(Failure::new),
        Command::Center(args) => commands::center::run(args).await.map_err(Failure::new),
    }
}

/// The libraries below write frames and headers, which hold tokens, when they are let: they must be
/// named in SELVEDGE_LOG to be heard.
const LIBRARIES: &str = "hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,tungstenite=warn,\
                         tokio_tungstenite=warn,rmcp=warn";

#[derive(Debug, thiserror::Error)]
#[error("SELVEDGE_LOG cannot be read; set it to a level such as debug, or to target=level pairs")]
struct LogError(#[from] ParseError);

/// Fields for machines alone: the sentence of the line says the same.
const IN_THE_SENTENCE: [&str; 4] = ["note", "why", "lived_ms", "retry_in_ms"];

fn for_eyes(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if IN_THE_SENTENCE.contains(&name) => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

fn start_log(format: LogFormat, unless_set: &str, host: LogLayer) -> Result<(), LogError> {
    let wanted = std::env::var("SELVEDGE_LOG").unwrap_or_default();
    let filter = EnvFilter::builder().parse(format!("{unless_set},{LIBRARIES},{wanted}"))?;
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        // It would be told on standard error, and panic where that is the very thing that is gone.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    let stderr = match format {
        LogFormat::Human => stderr
            .with_target(false)
            .fmt_fields(debug_fn(for_eyes))
            .boxed(),
        LogFormat::Json => stderr.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(stderr.with_filter(filter))
        .with(host)
        .init();
    Ok(())
}
