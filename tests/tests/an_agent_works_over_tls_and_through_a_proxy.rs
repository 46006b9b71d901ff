//! A production's way to Fabric: TLS with an authority of one's own, and a proxy that wants
//! credentials.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::process::Stdio;

use selvedge_tests::{
    PATIENCE,
    fabric::{Fabric, Reach},
    proxy::{Proxy, Served},
    tls::{Authority, Terminator},
};
use tokio::sync::mpsc;

/// What is in no answer, no error and no log.
const PASSWORD: &str = "very:secr@t";
/// The same as a URL wants it.
const IN_URL: &str = "me:very%3Asecr%40t";
/// What the proxy is to read.
const CREDENTIALS: &str = "me:very:secr@t";

/// Center and guild, each behind TLS.
struct Secured {
    fabric: Fabric,
    authority: Authority,
    center: Terminator,
    guild: Terminator,
}

impl Secured {
    async fn start() -> Self {
        let fabric = Fabric::start().await.unwrap();
        let authority = Authority::new();
        let (center_port, guild_port) = fabric.ports();
        let center = authority.certify(&["localhost", "127.0.0.1", "center.invalid"]);
        let guild = authority.certify(&["localhost", "127.0.0.1", "guild.invalid"]);
        Self {
            fabric,
            center: Terminator::start(center, center_port).await,
            guild: Terminator::start(guild, guild_port).await,
            authority,
        }
    }

    /// Center under the first name and the guild under the second, with everything that they need.
    fn reach(&self, center: &str, guild: &str, proxy: Option<String>) -> Reach {
        Reach {
            center: format!("https://{center}:{}", self.center.port()),
            guild: Some(format!("https://{guild}:{}", self.guild.port())),
            ca_file: Some(self.authority.ca_file().to_path_buf()),
            proxy,
        }
    }

    /// Posts, and waits for the agent's answer.
    async fn is_answered(&mut self, reach: &Reach) {
        let (events, mut seen) = mpsc::channel(1_024);
        let agent = self.fabric.start_agent_by(reach, Stdio::null(), events);
        let agent = agent.await.unwrap();
        tokio::spawn(async move { while seen.recv().await.is_some() {} });
        let channel = self.fabric.create("general", "general", &agent).await;
        let posted = self.fabric.post(&channel.unwrap(), "hello").await.unwrap();
        let reply = self.fabric.reply(&posted, PATIENCE).await;
        assert!(reply.unwrap().is_some(), "no answer to {posted:?}");
        agent.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_answered_over_tls() {
    let mut secured = Secured::start().await;
    let reach = secured.reach("localhost", "127.0.0.1", None);
    secured.is_answered(&reach).await;
    // A name is asked for by SNI, an address is not: RFC 6066, section 3.
    let names = secured.center.names();
    assert!(
        names.iter().all(|it| it.as_deref() == Some("localhost")),
        "{names:?}"
    );
    let names = secured.guild.names();
    // REST, and the socket.
    assert!(names.len() >= 2, "{names:?}");
    assert!(names.iter().all(Option::is_none), "{names:?}");
    let heard = secured.guild.heard().text();
    assert!(
        heard.contains("get /socket.io/?eio=4&transport=websocket "),
        "{heard}"
    );
    let checked = secured.fabric.check(&reach).await.unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{told}");
    secured.fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_answered_through_a_proxy_and_nothing_goes_around_it() {
    let mut secured = Secured::start().await;
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let url = proxy.url_with(IN_URL);
    // Nobody but the proxy knows where these are.
    let reach = secured.reach("center.invalid", "guild.invalid", Some(url.clone()));
    secured.is_answered(&reach).await;
    let served = proxy.served();
    for (host, terminator) in [
        ("center.invalid", &secured.center),
        ("guild.invalid", &secured.guild),
    ] {
        let tunnel = Served::Tunnel(format!("{host}:{}", terminator.port()));
        let tunnels = served.iter().filter(|it| **it == tunnel).count();
        let names = terminator.names();
        assert!(
            tunnels > 0 && tunnels == names.len(),
            "{served:?} {names:?}"
        );
        assert!(
            names.iter().all(|it| it.as_deref() == Some(host)),
            "{names:?}"
        );
        let heard = terminator.heard().text();
        assert!(heard.contains("http/1.1\r\n"), "{heard}");
        assert!(!heard.contains("proxy-authorization"), "{heard}");
    }
    let tunnels = |it: &Served| matches!(it, Served::Tunnel(_));
    assert!(served.iter().all(tunnels), "{served:?}");

    // Without TLS requests are passed on, and the socket has its tunnel all the same.
    let (center, guild) = secured.fabric.ports();
    let reach = Reach {
        center: format!("http://center.invalid:{center}"),
        guild: Some(format!("http://guild.invalid:{guild}")),
        ca_file: None,
        proxy: Some(url),
    };
    secured.is_answered(&reach).await;
    let served = proxy.served();
    let socket = Served::Tunnel(format!("guild.invalid:{guild}"));
    assert!(served.contains(&socket), "{served:?}");
    let passed = |start: &str| {
        let found = served
            .iter()
            .any(|it| matches!(it, Served::Request(url) if url.starts_with(start)));
        assert!(found, "{start} {served:?}");
    };
    passed(&format!("http://center.invalid:{center}/"));
    passed(&format!("http://guild.invalid:{guild}/api/channels"));
    let refused = |it: &Served| matches!(it, Served::Refused(_));
    assert!(!served.iter().any(refused), "{served:?}");
    assert!(!proxy.heard().text().contains("proxy-authorization"));
    secured.fabric.stop().await.unwrap();
}

/// Runs `--check` where something is wrong: what does it say?
async fn check(secured: &mut Secured, reach: &Reach) -> String {
    let checked = secured.fabric.check(reach).await.unwrap();
    let mut told = String::from_utf8(checked.stdout).unwrap();
    told.push_str(&String::from_utf8(checked.stderr).unwrap());
    assert!(!checked.status.success(), "{told}");
    for secret in [PASSWORD, IN_URL, "very%3A", "bWU6", "wrong-word"] {
        assert!(!told.contains(secret), "{told}");
    }
    told
}

/// The same: the one thing that is wrong.
async fn fault(secured: &mut Secured, reach: &Reach) -> String {
    let told = check(secured, reach).await;
    let mut faults = told
        .lines()
        .filter_map(|line| line.strip_prefix("error    agent echo: "));
    let fault = faults.next().unwrap().to_owned();
    assert_eq!(faults.next(), None, "{told}");
    assert!(
        told.contains("one thing does not work; see above"),
        "{told}"
    );
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_is_wrong_with_a_certificate() {
    let mut secured = Secured::start().await;
    let right = secured.reach("localhost", "localhost", None);
    let (center, guild) = (&right.center, right.guild.as_ref().unwrap());
    let stranger = Authority::new();
    let trusting = |authority: &Authority| Reach {
        ca_file: Some(authority.ca_file().to_path_buf()),
        ..right.clone()
    };
    let advice = "nobody who is trusted here has signed the server's certificate: if it is the \
                  right server, give the certificate of its CA as `ca_file`";
    let unsigned = format!("invalid peer certificate: UnknownIssuer; {advice}");
    assert_eq!(
        fault(&mut secured, &trusting(&stranger)).await,
        format!("Center could not be reached: {unsigned} ({center})")
    );

    // Of a CA that was made anew with its old name.
    let (before, after) = (Authority::named("ours"), Authority::named("ours"));
    secured.center.show(after.certify(&["localhost"]));
    assert_eq!(
        fault(&mut secured, &trusting(&before)).await,
        format!(
            "Center could not be reached: invalid peer certificate: BadSignature; {advice} ({center})"
        )
    );
    secured
        .center
        .show(secured.authority.certify(&["localhost"]));

    secured.guild.show(stranger.certify(&["localhost"]));
    assert_eq!(
        fault(&mut secured, &right).await,
        format!("guild guild-1 at {guild}: the guild could not be reached: {unsigned}")
    );

    let misnamed = secured.authority.certify(&["elsewhere.invalid"]);
    secured.guild.show(misnamed);
    let told = fault(&mut secured, &right).await;
    let what = "certificate not valid for name \"localhost\"; certificate is only valid for \
                DnsName(\"elsewhere.invalid\"); reach the server by a name that its certificate \
                has, or give it a certificate for this one";
    assert!(told.ends_with(what), "{told}");

    let (_, plain) = secured.fabric.ports();
    let reach = Reach {
        guild: Some(format!("https://localhost:{plain}")),
        ..right.clone()
    };
    let told = fault(&mut secured, &reach).await;
    let what = "; the server does not speak TLS there: see whether its URL should begin with http:";
    assert!(told.ends_with(what), "{told}");

    let gone = trusting(&stranger);
    drop(stranger);
    let told = check(&mut secured, &gone).await;
    assert!(told.contains("cannot read the certificates in "), "{told}");
    assert!(told.contains("; set [net] ca_file to a PEM file"), "{told}");
    secured.fabric.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_is_wrong_with_a_proxy() {
    let mut secured = Secured::start().await;
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let (center, guild) = secured.fabric.ports();
    let plain = Reach {
        center: format!("http://center.invalid:{center}"),
        guild: Some(format!("http://guild.invalid:{guild}")),
        ..Reach::default()
    };
    let tls = secured.reach("center.invalid", "guild.invalid", None);
    let with = |reach: &Reach, url: String| Reach {
        proxy: Some(url),
        ..reach.clone()
    };
    let url = proxy.url();
    for reach in [&tls, &plain] {
        let center = &reach.center;
        for wrong in [proxy.url(), proxy.url_with("me:wrong-word")] {
            assert_eq!(
                fault(&mut secured, &with(reach, wrong)).await,
                format!(
                    "Center could not be reached: the proxy {url} wants other credentials; put the \
                     user and the password that the proxy knows into its URL ({center})"
                )
            );
        }
        let nobody = format!("http://{IN_URL}@127.0.0.1:1");
        assert_eq!(
            fault(&mut secured, &with(reach, nobody)).await,
            format!(
                "Center could not be reached: no connection to the proxy http://127.0.0.1:1: \
                 Connection refused (os error 111); see whether the proxy runs and its URL is \
                 right ({center})"
            )
        );
    }
    proxy.refuse(Some(403));
    let known = proxy.url_with(IN_URL);
    assert_eq!(
        fault(&mut secured, &with(&tls, known.clone())).await,
        format!(
            "Center could not be reached: the proxy {url} did not open a tunnel; see whether the \
             proxy lets connections to this server through, and whether the server runs ({})",
            tls.center
        )
    );
    // Nobody can tell whose answer it is.
    assert_eq!(
        fault(&mut secured, &with(&plain, known)).await,
        format!(
            "Center at {} refused the key of agent echo: 403 Forbidden; check the environment \
             variable ECHO, or see whether it was the proxy {url} that said so",
            plain.center
        )
    );
    secured.fabric.stop().await.unwrap();
}
