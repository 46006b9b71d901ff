//! One connection through the proxy.

use std::{io, time::Duration};

use futures::FutureExt as _;
use selvedge_core::rng::Rng;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::{
    Options,
    fault::{Kind, Mood, Way, conduct},
    tally::Tally,
};

/// How much is carried at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What a connection is carried with.
pub(super) struct Line {
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) weather: watch::Receiver<bool>,
    pub(super) tally: Tally,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides have said all that they had to say, or one has broken off.
    Over,
    /// A chunk was cut.
    Cut,
    /// Both sides are to be reset.
    Reset,
}

impl Line {
    pub(super) async fn carry(self, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", self.options.server)).await else {
            // The client is to see that nobody is there, not that somebody has left.
            let _ = client.set_zero_linger();
            return;
        };
        match self.relay(&mut client, &mut server).await {
            End::Over => {}
            End::Cut => self.tally.count(Kind::Cut),
            End::Reset => self.tally.count(Kind::Reset),
        }
    }

    async fn relay(&self, client: &mut TcpStream, server: &mut TcpStream) -> End {
        // Else small frames wait for each other, which is no fault that was drawn.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (mood, moods) = watch::channel(Mood::Pass);
        tokio::select! {
            biased;
            end = pumped(client, server, moods, self.options.late) => end,
            () = conduct(self.rng.clone(), self.weather.clone(), &mood, &self.tally) => End::Over,
        }
    }
}

/// Carries both directions to the end.
pub(super) async fn pumped(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mood: watch::Receiver<Mood>,
    late: bool,
) -> End {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut up = Pump {
        way: Way::Up,
        from: from_client,
        to: to_server,
        mood: mood.clone(),
        late,
    };
    let mut down = Pump {
        way: Way::Down,
        from: from_server,
        to: to_client,
        mood,
        late: true,
    };
    let end = match tokio::try_join!(up.run(), down.run()) {
        Ok(_) => End::Over,
        Err(end) => end,
    };
    if end == End::Reset {
        // Where one is closed already there is nothing to reset.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
    end
}

/// What carries one direction.
struct Pump<'a> {
    way: Way,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    mood: watch::Receiver<Mood>,
    /// Whether what was held is passed on though its sender is gone.
    late: bool,
}

impl Pump<'_> {
    /// Runs to the end of this direction; an `Err` is the end of both.
    async fn run(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = self.from.read(&mut buffer).await.map_err(over)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if !self.pass(chunk).await? {
                return Ok(());
            }
        }
    }

    /// Passes a chunk on as the mood wants it. `false` after the last one, which is empty.
    async fn pass(&mut self, chunk: &[u8]) -> Result<bool, End> {
        loop {
            let mood = *self.mood.borrow_and_update();
            match mood {
                Mood::Hold => {
                    let changed = self.mood.changed().await;
                    changed.map_err(|_| End::Over)?;
                    self.still_wanted()?;
                }
                Mood::Delay(delay) => {
                    self.wait(delay).await?;
                    return self.write(chunk).await;
                }
                Mood::Swallow(way) if way == self.way => return Ok(!chunk.is_empty()),
                Mood::Cut(way) if way == self.way => {
                    let part = chunk.get(..chunk.len() / 2).unwrap_or_default();
                    self.to.write_all(part).await.map_err(over)?;
                    return Err(End::Cut);
                }
                Mood::Reset(way) if way == self.way => return Err(End::Reset),
                Mood::Pass | Mood::Swallow(_) | Mood::Cut(_) | Mood::Reset(_) => {
                    return self.write(chunk).await;
                }
            }
        }
    }

    async fn wait(&self, delay: Duration) -> Result<(), End> {
        sleep(delay).await;
        self.still_wanted()
    }

    /// After a pause: whether what was held is to be passed on.
    fn still_wanted(&self) -> Result<(), End> {
        let gone = match self.from.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        };
        if gone && !self.late {
            return Err(End::Over);
        }
        Ok(())
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<bool, End> {
        if chunk.is_empty() {
            self.to.shutdown().await.map_err(over)?;
            return Ok(false);
        }
        self.to.write_all(chunk).await.map_err(over)?;
        Ok(true)
    }
}

/// Whoever breaks off ends the connection.
fn over(_: io::Error) -> End {
    End::Over
}
