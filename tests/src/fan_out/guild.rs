//! A guild with its Center, as an operator starts it, and the users in its channels.

use std::process::Stdio;

use selvedge::{http::Client, tls};
use selvedge_core::{
    Secret,
    fabric::{
        center::Login,
        types::{Channel, XType},
    },
    http::{Method, Request},
};
use serde_json::json;

use super::stage::{Running, Server, Token};
use crate::fabric::{Fault, answer, command};

/// How many sockets a user has: as many as a guild lets it have.
const SOCKETS_A_USER: usize = 100;

/// Starts a guild with users for so many sockets, all of them members of a channel of that kind, and
/// of another one.
pub(super) async fn start(
    x_type: XType,
    sockets: usize,
    is_recorded: bool,
) -> Result<Server, Fault> {
    let folder = tempfile::tempdir()?;
    let client = Client::new(&tls::client_config(None)?, None)?;
    let mut serve = command(&folder, ["guild"]);
    serve.args(["--with-center", "--port", "0", "--center-port", "0"]);
    if is_recorded {
        serve.arg("--record").arg(folder.path().join("recordings"));
    }
    let users = sockets.div_ceil(SOCKETS_A_USER).max(2);
    let add_user = |number: usize| {
        let mut add = command(&folder, ["center"]);
        add.args(["user", "add", &format!("user-{number}")]);
        add.stdout(Stdio::piped());
        add
    };
    let mut adding: Vec<_> = (0..users).map(add_user).collect();
    let mut running = Running::start(serve, Some(folder))?;
    let center = running.says("Center is up at ").await?;
    let origin = running.says("the guild node is up at ").await?;
    let (mut ids, mut tokens) = (Vec::new(), Vec::new());
    for add in &mut adding {
        let said = String::from_utf8(add.output().await?.stdout)?;
        let api_key = Secret::new(said.split_whitespace().last().ok_or("no key")?);
        let session = client.login(&center, &Login::ApiKey { api_key }).await;
        let session = session.map_err(|failure| format!("no login: {failure:?}"))?;
        let grant = session.grants.into_iter().next().ok_or("no guild")?;
        ids.push(session.user.id);
        tokens.push(Token(grant.token));
    }
    let create = async |name: &str| {
        let body = json!({ "name": name, "xType": x_type, "memberUserIds": &ids });
        let request = Request {
            method: Method::Post,
            target: "/api/channels".into(),
            bearer: tokens.first().map(|token| token.0.clone()),
            body: body.to_string().into(),
        };
        let channel: Channel = answer(&client, &origin, request).await?;
        Ok::<_, Fault>(channel.id.to_string())
    };
    let rooms = [create("room").await?, create("aside").await?];
    let (_, port) = origin.rsplit_once(':').ok_or("no port")?;
    Server::new(running, port.parse()?, rooms, tokens)
}
