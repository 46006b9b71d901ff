//! The sockets of a room, each read by a task of its own.

use std::rc::Rc;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::{task::JoinSet, time::timeout};

use super::{
    connection::Connection,
    ledger::{Got, Ledger},
    stage::Server,
};
use crate::{PATIENCE, fabric::Fault};

/// How many are opened at a time, fewer than a listener lets wait.
const AT_A_TIME: usize = 32;

/// The sockets in the room of a server. All of them are read on one thread, in a `LocalSet`: they are
/// to leave to the server as much of the machine as they can.
pub struct Crowd {
    pub(super) ledger: Rc<Ledger>,
    /// Ends with the crowd.
    _listening: JoinSet<()>,
}

impl Crowd {
    /// Fills the room of `server`.
    ///
    /// # Errors
    ///
    /// Where a socket is not let in.
    pub async fn enter(server: &Server, sockets: usize) -> Result<Self, Fault> {
        let ledger = Rc::new(Ledger::new(sockets, server.in_order));
        let opened = futures::stream::iter(0..sockets).map(|number| async move {
            let mut socket = Connection::socket(server.port, server.auth(number)).await?;
            socket.enter(&server.room).await?;
            Ok::<_, Fault>(socket)
        });
        let opened = opened.buffer_unordered(AT_A_TIME).try_collect();
        let opened: Vec<_> = timeout(PATIENCE, opened).await??;
        let mut listening = JoinSet::new();
        for socket in opened {
            let ledger = Rc::clone(&ledger);
            listening.spawn_local(async move {
                if let Err(fault) = listen(socket, &ledger).await {
                    ledger.fail(fault);
                }
            });
        }
        Ok(Self {
            ledger,
            _listening: listening,
        })
    }
}

async fn listen(mut socket: Connection, ledger: &Ledger) -> Result<(), Fault> {
    let mut got = Got::default();
    loop {
        let frame = socket.next().await?;
        ledger.on_frame(&mut got, frame)?;
    }
}
