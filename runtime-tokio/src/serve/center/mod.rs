//! The embedded Center: accounts, guilds and their tokens.

mod api;
mod attempts;
mod keyring;
mod password;
mod store;

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request, http::StatusCode, response::Response};
use selvedge_core::{
    Secret,
    id::{GuildId, UserId},
};

pub use self::keyring::Rotation;
use self::{api::Center, store::CenterStore};
use super::{
    ServeError,
    cors::Cors,
    http::{self, Server},
    listen, random,
};

/// The database in the data folder.
const DATABASE: &str = "center.sqlite";
/// The file of a generated admin key in the data folder.
const ADMIN_KEY: &str = "center-admin-key";
/// The largest body of a call: all of them are a few names and keys.
const BODY_BYTES_MAX: usize = 16 << 10;

/// The longest life of a token. A day is far more than a client needs that logs in again by itself.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(86_400);

/// What a Center is started with.
#[derive(Clone, Debug)]
pub struct CenterOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of its database; made where it is not there.
    pub data_dir: PathBuf,
    /// The file with the key of the administrator. Without it a key is made at the first start and
    /// kept, with mode 0600, in the data folder.
    pub admin_key_file: Option<PathBuf>,
    /// How long tokens live, at most [`TOKEN_LIFE_MAX`]. Default: 900 s. A longer life keeps a
    /// removed user in for longer.
    pub token_life: Duration,
}

impl CenterOptions {
    /// The options with defaults for everything else.
    pub const fn new(listen: SocketAddr, data_dir: PathBuf) -> Self {
        Self {
            listen,
            data_dir,
            admin_key_file: None,
            token_life: Duration::from_secs(900),
        }
    }
}

/// A user that was just made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The account's id.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// Its API key: told this once, only a fingerprint is kept.
    pub api_key: Secret,
}

/// A Center that is up. Ends with [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct RunningCenter {
    center: Arc<Center>,
    server: Server,
    admin_key: Secret,
}

impl RunningCenter {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Its origin.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The key of the administrator, who makes users.
    pub const fn admin_key(&self) -> &Secret {
        &self.admin_key
    }

    /// Makes a user.
    ///
    /// # Errors
    ///
    /// Where the name is taken or unusable, or the database fails.
    pub async fn add_user(
        &self,
        name: &str,
        password: Option<&Secret>,
    ) -> Result<NewUser, ServeError> {
        add_user(self.center.store(), name, password).await
    }

    /// Makes a guild, or a new API key for one; an older key of it is no longer good.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub async fn add_guild(&self, guild: &GuildId) -> Result<Secret, ServeError> {
        add_guild(self.center.store(), guild).await
    }

    /// Puts a new signing key in place of the one that signs.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub async fn rotate_key(&self, rotation: Rotation) -> Result<(), ServeError> {
        self.center.store().rotate(rotation).await
    }

    /// Lets open requests finish, then closes the database.
    pub async fn shutdown(mut self) {
        self.server.stop().await;
        self.center.store().close().await;
        tracing::info!("Center has stopped");
    }
}

/// Starts a Center.
///
/// # Errors
///
/// Where the address or the data folder cannot be used, or tokens would live too long.
pub async fn start_center(options: CenterOptions) -> Result<RunningCenter, ServeError> {
    if options.token_life > TOKEN_LIFE_MAX {
        return Err(ServeError::Input(format!(
            "the life of tokens: expected at most {} seconds",
            TOKEN_LIFE_MAX.as_secs()
        )));
    }
    make_folder(&options.data_dir)?;
    let admin_key = match &options.admin_key_file {
        Some(path) => read_key(path)?,
        None => kept_key(&options.data_dir.join(ADMIN_KEY))?,
    };
    let store = CenterStore::open(&options.data_dir.join(DATABASE)).await?;
    let center = Arc::new(Center::new(store, &admin_key, options.token_life).await?);
    let listener = listen(options.listen).await?;
    let router = Router::new().fallback({
        let center = Arc::clone(&center);
        move |request| serve(Arc::clone(&center), request)
    });
    let server = Server::start(listener, router).map_err(|source| ServeError::Listen {
        addr: options.listen,
        source,
    })?;
    tracing::info!(addr = %server.addr(), "Center is up");
    Ok(RunningCenter {
        center,
        server,
        admin_key,
    })
}

/// Makes a user in the Center of a data folder, which may be running.
///
/// # Errors
///
/// Where the name is taken or unusable, or the database fails.
pub async fn add_user_in(
    data_dir: &Path,
    name: &str,
    password: Option<&Secret>,
) -> Result<NewUser, ServeError> {
    make_folder(data_dir)?;
    let store = CenterStore::open(&data_dir.join(DATABASE)).await?;
    let user = add_user(&store, name, password).await;
    store.close().await;
    user
}

/// Makes a guild, or a new API key for one, in the Center of a data folder, which may be running.
///
/// # Errors
///
/// Where the database fails.
pub async fn add_guild_in(data_dir: &Path, guild: &GuildId) -> Result<Secret, ServeError> {
    make_folder(data_dir)?;
    let store = CenterStore::open(&data_dir.join(DATABASE)).await?;
    let key = add_guild(&store, guild).await;
    store.close().await;
    key
}

/// Puts a new signing key in place of the one that signs, in the Center of a data folder, which may be
/// running: it uses the new key from its next answer on.
///
/// # Errors
///
/// Where the database fails.
pub async fn rotate_key_in(data_dir: &Path, rotation: Rotation) -> Result<(), ServeError> {
    make_folder(data_dir)?;
    let store = CenterStore::open(&data_dir.join(DATABASE)).await?;
    let rotated = store.rotate(rotation).await;
    store.close().await;
    rotated
}

async fn serve(center: Arc<Center>, request: Request) -> Response {
    let cors = Cors::new("", None);
    let (method, headers) = (request.method().clone(), request.headers().clone());
    if let Some(answer) = cors.preflight(&method, &headers) {
        return answer;
    }
    let uri = request.uri().clone();
    let mut answer = match http::read(request, BODY_BYTES_MAX).await {
        Ok(request) => http::respond(center.answer(request).await),
        Err(refused) => http::respond(refused),
    };
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        http::allow(&mut answer, api::allowed(uri.path()));
    }
    cors.mark(&headers, &mut answer);
    answer
}

async fn add_user(
    store: &CenterStore,
    name: &str,
    password: Option<&Secret>,
) -> Result<NewUser, ServeError> {
    api::check_name(name).map_err(ServeError::Input)?;
    let password = match password {
        Some(password) => {
            api::check_password(password).map_err(ServeError::Input)?;
            Some(password::hashed(password.clone()).await?)
        }
        None => None,
    };
    let id = UserId::new(&random::id("u_")?)
        .ok_or_else(|| ServeError::Bug("a user id of ours is no id".into()))?;
    let api_key = random::key("sk_")?;
    let fresh = store
        .add_user(&id, name, &random::fingerprint(api_key.expose()), password)
        .await?;
    if !fresh {
        return Err(ServeError::Input(format!(
            "the name {name} is taken; choose another one"
        )));
    }
    Ok(NewUser {
        id,
        name: name.to_owned(),
        api_key,
    })
}

async fn add_guild(store: &CenterStore, guild: &GuildId) -> Result<Secret, ServeError> {
    let key = random::key("gk_")?;
    store
        .add_guild(guild, &random::fingerprint(key.expose()))
        .await?;
    Ok(key)
}

/// Makes a data folder where it is not there.
pub(super) fn make_folder(path: &Path) -> Result<(), ServeError> {
    std::fs::create_dir_all(path).map_err(|source| ServeError::File {
        path: path.to_path_buf(),
        source,
    })
}

fn read_key(path: &Path) -> Result<Secret, ServeError> {
    let text = std::fs::read_to_string(path).map_err(|source| ServeError::File {
        path: path.to_path_buf(),
        source,
    })?;
    match text.trim() {
        key if key.len() < 16 => Err(ServeError::Input(format!(
            "{}: expected a key of at least 16 characters",
            path.display()
        ))),
        key => Ok(Secret::new(key)),
    }
}

/// The key in the file at `path`, which is made with a random one where it is not there.
fn kept_key(path: &Path) -> Result<Secret, ServeError> {
    let failed = |source| ServeError::File {
        path: path.to_path_buf(),
        source,
    };
    let key = random::key("ak_")?;
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(mut file) => {
            writeln!(file, "{}", key.expose()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            tracing::info!(path = %path.display(), "made a key for the administrator");
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
