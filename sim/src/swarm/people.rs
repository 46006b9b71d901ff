//! Who there is in a drawn world, and what people do there.

use selvedge_core::{Rng, fabric::types::XType};

use super::{Size, log_between};
use crate::script::{Act, Deed, Head, Line};

/// The people of every drawn world.
pub(super) const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// How long everybody waits for the first contact, in milliseconds.
const FIRST_CONTACT: u64 = 3_000;

/// A channel of a drawn world.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) guild: String,
    pub(super) x_type: XType,
    pub(super) people: Vec<&'static str>,
    agents: Vec<String>,
}

/// Who and what there is in a drawn world.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) agents: Vec<String>,
    pub(super) guilds: Vec<String>,
    pub(super) places: Vec<Place>,
}

impl Cast {
    /// Draws the channels.
    pub(super) fn draw(rng: &mut Rng, head: &Head, size: &Size) -> Self {
        let mut places = Vec::new();
        for guild in &head.guilds {
            let channels = size.channels.unwrap_or_else(|| 1 + rng.below(4) as usize);
            for number in 1..=channels {
                places.push(Place::draw(rng, head, guild, number));
            }
        }
        Self {
            agents: head.agents.clone(),
            guilds: head.guilds.clone(),
            places,
        }
    }

    /// One of the agents.
    pub(super) fn agent(&self, rng: &mut Rng) -> Option<String> {
        pick(rng, &self.agents).cloned()
    }

    /// One of the guilds.
    pub(super) fn guild(&self, rng: &mut Rng) -> Option<String> {
        pick(rng, &self.guilds).cloned()
    }

    /// One of the channels, and somebody who may speak there.
    pub(super) fn place(&self, rng: &mut Rng) -> Option<(&Place, &'static str)> {
        let place = pick(rng, &self.places)?;
        Some((place, pick(rng, &place.people)?))
    }

    /// The channels in which everybody is woken by everybody, and there are two agents.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Place> {
        let places = self.places.iter();
        places.filter(|place| place.x_type == XType::General && place.agents.len() == 2)
    }

    /// What people do: they make the channels, most of them at once, and post until `span`.
    pub(super) fn lines(&self, rng: &Rng, size: &Size, span: u64) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut makes = rng.fork("makes");
        let mut made = Vec::new();
        for place in &self.places {
            let late = makes.chance(1, 4);
            let at = if late {
                makes.below(span / 2)
            } else {
                makes.below(20)
            };
            let mut users = place.agents.clone();
            users.extend(place.people.iter().skip(1).map(ToString::to_string));
            made.push(at);
            let wakes = match place.x_type {
                XType::Triage | XType::Custom => some_of(&mut makes, &users, 2, 3),
                XType::General | XType::Report | XType::Dm | XType::Discuss | XType::Work => vec![],
            };
            let bypass = match place.x_type.takes_turns() {
                true => some_of(&mut makes, &users, 1, 4),
                false => vec![],
            };
            let does = Deed::Create {
                name: place.name.clone(),
                x_type: place.x_type,
                members: users,
                wakes,
                bypass,
            };
            if let Some(who) = place.people.first() {
                lines.push(deed(at, who, Some(&place.guild), does));
            }
        }
        let mut posts = rng.fork("posts");
        let messages = size
            .messages
            .unwrap_or_else(|| log_between(&mut posts, 5, 80) as usize);
        let mut at = 0;
        for number in 1..=messages {
            // Now and then people write in bursts.
            at = match posts.chance(1, 3) {
                true => at + posts.below(50),
                false => posts.below(span),
            };
            let index = posts.below(self.places.len() as u64) as usize;
            let (Some(place), Some(made)) = (self.places.get(index), made.get(index)) else {
                continue;
            };
            let Some(who) = pick(&mut posts, &place.people) else {
                continue;
            };
            let does = Deed::Post {
                channel: place.name.clone(),
                content: content(&mut posts, place, number),
            };
            lines.push(deed((*made + FIRST_CONTACT).max(at), who, None, does));
        }
        if size.messages.is_none() {
            lines.extend(self.flood(&mut rng.fork("flood"), &made, span));
        }
        lines
    }

    /// In some worlds somebody writes more at once than one turn takes.
    fn flood(&self, rng: &mut Rng, made: &[u64], span: u64) -> Vec<Line> {
        let index = rng.below(self.places.len() as u64) as usize;
        let (Some(place), Some(made)) = (self.places.get(index), made.get(index)) else {
            return vec![];
        };
        let Some(who) = pick(rng, &place.people).filter(|_| rng.chance(1, 12)) else {
            return vec![];
        };
        let at = (*made + FIRST_CONTACT).max(rng.below(span));
        let number = 21 + rng.below(30);
        let lines = (1..=number).map(|number| {
            let post = Deed::Post {
                channel: place.name.clone(),
                content: format!("hush flood #{number}"),
            };
            deed(at + number, who, None, post)
        });
        lines.collect()
    }
}

impl Place {
    fn draw(rng: &mut Rng, head: &Head, guild: &str, number: usize) -> Self {
        let kinds = [
            XType::General,
            XType::General,
            XType::General,
            XType::Dm,
            XType::Report,
            XType::Triage,
            XType::Custom,
            XType::Discuss,
            XType::Discuss,
            XType::Work,
        ];
        let x_type = pick(rng, &kinds).copied().unwrap_or(XType::General);
        let mut agents = some_of(rng, &head.agents, 2, 3);
        if agents.is_empty() {
            agents.extend(pick(rng, &head.agents).cloned());
        }
        let mut people = 1 + rng.below(PEOPLE.len() as u64) as usize;
        if x_type == XType::Dm {
            agents.truncate(1);
            people = 1;
        }
        Self {
            name: format!("{guild}-c{number}"),
            guild: guild.to_string(),
            x_type,
            people: PEOPLE.into_iter().take(people).collect(),
            agents,
        }
    }
}

/// What somebody says: the first word tells the host what to do, the number makes it unique.
fn content(rng: &mut Rng, place: &Place, number: usize) -> String {
    if place.x_type.takes_turns() && rng.chance(1, 12) {
        return match rng.chance(1, 2) {
            true => "/no-reply".to_string(),
            false => "/force-proceed".to_string(),
        };
    }
    let how = match rng.below(24) {
        0 | 1 => "hush".to_string(),
        2 => "quiet".to_string(),
        3 => "twice".to_string(),
        4 => "late".to_string(),
        5 | 6 => format!("slow {}", log_between(rng, 100, 60_000)),
        7 if rng.chance(1, 3) => "hang".to_string(),
        _ => "say".to_string(),
    };
    match pick(rng, &place.agents)
        .filter(|_| place.x_type.takes_turns() || number.is_multiple_of(5))
    {
        Some(agent) => format!("<@{agent}> {how} #{number}"),
        None => format!("{how} #{number}"),
    }
}

/// Somebody does something.
pub(super) fn deed(at: u64, who: &str, guild: Option<&str>, deed: Deed) -> Line {
    Line::Act {
        at,
        who: who.to_string(),
        agent: None,
        guild: guild.map(str::to_string),
        r#do: Act::Deed(deed),
    }
}

/// One of several.
pub(super) fn pick<'t, T>(rng: &mut Rng, items: &'t [T]) -> Option<&'t T> {
    items.get(rng.below(items.len() as u64) as usize)
}

/// Each of several with a chance.
fn some_of(rng: &mut Rng, items: &[String], chance: u64, of: u64) -> Vec<String> {
    let drawn = items.iter().filter(|_| rng.chance(chance, of));
    drawn.cloned().collect()
}
