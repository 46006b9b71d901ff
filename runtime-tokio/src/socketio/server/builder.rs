//! How a server is to be.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use selvedge_core::{
    engineio::Heartbeat,
    socketio::{
        Namespace as Name,
        hub::{Config, Hub, Input, Recovery},
    },
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{
    Cors, Limits, Origins, Server,
    error::StartError,
    link::{Calls, Letter, Link, Mail},
    namespace::Namespace,
    outgoing::ToMany,
    service::{Beginnings, Service},
    socket::Members,
    world::HubWorld,
};
use crate::{
    clock::Clock,
    driver::{self, INBOX_MAX},
    engineio::Front,
    ws,
};

/// How a server is to be. Without a word, it is as the official one, but that pages of other
/// [`Origins`] may not open a WebSocket either.
#[derive(Debug)]
#[must_use = "a server runs when it is started"]
pub struct Builder {
    config: Config,
    namespaces: Vec<(String, Namespace)>,
    origins: Origins,
    cors: Cors,
    headers_max: usize,
    events_max: usize,
    event_bytes_max: usize,
    outgoing: ws::Limits,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            namespaces: Vec::new(),
            origins: Origins::default(),
            cors: Cors::new(),
            headers_max: 16 << 10,
            events_max: 1_000,
            event_bytes_max: 4 << 20,
            outgoing: ws::Limits {
                frames: 16_384,
                bytes: 16 << 20,
            },
        }
    }
}

impl Builder {
    /// Adds a namespace. A client that asks for one that there is not is refused: `Invalid
    /// namespace`. The main one, `/`, is there only if it is added.
    pub fn namespace(mut self, name: &str, namespace: Namespace) -> Self {
        self.namespaces.push((name.to_owned(), namespace));
        self
    }

    /// How often each client is pinged, and how long it may take to answer; every 25 s, and 20 s.
    /// One that is silent is given up after both together.
    pub const fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.config.connection.engine.heartbeat = Heartbeat { interval, timeout };
        self
    }

    /// The largest message, and the largest body of a request, in bytes; 1,000,000. A client that
    /// sends more is disconnected. Each can make the process hold as much.
    pub const fn max_payload(mut self, bytes: u64) -> Self {
        self.config.connection.engine.max_payload = bytes;
        self
    }

    /// How long a client may be connected without a namespace; 45 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connection.connect_timeout = timeout;
        self
    }

    /// How long the decision on an admission may take; 20 s. After that the client is refused.
    pub const fn admission_patience(mut self, patience: Duration) -> Self {
        self.config.admission_patience = patience;
        self
    }

    /// The longest auth of a client, in bytes of its JSON text; 65,536. One that sends a longer one is
    /// refused: `Auth too large`. It is [kept](super::Sender::auth) for as long as the socket is:
    /// raised, each can make the process hold more.
    pub const fn auth_max(mut self, bytes: usize) -> Self {
        self.config.auth_bytes_max = bytes;
        self
    }

    /// How many bytes the path, the query, and the names and values of the headers of a request may
    /// have together; 16,384, as in Node, on which the official server runs. One with more is answered
    /// with 431. Those that a connection begins with are [kept](super::Handshake) for as long as that
    /// lasts: raised, each can make the process hold more.
    pub const fn headers_max(mut self, bytes: usize) -> Self {
        self.headers_max = bytes;
        self
    }

    /// How many connections there can be; 10,000.
    pub const fn connections_max(mut self, connections: usize) -> Self {
        self.config.sessions.sessions_max = connections;
        self
    }

    /// How much of one socket may wait for its handler: so many events, and so many bytes of more
    /// than one event; 1,000 and 4 MiB. For more, its connection is ended ([`End::TooSlow`]).
    ///
    /// [`End::TooSlow`]: super::End::TooSlow
    pub const fn events_max(mut self, events: usize, bytes: usize) -> Self {
        self.events_max = events;
        self.event_bytes_max = bytes;
        self
    }

    /// How much may wait for one client on a WebSocket: so many frames, and so many bytes; 16,384 and
    /// 16 MiB. For more, its connection is ended. Whoever speaks to it waits long before: while a
    /// sixteenth of that waits, or once a quarter does where it is
    /// [spoken to with others](super::Broadcast). An event of more than a quarter of the bytes is not
    /// sent to anybody.
    ///
    /// Raised, a client that does not read can make the process hold more. Lowered, one may be ended
    /// when it moves from polling to a WebSocket (up to 9,999 packets and 10 MB can wait for one that
    /// polls) or comes back and has missed much (up to what [`Recovery`] keeps).
    pub const fn outgoing_max(mut self, frames: usize, bytes: usize) -> Self {
        self.outgoing = ws::Limits { frames, bytes };
        self
    }

    /// Lets clients come back whose connection was lost. Off without this, as in the official
    /// server: each event carries an offset as an extra argument at its end then. A namespace that
    /// [decides who is let in](Namespace::admit) must also say as whom, with
    /// [`Admitted`](super::Admitted): otherwise each client begins anew.
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.config.recovery = Some(recovery);
        self
    }

    /// Whose pages may use the server; its own host's.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// What browsers let pages of other [`Origins`] do that may use the server: send credentials, and
    /// headers of their own; neither.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// Changes anything else: every limit of the machine stands in its
    /// [`Config`](super::hub::Config). The namespaces are set when it starts.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the server in the tokio runtime that it is called in.
    ///
    /// # Errors
    ///
    /// Where a namespace has a bad name or was given twice, credentials are allowed to [`Origins::Any`],
    /// or there is no tokio runtime.
    pub fn start(self) -> Result<Server, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if self.cors.credentials && self.origins == Origins::Any {
            return Err(StartError::CredentialsOfAny);
        }
        let namespaces = named(self.namespaces)?;
        let mut config = self.config;
        config.namespaces = namespaces.keys().cloned().collect();
        let names = Arc::new(config.namespaces.clone());
        let limits = Limits {
            events_max: self.events_max,
            event_bytes_max: self.event_bytes_max,
            rooms_max: config.rooms_max,
            recovers: config.recovery.is_some(),
            outgoing: self.outgoing,
        };
        let (inbox, letters) = mpsc::channel(INBOX_MAX);
        let mut mail = Mail::new(letters);
        let payload_max = config.connection.engine.max_payload;
        let input = |arrival| Letter::from(Input::Arrival(arrival));
        let front = Front::new(inbox.clone(), input, &self.origins, payload_max);
        let front = front.queue(self.outgoing).cors(&self.cors);
        let calls = Arc::<Calls>::default();
        let beginnings = Arc::<Beginnings>::default();
        let members = Arc::<Members>::default();
        let open = Arc::clone(front.open());
        let to_many = ToMany::new(open, Arc::clone(&members), self.outgoing);
        let world = HubWorld::new(
            Arc::clone(front.open()),
            inbox.downgrade(),
            Arc::clone(&calls),
            Arc::clone(&beginnings),
            namespaces,
            (to_many.clone(), members),
            limits,
        );
        let (ended, over) = watch::channel(());
        let mut hub = Hub::new(config);
        runtime.spawn(async move {
            // In this order, so that whoever waits for the end finds everything closed, even by a
            // panic.
            let _ended = ended;
            let mut world = world;
            let clock = Clock::start();
            driver::drive(&mut hub, clock, &mut mail, &mut world, ()).await;
        });
        Ok(Server {
            link: Link::new(inbox, calls, to_many, self.outgoing),
            service: Service {
                front: Arc::new(front),
                beginnings,
                headers_max: self.headers_max,
            },
            names,
            over,
        })
    }
}

fn named(namespaces: Vec<(String, Namespace)>) -> Result<BTreeMap<Name, Namespace>, StartError> {
    let mut named = BTreeMap::new();
    for (name, namespace) in namespaces {
        let Some(key) = Name::new(&name) else {
            return Err(StartError::BadNamespace(name));
        };
        if named.insert(key, namespace).is_some() {
            return Err(StartError::Twice(name));
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::server::EmitError;

    #[tokio::test]
    async fn a_server_wants_good_names_and_closes_for_good() {
        let start = |names: [&str; 2]| {
            let builder = Server::builder().namespace(names[0], Namespace::new());
            builder.namespace(names[1], Namespace::new()).start()
        };
        let bad = start(["/", "chat"]).unwrap_err();
        assert!(matches!(bad, StartError::BadNamespace(name) if name == "chat"));
        let twice = start(["/a", "/a"]).unwrap_err();
        assert!(matches!(twice, StartError::Twice(name) if name == "/a"));
        let server = start(["/", "/a"]).unwrap();
        server.namespace("/a").emit("n", &()).await.unwrap();
        let nowhere = server.namespace("/b").emit("n", &()).await;
        assert!(matches!(nowhere, Err(EmitError::NoNamespace(name)) if name == "/b"));
        let room = "x".repeat(257);
        let long = server.namespace("/").to(&room).emit("n", &()).await;
        assert!(matches!(long, Err(EmitError::BadRoom)));
        let reserved = server.namespace("/").emit("disconnect", &()).await;
        assert!(matches!(reserved, Err(EmitError::Encode(_))));
        server.close().await;
        server.close().await;
        let closed = server.namespace("/").emit("n", &()).await;
        assert!(matches!(closed, Err(EmitError::Closed)));
    }

    #[tokio::test]
    async fn credentials_are_not_for_every_page_of_the_web() {
        let builder = || Server::builder().cors(Cors::new().credentials());
        let any = builder().origins(Origins::Any).start().unwrap_err();
        assert!(matches!(any, StartError::CredentialsOfAny));
        assert!(builder().start().is_ok());
    }

    #[test]
    fn without_a_runtime_nothing_starts() {
        let none = Server::builder().start().unwrap_err();
        assert!(matches!(none, StartError::NoRuntime));
    }
}
