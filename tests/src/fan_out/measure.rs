//! What is measured: how long a post takes to each socket, and how many deliveries are made.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    crowd::Crowd,
    poster::{Posters, WINDOW},
    stage::Server,
};
use crate::{cost::cpu, fabric::Fault};

/// How long one post took, of posts that were made one at a time: from its sending to its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// To the first socket, in the middle of all posts.
    pub first: Duration,
    /// To a socket in the middle of all deliveries.
    pub p50: Duration,
    /// To all but one in a hundred of them.
    pub p99: Duration,
    /// To the last one.
    pub max: Duration,
}

/// What was done while as many posts as possible were made, of which a few may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// How often a socket got a post.
    pub deliveries: usize,
    /// How often in a second.
    pub rate: f64,
    /// How much processor time the server took for each.
    pub server: Duration,
    /// And whoever received them.
    pub crowd: Duration,
    /// How long the payload of each frame was.
    pub bytes: usize,
}

/// What a guild did while as many posts as possible were made in a channel where nobody is.
#[derive(Clone, Copy, Debug)]
pub struct Alone {
    /// How many posts in a second.
    pub rate: f64,
    /// How much processor time it took for each.
    pub server: Duration,
}

/// Makes so many posts, each when all have got the one before and `pause` has gone by.
///
/// # Errors
///
/// Where a delivery is lost.
pub async fn paced(
    server: &Server,
    crowd: &Crowd,
    posts: usize,
    pause: Duration,
) -> Result<Pace, Fault> {
    let ledger = &crowd.ledger;
    let posters = Posters::hire(server, ledger).await?;
    let before = ledger.posts();
    for number in before..before + posts {
        sleep(pause).await;
        posters.post(ledger);
        ledger.until(|| ledger.complete() > number).await?;
    }
    let took = ledger.took_after(before);
    let mut firsts: Vec<_> = took
        .iter()
        .filter_map(|took| took.first().copied())
        .collect();
    let mut all = took.concat();
    Ok(Pace {
        first: share(&mut firsts, 0.5),
        p50: share(&mut all, 0.5),
        p99: share(&mut all, 0.99),
        max: share(&mut all, 1.0),
    })
}

/// Below what so great a share of them is.
fn share(of: &mut [Duration], share: f64) -> Duration {
    of.sort_unstable();
    let place = (of.len() as f64 * share).ceil() as usize;
    of.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// Posts for so long, and waits until all is delivered.
///
/// # Errors
///
/// Where a delivery is lost.
pub async fn burst(server: &Server, crowd: &Crowd, length: Duration) -> Result<Burst, Fault> {
    let ledger = &crowd.ledger;
    let posters = Posters::hire(server, ledger).await?;
    let (begun, ours, theirs) = (ledger.now(), cpu("self")?, server.cpu()?);
    let before = ledger.delivered();
    while ledger.now().since(begun) < length {
        posters.post(ledger);
        let is_next = || ledger.posts() - ledger.complete() < WINDOW;
        ledger.until(is_next).await?;
    }
    ledger.until(|| ledger.posts() == ledger.complete()).await?;
    let took = ledger.now().since(begun);
    let after = ledger.delivered();
    let deliveries = after.0 - before.0;
    let each = |time: Duration| time.div_f64(deliveries as f64);
    Ok(Burst {
        deliveries,
        rate: deliveries as f64 / took.as_secs_f64(),
        server: each(server.cpu()?.saturating_sub(theirs)),
        crowd: each(cpu("self")?.saturating_sub(ours)),
        bytes: (after.1 - before.1) / deliveries,
    })
}

/// The same in a channel where nobody is; none where the server is no guild.
///
/// # Errors
///
/// Where a post is not taken.
pub async fn alone(
    server: &Server,
    crowd: &Crowd,
    length: Duration,
) -> Result<Option<Alone>, Fault> {
    if server.tokens.is_empty() {
        return Ok(None);
    }
    let ledger = &crowd.ledger;
    let posters = Posters::hire(server, ledger).await?;
    let (begun, theirs) = (ledger.now(), server.cpu()?);
    let mut posts = 0;
    while ledger.now().since(begun) < length {
        posters.post_aside();
        posts += 1;
        let is_next = || posts - posters.answered() < WINDOW;
        ledger.until(is_next).await?;
    }
    ledger.until(|| posters.answered() == posts).await?;
    let took = ledger.now().since(begun);
    Ok(Some(Alone {
        rate: posts as f64 / took.as_secs_f64(),
        server: server.cpu()?.saturating_sub(theirs).div_f64(posts as f64),
    }))
}
