//! An authority and certificates made for one test, and a server that takes TLS off before a plain
//! one.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    io::Write as _,
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::Acceptor,
};
use tempfile::NamedTempFile;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::LazyConfigAcceptor;

use crate::relay::{Heard, relay};

/// An authority that nobody trusts who was not told to.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    /// A new one, with a name and a key of its own.
    ///
    /// # Panics
    ///
    /// Where its certificate cannot be made or written.
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("test CA {number}"))
    }

    /// The same with this name, which another may have too, such as its predecessor.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// Its certificate, as a PEM file that is there as long as the authority is.
    pub fn ca_file(&self) -> &Path {
        self.file.path()
    }

    /// What a server needs that shows a certificate for `names`: of hosts, or IP addresses.
    ///
    /// # Panics
    ///
    /// Where a name is none.
    pub fn certify(&self, names: &[&str]) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// A server that speaks TLS with its clients, and plainly with the server behind it.
#[derive(Debug)]
pub struct Terminator {
    port: u16,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    config: watch::Sender<Arc<ServerConfig>>,
    names: Mutex<Vec<Option<String>>>,
    heard: Heard,
}

impl Terminator {
    /// Starts before the server at `behind` on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start(config: Arc<ServerConfig>, behind: u16) -> Self {
        Self::start_on([127, 0, 0, 1].into(), config, behind)
            .await
            .unwrap()
    }

    /// The same at another address of this machine.
    ///
    /// # Errors
    ///
    /// Where this machine does not have the address.
    pub async fn start_on(
        address: IpAddr,
        config: Arc<ServerConfig>,
        behind: u16,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Seen {
            config: watch::Sender::new(config),
            names: Mutex::default(),
            heard: Heard::default(),
        });
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, behind, Arc::clone(&shared)));
            }
        });
        Ok(Self { port, seen, task })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Shows another certificate from now on, and breaks every connection off, as a restart does.
    pub fn show(&self, config: Arc<ServerConfig>) {
        self.seen.config.send_replace(config);
    }

    /// The name that each connection so far has asked for by SNI, if any.
    ///
    /// # Panics
    ///
    /// If a connection has panicked.
    pub fn names(&self) -> Vec<Option<String>> {
        self.seen.names.lock().unwrap().clone()
    }

    /// What clients have said within TLS.
    pub fn heard(&self) -> &Heard {
        &self.seen.heard
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(tcp: TcpStream, behind: u16, seen: Arc<Seen>) {
    let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), tcp).await else {
        return;
    };
    let name = start.client_hello().server_name().map(str::to_owned);
    seen.names.lock().unwrap().push(name);
    let mut shown = seen.config.subscribe();
    let config = Arc::clone(&shown.borrow_and_update());
    // A client that does not trust the certificate goes away, and that is its right.
    if let Ok(tls) = start.into_stream(config).await
        && let Ok(server) = TcpStream::connect(("127.0.0.1", behind)).await
    {
        tokio::select! {
            _ = relay(tls, server, &seen.heard) => {}
            _ = shown.changed() => {}
        }
    }
}
