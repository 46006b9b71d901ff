//! Many agents in one plugin, whose guilds all end at once: the shorter form of `selvedge-soak many`.

use std::time::Duration;

use selvedge_tests::many::{self, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn the_links_of_many_agents_are_back_within_a_minute_and_each_wake_comes_once() {
    let plan = Plan {
        agents: 60,
        guilds: 4,
        rounds: 1,
        away: Duration::from_secs(2),
        token_life: Duration::from_secs(900),
        login_latency: Duration::from_millis(100),
        idle: Duration::ZERO,
    };
    let mut said = String::new();
    let ended = many::run(plan, |line| said = format!("{said}{line}\n")).await;
    ended.map_err(|fault| format!("{fault}\n{said}")).unwrap();
}
