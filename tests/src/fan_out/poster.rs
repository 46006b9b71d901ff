//! Whoever posts: over HTTP to a guild, with an event to the other servers.

use std::{cell::Cell, rc::Rc};

use selvedge_core::fabric::realtime::NAMESPACE;
use serde_json::json;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use super::{
    POST,
    connection::Connection,
    content,
    ledger::Ledger,
    stage::{Server, Token},
};
use crate::fabric::Fault;

/// How many posts may be under way: sent, and not yet with everybody.
pub(super) const WINDOW: usize = 16;

/// Those who post in one room.
pub(super) struct Posters {
    posts: mpsc::UnboundedSender<Order>,
    answered: Rc<Cell<usize>>,
    _posting: JoinSet<()>,
}

/// What is to be posted.
enum Order {
    /// A post, in the room.
    Post(usize),
    /// A post in another room, where nobody is.
    Aside,
}

impl Posters {
    /// Those of a server: for a guild as many connections as posts may be under way, since each of
    /// them waits for its answer, and its users in turn.
    pub(super) async fn hire(server: &Server, ledger: &Rc<Ledger>) -> Result<Self, Fault> {
        let (posts, orders) = mpsc::unbounded_channel();
        let orders = Rc::new(Mutex::new(orders));
        let answered = Rc::<Cell<usize>>::default();
        let mut posting = JoinSet::new();
        let posters = if server.tokens.is_empty() { 1 } else { WINDOW };
        let mut tokens = server.tokens.iter().cycle();
        for _ in 0..posters {
            let poster = match tokens.next() {
                Some(token) => Poster::Http {
                    connection: Connection::open(server.port).await?,
                    heads: [&server.room, &server.aside]
                        .map(|room| Rc::from(head(server.port, token, room))),
                    answered: Rc::clone(&answered),
                },
                None => Poster::Socket(Connection::socket(server.port, &json!({})).await?),
            };
            let (orders, ledger) = (Rc::clone(&orders), Rc::clone(ledger));
            posting.spawn_local(async move {
                if let Err(fault) = poster.post_all(&orders, &ledger).await {
                    ledger.fail(fault);
                }
            });
        }
        Ok(Self {
            posts,
            answered,
            _posting: posting,
        })
    }

    /// Posts in the room, and says that it was sent now.
    pub(super) fn post(&self, ledger: &Ledger) {
        // Without a poster there is a fault, which is found by whoever waits.
        let _ = self.posts.send(Order::Post(ledger.sent()));
    }

    /// Posts where nobody is.
    pub(super) fn post_aside(&self) {
        // As above.
        let _ = self.posts.send(Order::Aside);
    }

    /// How many posts have been answered.
    pub(super) fn answered(&self) -> usize {
        self.answered.get()
    }
}

/// One who posts.
enum Poster {
    /// A socket that is not in the room.
    Socket(Connection),
    /// A user of a guild, with what its requests in each room begin with.
    Http {
        connection: Connection,
        heads: [Rc<str>; 2],
        answered: Rc<Cell<usize>>,
    },
}

impl Poster {
    async fn post_all(
        mut self,
        orders: &Mutex<mpsc::UnboundedReceiver<Order>>,
        ledger: &Ledger,
    ) -> Result<(), Fault> {
        loop {
            let order = match &mut self {
                Self::Http { .. } => orders.lock().await.recv().await,
                // Its heartbeat is to be answered meanwhile.
                Self::Socket(connection) => {
                    let mut orders = orders.lock().await;
                    tokio::select! {
                        biased;
                        order = orders.recv() => order,
                        said = connection.next() => {
                            said?;
                            continue;
                        }
                    }
                }
            };
            match order {
                Some(order) => self.post(&order, ledger).await?,
                None => return Ok(()),
            }
        }
    }

    async fn post(&mut self, order: &Order, ledger: &Ledger) -> Result<(), Fault> {
        match self {
            Self::Socket(connection) => {
                let Order::Post(number) = order else {
                    return Err("only a guild has another room".into());
                };
                let post = json!([POST, { "content": content(*number) }]);
                connection.say(&format!("42{NAMESPACE},{post}")).await
            }
            Self::Http {
                connection,
                heads: [room, aside],
                answered,
            } => {
                let (head, number) = match order {
                    Order::Post(number) => (room, *number),
                    Order::Aside => (aside, 0),
                };
                let body = json!({ "content": content(number) }).to_string();
                let length = body.len();
                let request = format!("{head}content-length: {length}\r\n\r\n{body}");
                let (status, said) = connection.request(request.as_bytes()).await?;
                if status != 201 {
                    let said = String::from_utf8_lossy(said);
                    return Err(format!("a post was answered {status}: {said}").into());
                }
                answered.set(answered.get() + 1);
                ledger.change();
                Ok(())
            }
        }
    }
}

/// What a post in a channel begins with.
fn head(port: u16, token: &Token, channel: &str) -> String {
    format!(
        "POST /api/channels/{channel}/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\n",
        token.0.expose()
    )
}
