//! The toy scene in `turmoil`: the same clients and server as tasks over its simulated TCP.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::spawn_local,
    time::sleep,
};
use turmoil::{
    Builder,
    net::{TcpListener, TcpStream},
};

use crate::toy::{CLIENTS, LATENCY, PAUSE};

const PORT: u16 = 80;

/// Runs it for so long in virtual time, and says how many messages arrived and pauses ended.
pub(crate) fn run(scene: Duration) -> u64 {
    let events = Rc::new(Cell::new(0));
    let mut sim = Builder::new()
        .rng_seed(1)
        .simulation_duration(scene * 2)
        .min_message_latency(LATENCY.0)
        .max_message_latency(LATENCY.1)
        .build();
    let counted = Rc::clone(&events);
    sim.host("server", move || serve(Rc::clone(&counted)));
    for client in 0..CLIENTS {
        let counted = Rc::clone(&events);
        sim.client(format!("client-{client}"), async move {
            // What has not ended by then has lasted as long as the scene.
            match tokio::time::timeout(scene, ask(counted)).await {
                Ok(failed) => failed.map_err(Into::into),
                Err(_) => Ok(()),
            }
        });
    }
    sim.run().expect("a run");
    events.get()
}

async fn serve(events: Rc<Cell<u64>>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that has ended ends its connection.
        spawn_local(answer(stream, Rc::clone(&events)));
    }
}

async fn answer(mut stream: TcpStream, events: Rc<Cell<u64>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let number = stream.read_u64().await?;
        events.set(events.get() + 1);
        stream.write_u64(number + 1).await?;
    }
}

async fn ask(events: Rc<Cell<u64>>) -> io::Result<()> {
    let mut stream = TcpStream::connect(("server", PORT)).await?;
    let mut number = 0;
    loop {
        events.set(events.get() + 1);
        stream.write_u64(number).await?;
        let answer = stream.read_u64().await?;
        assert_eq!(answer, number + 1, "the server counts");
        number = answer;
        events.set(events.get() + 1);
        sleep(PAUSE).await;
    }
}
