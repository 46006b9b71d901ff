//! `selvedge center`: an embedded Center of its own, its users and its guilds.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand, value_parser};
use selvedge_core::{Secret, id::GuildId};

use super::{
    guild::DATA_DIR,
    serving::{CommandError, Wishes, say},
};
use crate::serve::{
    CenterOptions,
    center::{Rotation, TOKEN_LIFE_MAX, add_guild_in, add_user_in, rotate_key_in},
    start_center,
};

/// The options of `selvedge center`.
#[derive(Clone, Debug, Args)]
pub struct CenterArgs {
    /// The folder with Center's database.
    #[arg(long, global = true, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: CenterCommand,
}

/// What `selvedge center` does.
#[derive(Clone, Debug, Subcommand)]
pub enum CenterCommand {
    /// Serve Center until the process is asked to end.
    Serve {
        /// The address to listen on.
        #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
        host: IpAddr,
        /// The port to listen on.
        #[arg(long, default_value_t = 7001)]
        port: u16,
        /// The file with the administrator's key; without it one is made in the data folder.
        #[arg(long)]
        admin_key_file: Option<PathBuf>,
        /// How long tokens live, in seconds.
        #[arg(long, default_value_t = 900, value_parser = value_parser!(u64).range(1..=TOKEN_LIFE_MAX.as_secs()))]
        token_life: u64,
    },
    /// Users.
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Guilds.
    Guild {
        /// What to do.
        #[command(subcommand)]
        command: GuildCommand,
    },
    /// The key that tokens are signed with.
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
}

/// What `selvedge center user` does.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user and print its API key, this once.
    Add {
        /// The user's name.
        name: String,
        /// Read a password for the user from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
}

/// What `selvedge center guild` does.
#[derive(Clone, Debug, Subcommand)]
pub enum GuildCommand {
    /// Make a guild, or a new API key for one, and print the key, this once.
    Add {
        /// The guild's id.
        id: String,
    },
}

/// What `selvedge center key` does.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Sign with a new key from now on, also in a Center that is up; tokens of the former one stay good
    /// until they expire.
    Rotate {
        /// The former key has become known: its tokens are dead at once, and everybody has to log in
        /// again.
        #[arg(long)]
        revoke: bool,
    },
}

/// Runs `selvedge center`.
///
/// # Errors
///
/// Where the data folder or the address cannot be used, or a name is taken.
pub async fn run(args: CenterArgs) -> Result<(), CommandError> {
    let data_dir = args.data_dir;
    match args.command {
        CenterCommand::Serve {
            host,
            port,
            admin_key_file,
            token_life,
        } => {
            let mut options = CenterOptions::new(SocketAddr::new(host, port), data_dir);
            options.admin_key_file = admin_key_file;
            options.token_life = Duration::from_secs(token_life);
            let center = start_center(options).await?;
            let mut wishes = Wishes::heed()?;
            say(&format!("Center is up at {}", center.url()))?;
            wishes.or(std::future::pending::<()>()).await;
            wishes.farewell(center.shutdown()).await;
        }
        CenterCommand::User {
            command:
                UserCommand::Add {
                    name,
                    password_stdin,
                },
        } => {
            let password = password_stdin.then(read_password).transpose()?;
            let user = add_user_in(&data_dir, &name, password.as_ref()).await?;
            say(&format!("id:      {}", user.id))?;
            say(&format!("API key: {}", user.api_key.expose()))?;
        }
        CenterCommand::Guild {
            command: GuildCommand::Add { id },
        } => {
            let guild = GuildId::new(&id).ok_or_else(|| CommandError::Setting {
                name: "the guild's id".into(),
                problem: "is empty or too long".into(),
                wanted: "expected 1 to 128 bytes".into(),
            })?;
            let key = add_guild_in(&data_dir, &guild).await?;
            say(&format!("API key: {}", key.expose()))?;
        }
        CenterCommand::Key {
            command: KeyCommand::Rotate { revoke },
        } => {
            let (rotation, words) = match revoke {
                false => (
                    Rotation::Gradual,
                    "A new key signs; tokens of the former one are good until they expire.",
                ),
                true => (
                    Rotation::Immediate,
                    "A new key signs; all tokens of before are dead, and everybody has to log in again.",
                ),
            };
            rotate_key_in(&data_dir, rotation).await?;
            say(words)?;
        }
    }
    Ok(())
}

fn read_password() -> Result<Secret, CommandError> {
    let mut text = String::new();
    // More than any password that is taken.
    std::io::stdin().take(4_096).read_to_string(&mut text)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
