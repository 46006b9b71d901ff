//! Files of a guild over real HTTP: taken in as they come, given out with headers that do no harm.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use selvedge::{
    http::Client,
    serve::{CenterOptions, GuildOptions, RunningCenter, RunningGuild, start_center, start_guild},
    tls,
};
use selvedge_core::{
    Secret,
    fabric::center::Login,
    guild::Config,
    id::{GuildId, NodeId},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long anything may take. It bounds a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest file of these guilds.
const FILE_BYTES_MAX: usize = 4 << 20;
const BOUNDARY: &str = "----7MA4YWxkTrZu0gW";

struct Fabric {
    folder: TempDir,
    center: RunningCenter,
    guild: RunningGuild,
}

/// A whole answer as it came over the wire.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (this, value) = line.split_once(": ")?;
            this.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

fn form(name: &str, mime: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {mime}\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), content, tail.as_bytes()].concat()
}

async fn up(folder: &Path, center: &RunningCenter) -> RunningGuild {
    let guild = GuildId::new("g").unwrap();
    let mut config = Config::new(NodeId::new("n").unwrap(), guild.clone());
    config.limits.file_bytes_max = FILE_BYTES_MAX as u64;
    let options = GuildOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: folder.join("guild.sqlite"),
        files: folder.join("files"),
        config,
        center_url: center.url(),
        api_key: center.add_guild(&guild).await.unwrap(),
        public_url: None,
        center_public_url: None,
        cors_origins: String::new(),
        client: client(),
        record: None,
    };
    start_guild(options).await.unwrap()
}

impl Fabric {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = CenterOptions::new(loopback, folder.path().to_path_buf());
        let center = start_center(options).await.unwrap();
        let guild = up(folder.path(), &center).await;
        Self {
            folder,
            center,
            guild,
        }
    }

    async fn user(&self, name: &str) -> (String, Secret) {
        let user = self.center.add_user(name, None).await.unwrap();
        let login = Login::ApiKey {
            api_key: user.api_key,
        };
        let session = client().login(&self.center.url(), &login).await.unwrap();
        let token = session.grants.first().unwrap().token.clone();
        (session.user.id.to_string(), token)
    }

    async fn send(&self, head: &str, token: Option<&Secret>, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.guild.addr()).await.unwrap();
        let bearer = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {}\r\n", token.expose())
        });
        let length = body.len();
        let head = format!(
            "{head}\r\nHost: h\r\nConnection: close\r\n{bearer}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: answer[end + 4..].to_vec(),
        }
    }

    async fn upload(&self, token: Option<&Secret>, body: &[u8]) -> Answer {
        let head = format!(
            "POST /api/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}"
        );
        self.send(&head, token, body).await
    }

    async fn get(&self, target: &str, token: Option<&Secret>) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1"), token, b"")
            .await
    }

    async fn post(&self, target: &str, token: &Secret, body: &Value) -> Answer {
        let head = format!("POST {target} HTTP/1.1");
        self.send(&head, Some(token), body.to_string().as_bytes())
            .await
    }

    /// What stands in the folder of files.
    fn on_disk(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("files")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits until that is nothing.
    async fn nothing_is_left(&self) {
        let gone = async {
            while !self.on_disk().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("something is left");
    }

    async fn stop(self) {
        self.guild.shutdown().await.unwrap();
        self.center.shutdown().await;
    }
}

/// Bytes in which the boundary all but stands.
fn content(bytes: usize) -> Vec<u8> {
    let near = format!("\r\n--{}\r", BOUNDARY.trim_end_matches('W'));
    near.bytes().cycle().take(bytes).collect()
}

#[tokio::test]
async fn a_file_goes_up_and_comes_down_and_is_there_after_a_restart() {
    let mut it = Fabric::start().await;
    let (_, al) = it.user("Al").await;
    let (bo_id, bo) = it.user("Bo").await;
    let bytes = content(3 << 20);
    let up_ = it
        .upload(Some(&al), &form("../../Übung.html", "text/html", &bytes))
        .await;
    assert_eq!(up_.status, 201, "{}", up_.head);
    let file = up_.json();
    let (id, url) = (file["id"].as_str().unwrap(), file["url"].as_str().unwrap());
    assert_eq!(file["name"], "Übung.html");
    assert_eq!(file["bytes"], bytes.len());
    let path = it.folder.path().join("files").join(id);
    assert_eq!(it.on_disk(), BTreeSet::from([path.clone()]));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

    let body = json!({"name": "n", "xType": "general", "memberUserIds": [bo_id]});
    let channel = it.post("/api/channels", &al, &body).await.json();
    let messages = format!("/api/channels/{}/messages", channel["id"].as_str().unwrap());
    assert_eq!(it.get(url, Some(&bo)).await.status, 403);
    let body = json!({"content": "", "attachments": [{"id": id}]});
    assert_eq!(it.post(&messages, &al, &body).await.status, 201);

    for _ in 0..2 {
        let down = it.get(url, Some(&bo)).await;
        assert_eq!(down.status, 200);
        assert!(down.body == bytes, "{} bytes", down.body.len());
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            (
                "content-disposition",
                "attachment; filename=\"_bung.html\"; filename*=UTF-8''%C3%9Cbung.html",
            ),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(down.header(name), Some(value), "{name}");
        }
        let by_query = format!("{url}?access_token={}", bo.expose());
        assert_eq!(it.get(&by_query, None).await.status, 200);
        let head = format!("GET {url} HTTP/1.1\r\nRange: bytes=2-5");
        let part = it.send(&head, Some(&bo), b"").await;
        assert_eq!((part.status, part.body.as_slice()), (206, &bytes[2..6]));
        let asked = it
            .send(&format!("HEAD {url} HTTP/1.1"), Some(&bo), b"")
            .await;
        let length = bytes.len().to_string();
        assert_eq!((asked.status, asked.body.len()), (200, 0));
        assert_eq!(asked.header("content-length"), Some(length.as_str()));
        it.guild.shutdown().await.unwrap();
        it.guild = up(it.folder.path(), &it.center).await;
    }
    it.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_would_be_taken() {
    let it = Fabric::start().await;
    let (_, al) = it.user("Al").await;
    let nobody = it.get("/api/channels", None).await;
    assert_eq!(
        (nobody.status, nobody.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    for (call, methods) in [
        ("PUT /api/channels", "HEAD, GET, POST"),
        ("TRACE /api/channels", "HEAD, GET, POST"),
        ("POST /api/files/f", "HEAD, GET"),
        ("GET /api/files", "POST"),
        ("GET /api/channels/c/join?x=1", "POST"),
    ] {
        let answer = it.send(&format!("{call} HTTP/1.1"), Some(&al), b"").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(methods)),
            "{call}"
        );
    }
    it.stop().await;
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_leaves_nothing() {
    let it = Fabric::start().await;
    let (_, al) = it.user("Al").await;
    let whole = form("a.txt", "text/plain", b"abc");
    let too_large = form("a.bin", "image/png", &content(FILE_BYTES_MAX + 1));
    let endless = [
        format!("--{BOUNDARY}\r\nX: ").into_bytes(),
        vec![b'x'; 3 << 20],
    ]
    .concat();
    let cut = whole.split_last_chunk::<40>().unwrap().0;
    for (body, status, words) in [
        (too_large.as_slice(), 413, "4194304"),
        (&endless, 400, "longer than"),
        (cut, 400, "broke off"),
        (b"".as_slice(), 400, "broke off"),
        (
            format!("--{BOUNDARY}--\r\n").as_bytes(),
            400,
            "no field `file`",
        ),
    ] {
        let answer = it.upload(Some(&al), body).await;
        let said = answer.json();
        assert_eq!(answer.status, status, "{said}");
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
    }
    let plain = it.send(
        "POST /api/files HTTP/1.1\r\nContent-Type: text/plain",
        Some(&al),
        &whole,
    );
    assert_eq!(plain.await.status, 400);
    assert_eq!(it.upload(None, &too_large).await.status, 401);
    let odd = "POST /api/%66iles HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x";
    assert_eq!(it.send(odd, Some(&al), &whole).await.status, 400);
    it.nothing_is_left().await;
    assert_eq!(it.upload(Some(&al), &whole).await.status, 201);
    it.stop().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_nothing_and_the_node_can_stop() {
    let it = Fabric::start().await;
    let (_, al) = it.user("Al").await;
    let begin = || async {
        let mut stream = TcpStream::connect(it.guild.addr()).await.unwrap();
        let head = format!(
            "POST /api/files HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: 3000000\r\n\r\n",
            al.expose()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = form("a.bin", "image/png", &content(1 << 20));
        stream.write_all(&body[..1 << 20]).await.unwrap();
        let came = async {
            while it.on_disk().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, came).await.expect("nothing comes in");
        stream
    };
    drop(begin().await);
    it.nothing_is_left().await;
    let _held = begin().await;
    let folder = it.folder.path().join("files");
    it.guild.shutdown().await.unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    it.center.shutdown().await;
}
