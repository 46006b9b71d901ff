//! Tests of the embedded Center, over real sockets.

use std::os::unix::fs::PermissionsExt as _;

use selvedge_core::{
    fabric::{
        center::{BY_NAME, INTROSPECT, Introspection, LOGIN, REGISTER, SessionBody, USERS, User},
        error::ErrorBody,
        routes::encoded,
    },
    http::{Method, Request as Call, Response as Reply},
    id::UserId,
};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use super::{store::SCHEMA, *};
use crate::{
    http::Client,
    store::{Schema, open},
    tls,
};

struct Fixture {
    folder: TempDir,
    center: RunningCenter,
    client: Client,
}

impl Fixture {
    async fn start(token_life: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        options.token_life = token_life;
        let center = start_center(options).await.unwrap();
        let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
        Self {
            folder,
            center,
            client,
        }
    }

    async fn call(&self, method: Method, target: &str, bearer: &str, body: Value) -> Reply {
        let request = Call {
            method,
            target: target.into(),
            bearer: (!bearer.is_empty()).then(|| Secret::new(bearer)),
            body: if body.is_null() {
                bytes::Bytes::new()
            } else {
                body.to_string().into()
            },
        };
        self.client.send(&self.center.url(), request).await.unwrap()
    }

    async fn post(&self, target: &str, bearer: &str, body: Value) -> Reply {
        self.call(Method::Post, target, bearer, body).await
    }

    async fn guild(&self, guild: &str) -> Secret {
        let guild = GuildId::new(guild).unwrap();
        let key = self.center.add_guild(&guild).await.unwrap();
        let body = json!({"nodeId": format!("node-{guild}"), "baseUrl": "http://h:1/"});
        let answer = self.post(REGISTER, key.expose(), body).await;
        assert_eq!(answer.status, 201);
        key
    }

    async fn login(&self, key: &Secret) -> SessionBody {
        let answer = self.post(LOGIN, "", json!({"apiKey": key.expose()})).await;
        assert_eq!(answer.status, 201);
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn introspect(&self, guild_key: &Secret, token: &str) -> Introspection {
        let answer = self
            .post(INTROSPECT, guild_key.expose(), json!({"token": token}))
            .await;
        assert_eq!(answer.status, 201);
        serde_json::from_slice(&answer.body).unwrap()
    }
}

fn options(folder: &Path) -> CenterOptions {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    CenterOptions::new(listen, folder.join("data"))
}

fn words(answer: &Reply) -> (u16, String) {
    let body: ErrorBody = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body.status_code, answer.status);
    (answer.status, body.message.to_string())
}

#[tokio::test]
async fn a_login_gives_tokens_that_the_guild_finds_good() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let al = it.center.add_user("Al", None).await.unwrap();
    let key = it.guild("g").await;
    it.center
        .add_guild(&GuildId::new("not-registered").unwrap())
        .await
        .unwrap();
    let session = it.login(&al.api_key).await;
    assert_eq!(session.user.id, al.id);
    let [grant] = session.guild_access_tokens.as_slice() else {
        panic!("{session:?}");
    };
    assert_eq!(grant.guild_node_id.as_str(), "node-g");
    assert_eq!(grant.guild_id, GuildId::new("g"));
    assert_eq!(grant.base_url.as_deref(), Some("http://h:1"));

    let good = it.introspect(&key, grant.token.expose()).await;
    assert!(good.active);
    assert_eq!(
        (good.user_id, good.name),
        (Some(al.id.clone()), Some("Al".into()))
    );
    assert_eq!(good.guild_id, GuildId::new("g"));
    assert_eq!(good.expires_at, grant.expires_at);

    let user_token = it.introspect(&key, session.access_token.expose()).await;
    assert!(user_token.active && user_token.guild_id.is_none());

    let other = it.guild("h").await;
    let dead = it.introspect(&other, grant.token.expose()).await;
    assert_eq!(
        serde_json::to_value(&dead).unwrap(),
        json!({"active": false})
    );
    assert!(!it.introspect(&key, "nonsense").await.active);

    // Users belong to every guild, whichever of the two was made first.
    let bo = it.center.add_user("Bo", None).await.unwrap();
    for user in [&al, &bo] {
        let grants = it.login(&user.api_key).await.guild_access_tokens;
        let nodes: Vec<_> = grants.iter().map(|it| it.guild_node_id.as_str()).collect();
        assert_eq!(nodes, ["node-g", "node-h"]);
    }

    // Another key of the guild, another start of Center: tokens stay good, the old key does not.
    let fresh = it
        .center
        .add_guild(&GuildId::new("g").unwrap())
        .await
        .unwrap();
    let answer = it
        .post(INTROSPECT, key.expose(), json!({"token": "x"}))
        .await;
    assert_eq!(words(&answer).0, 401);
    let admin_key = it.center.admin_key().clone();
    it.center.shutdown().await;
    let center = start_center(options(it.folder.path())).await.unwrap();
    assert_eq!(*center.admin_key(), admin_key);
    let it = Fixture { center, ..it };
    assert!(it.introspect(&fresh, grant.token.expose()).await.active);
    it.center.shutdown().await;
}

#[tokio::test]
async fn an_expired_token_is_dead() {
    let it = Fixture::start(Duration::ZERO).await;
    let al = it.center.add_user("Al", None).await.unwrap();
    let key = it.guild("g").await;
    let session = it.login(&al.api_key).await;
    let grant = session.guild_access_tokens.first().unwrap();
    assert!(!it.introspect(&key, grant.token.expose()).await.active);
    it.center.shutdown().await;
}

#[tokio::test]
async fn a_refusal_names_the_field_and_not_the_secret() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let password = Secret::new("correct horse");
    it.center.add_user("Al", Some(&password)).await.unwrap();
    it.center.add_user("Keyed", None).await.unwrap();
    let key = it.guild("g").await;
    let right = json!({"name": "Al", "password": "correct horse"});
    assert_eq!(it.post(LOGIN, "", right).await.status, 201);
    for (body, status, starts) in [
        (
            json!({"name": "Al", "password": "wrong"}),
            401,
            "name or password",
        ),
        (
            json!({"name": "Bo", "password": "wrong"}),
            401,
            "name or password",
        ),
        (
            json!({"name": "Keyed", "password": "wrong"}),
            401,
            "name or password",
        ),
        (json!({"apiKey": "sk_wrong"}), 401, "the API key"),
        (json!({"name": "Al"}), 400, "password: missing"),
        (json!({"password": "x"}), 400, "name: missing"),
        (
            json!({"apiKey": "k", "name": "Al"}),
            400,
            "name: not together",
        ),
        (json!({"apiKey": 7}), 400, "apiKey: invalid type"),
        (json!([]), 400, "body: expected a JSON object"),
        (json!({}), 400, "apiKey: missing"),
        (json!("sk_very-secret"), 400, "body: expected a JSON object"),
    ] {
        let (found, message) = words(&it.post(LOGIN, "", body.clone()).await);
        assert_eq!(found, status, "{body} {message}");
        assert!(message.starts_with(starts), "{body} {message}");
    }
    for (bearer, body, status, starts) in [
        ("", json!({"token": "x"}), 401, "this needs"),
        ("gk_wrong", json!({"token": "x"}), 401, "this needs"),
        (
            key.expose(),
            json!({"token": 1}),
            400,
            "token: invalid type",
        ),
        (key.expose(), json!({}), 400, "body: missing field `token`"),
    ] {
        let (found, message) = words(&it.post(INTROSPECT, bearer, body).await);
        assert_eq!(
            (found, message.starts_with(starts)),
            (status, true),
            "{message}"
        );
    }
    for (body, starts) in [
        (
            json!({"nodeId": "", "baseUrl": "http://h"}),
            "nodeId: invalid length",
        ),
        (
            json!({"nodeId": "n", "baseUrl": "http://h/path"}),
            "baseUrl: expected",
        ),
        (
            json!({"nodeId": "n", "baseUrl": "ftp://h"}),
            "baseUrl: expected",
        ),
    ] {
        let (found, message) = words(&it.post(REGISTER, key.expose(), body).await);
        assert_eq!(
            (found, message.starts_with(starts)),
            (400, true),
            "{message}"
        );
    }
    let other = it.guild("h").await;
    let taken = json!({"nodeId": "node-g", "baseUrl": "http://h"});
    assert_eq!(
        words(&it.post(REGISTER, other.expose(), taken).await).0,
        409
    );
    it.center.shutdown().await;
}

#[tokio::test]
async fn the_administrator_makes_users_who_are_found_by_name() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let key = it.guild("g").await;
    let admin = it.center.admin_key().expose().to_owned();
    let name = "Zoë / 50%";
    let answer = it.post(USERS, &admin, json!({"name": name})).await;
    assert_eq!(answer.status, 201);
    let made: Value = serde_json::from_slice(&answer.body).unwrap();
    let session = it
        .login(&Secret::new(made["apiKey"].as_str().unwrap()))
        .await;
    for (bearer, body, status) in [
        ("", json!({"name": "B"}), 401),
        (key.expose(), json!({"name": "B"}), 401),
        (&admin, json!({"name": name}), 409),
        (&admin, json!({"name": ""}), 400),
        (&admin, json!({"name": "a<b"}), 400),
        (&admin, json!({"name": " a"}), 400),
        (&admin, json!({"name": "x".repeat(65)}), 400),
        (&admin, json!({"name": "B", "password": "short"}), 400),
    ] {
        assert_eq!(words(&it.post(USERS, bearer, body).await).0, status);
    }
    let target = format!("{BY_NAME}{}", encoded(name));
    for bearer in [key.expose(), session.access_token.expose()] {
        let answer = it.call(Method::Get, &target, bearer, Value::Null).await;
        let user: User = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(user.id, UserId::new(made["id"].as_str().unwrap()).unwrap());
        assert_eq!(user.name, name);
    }
    let guild_token = session.guild_access_tokens.first().unwrap().token.expose();
    let other_case = format!("{BY_NAME}{}", encoded("zoë / 50%"));
    for (target, bearer, status) in [
        (target.as_str(), "", 401),
        (&target, guild_token, 401),
        ("/api/users/by-name/nobody", key.expose(), 404),
        (&other_case, key.expose(), 404),
        ("/api/users/by-name/%ff", key.expose(), 400),
        ("/api/users/by-name/", key.expose(), 404),
        (LOGIN, "", 405),
        ("/nowhere?x=1", "", 404),
    ] {
        let answer = it.call(Method::Get, target, bearer, Value::Null).await;
        assert_eq!(words(&answer).0, status, "{target}");
    }
    it.center.shutdown().await;
}

/// Every call of Center's, as everybody who may knock.
#[tokio::test]
async fn who_may_ask_what_is_as_it_was_reviewed() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let al = it.center.add_user("Al", None).await.unwrap();
    let guild = it.guild("g").await;
    let session = it.login(&al.api_key).await;
    let grant = session.guild_access_tokens.first().unwrap();
    let by_name = format!("{BY_NAME}Al");
    let key = json!({"apiKey": al.api_key.expose()});
    let token = json!({"token": session.access_token.expose()});
    let node = json!({"nodeId": "node-g", "baseUrl": "http://h:1/"});
    // Nobody, a stranger, a user by key, by its own token and by a guild's, a guild, the administrator.
    let askers = [
        "",
        "foreign",
        al.api_key.expose(),
        session.access_token.expose(),
        grant.token.expose(),
        guild.expose(),
        it.center.admin_key().expose(),
    ];
    for (method, target, body, reviewed) in [
        (
            Method::Post,
            LOGIN,
            &key,
            [201, 201, 201, 201, 201, 201, 201],
        ),
        (
            Method::Post,
            INTROSPECT,
            &token,
            [401, 401, 401, 401, 401, 201, 401],
        ),
        (
            Method::Post,
            REGISTER,
            &node,
            [401, 401, 401, 401, 401, 201, 401],
        ),
        (
            Method::Post,
            USERS,
            &json!({"name": "Bo"}),
            [401, 401, 401, 401, 401, 401, 201],
        ),
        (
            Method::Get,
            by_name.as_str(),
            &Value::Null,
            [401, 401, 401, 200, 401, 200, 401],
        ),
    ] {
        let mut answers = Vec::new();
        for asker in askers {
            answers.push(it.call(method, target, asker, body.clone()).await.status);
        }
        assert_eq!(answers, reviewed, "{} {target}", method.as_str());
    }
    it.center.shutdown().await;
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_refused() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    for name in ["A\u{200b}l", "\u{202e}lA", "A\u{ad}l", "<Al>", " Al", ""] {
        let error = it.center.add_user(name, None).await.unwrap_err();
        assert!(error.to_string().starts_with("name: "), "{name:?}: {error}");
    }
    for name in [
        "Zoë 7",
        "Al, Bo",
        "u_1",
        "नि\u{200d}ता",
        "\u{1F468}\u{200D}\u{1F4BB}",
    ] {
        it.center.add_user(name, None).await.unwrap();
    }
    it.center.shutdown().await;
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let password = Secret::new("correct horse");
    it.center.add_user("Al", Some(&password)).await.unwrap();
    for _ in 0..10 {
        let body = json!({"name": "Al", "password": "guess"});
        assert_eq!(it.post(LOGIN, "", body).await.status, 401);
    }
    let right = json!({"name": "Al", "password": "correct horse"});
    let answer = it.post(LOGIN, "", right).await;
    assert_eq!(words(&answer).0, 429);
    let pause = answer.retry_after.unwrap();
    assert!((1..=60).contains(&pause.as_secs()), "{pause:?}");
    it.center.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413_and_browsers_may_ask() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    for length in [BODY_BYTES_MAX, BODY_BYTES_MAX * 20] {
        let body = json!({"apiKey": "x".repeat(length)});
        assert_eq!(words(&it.post(LOGIN, "", body).await).0, 413);
    }
    it.center.shutdown().await;
}

#[tokio::test]
async fn users_and_guilds_are_also_made_from_outside() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let data = it.folder.path().join("data");
    let al = add_user_in(&data, "Al", None).await.unwrap();
    assert_eq!(it.login(&al.api_key).await.user.name, "Al");
    let error = add_user_in(&data, "Al", None).await.unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
    let key = add_guild_in(&data, &GuildId::new("g").unwrap())
        .await
        .unwrap();
    assert!(!it.introspect(&key, "x").await.active);
    for file in ["center.sqlite", "center-admin-key"] {
        let mode = std::fs::metadata(data.join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    it.center.shutdown().await;
}

/// Whoever reads the database has no key and no password.
#[tokio::test]
async fn what_is_kept_of_a_key_is_its_hash() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let password = Secret::new("very, very secret");
    let user = it.center.add_user("Al", Some(&password)).await.unwrap();
    let guild = it.guild("g").await;
    it.center.shutdown().await;
    let database = std::fs::read(it.folder.path().join("data/center.sqlite")).unwrap();
    let holds = |bytes: &[u8]| database.windows(bytes.len()).any(|it| it == bytes);
    for key in [&user.api_key, &guild] {
        assert!(!holds(key.expose().as_bytes()));
        assert!(holds(&random::fingerprint(key.expose())));
    }
    assert!(!holds(password.expose().as_bytes()));
    assert!(holds(b"$argon2id$"));
}

#[tokio::test]
async fn a_key_is_replaced_while_center_is_up() {
    let it = Fixture::start(Duration::from_secs(900)).await;
    let data = it.folder.path().join("data");
    let al = it.center.add_user("Al", None).await.unwrap();
    let guild = it.guild("g").await;
    let token = async || {
        let session = it.login(&al.api_key).await;
        session.guild_access_tokens.first().unwrap().token.clone()
    };
    let mut tokens = vec![token().await];
    rotate_key_in(&data, Rotation::Gradual).await.unwrap();
    tokens.push(token().await);
    it.center.rotate_key(Rotation::Gradual).await.unwrap();
    tokens.push(token().await);
    let signature = |token: &Secret| token.expose().rsplit('.').next().map(String::from);
    assert_ne!(signature(&tokens[0]), signature(&tokens[1]));
    for token in &tokens {
        assert!(it.introspect(&guild, token.expose()).await.active);
    }
    rotate_key_in(&data, Rotation::Immediate).await.unwrap();
    for token in &tokens {
        assert!(!it.introspect(&guild, token.expose()).await.active);
    }
    let fresh = token().await;
    assert!(it.introspect(&guild, fresh.expose()).await.active);
    it.center.shutdown().await;
}

#[tokio::test]
async fn the_key_of_an_older_database_signs_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("center.sqlite");
    let older = Schema {
        migrations: SCHEMA.migrations.split_at(1).0,
        ..SCHEMA
    };
    let mut connection = open(&path, &older).await.unwrap();
    sqlx::query("INSERT INTO signing_key VALUES (1, ?1)")
        .bind([7; 32].as_slice())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let store = CenterStore::open(&path).await.unwrap();
    let kept = store.signing_keys().await.unwrap();
    let kept: Vec<_> = kept.iter().map(|it| (it.key, it.replaced_at)).collect();
    assert_eq!(kept, [([7; 32], None)]);
    store.close().await;
}

#[tokio::test]
async fn tokens_live_for_a_day_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.token_life = TOKEN_LIFE_MAX + Duration::from_secs(1);
    let error = start_center(options).await.unwrap_err();
    assert!(error.to_string().contains("86400 seconds"), "{error}");
}

#[tokio::test]
async fn an_admin_key_of_ones_own_must_be_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut options = options(folder.path());
    options.admin_key_file = Some(path.clone());
    let error = start_center(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("key"), "{error}");
    std::fs::write(&path, "short\n").unwrap();
    let error = start_center(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("16 characters"), "{error}");
    std::fs::write(&path, "long enough to be a key\n").unwrap();
    let center = start_center(options).await.unwrap();
    assert_eq!(center.admin_key().expose(), "long enough to be a key");
    center.shutdown().await;
}
