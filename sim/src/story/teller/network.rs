//! What goes over the network.

use std::time::Duration;

use selvedge_core::{
    Secret,
    http::{CallId, Failure, Request, Response},
    plugin::io::Input,
    record::Recorded as _,
    ws::{self, ConnId},
};

use super::{Dial, Teller};
use crate::{
    net::{End, Link, Passage},
    story::{
        Kind, Party, Shape,
        frames::{cut, told},
    },
};

impl Teller {
    /// An agent dials a guild.
    pub fn dialed(&mut self, at: Duration, agent: usize, guild: usize, conn: ConnId, dial: Dial) {
        let ends = (Party::Agent(agent), Party::Guild(guild));
        let (until, lost) = match dial {
            Dial::Arrives(after) => (at + after, None),
            Dial::Refused => (at, Some("refused")),
            Dial::Hangs => (at, Some("nobody answers")),
        };
        let label = format!("dial {}", conn.0);
        self.arrow(
            (at, until),
            ends,
            Some(guild),
            Kind::Dial,
            label,
            String::new(),
            lost,
        );
        if dial != Dial::Refused {
            let lane = self.lane(Party::Link(agent, guild));
            let name = conn.0.to_string();
            let label = format!("connection {name}");
            self.begin(at, lane, Kind::Connection, name, (label, String::new()));
        }
    }

    /// Something was sent on a connection: it arrives then, or is lost.
    pub fn sent(
        &mut self,
        at: Duration,
        link: Link,
        to: End,
        event: &ws::Event,
        passage: &Passage,
        arrives: Duration,
    ) {
        let mut secrets = Vec::new();
        if to == End::Agent {
            let input = Input::Transport(link.conn, event.clone());
            input.secrets(&mut |secret| secrets.push(secret.to_owned()));
        }
        for secret in secrets {
            self.hide(&secret);
        }
        let (kind, label, detail) = told(event);
        let (agent, guild) = (Party::Agent(link.agent), Party::Guild(link.guild));
        let ends = match to {
            End::Agent => (guild, agent),
            End::Guild => (agent, guild),
        };
        let detail = format!("connection {}: {detail}", link.conn.0);
        let (until, lost) = match passage {
            Passage::Arrives(..) | Passage::Damaged(_) => (arrives, None),
            Passage::Lost | Passage::Swallowed => (at, Some("lost on its way")),
        };
        self.arrow(
            (at, until),
            ends,
            Some(link.guild),
            kind,
            label,
            detail,
            lost,
        );
        if let Passage::Damaged(arriving) = passage {
            let (_, _, detail) = told(arriving);
            let party = Party::Link(link.agent, link.guild);
            self.mark(at, party, Kind::Fault, "frame damaged", detail);
        }
    }

    /// A connection ends: what is on its way on it is lost.
    pub fn ended(&mut self, at: Duration, link: Link, why: &str) {
        let lane = self.lane(Party::Link(link.agent, link.guild));
        let name = link.conn.0.to_string();
        if !self
            .open
            .contains_key(&(Kind::Connection, lane, name.clone()))
        {
            return;
        }
        self.end(at, lane, Kind::Connection, &name);
        self.mark(
            at,
            Party::Link(link.agent, link.guild),
            Kind::Dial,
            why,
            format!("connection {name}"),
        );
        let start = format!("connection {name}: ");
        let ends = [
            self.lane(Party::Agent(link.agent)),
            self.lane(Party::Guild(link.guild)),
        ];
        // Nothing takes longer than a stall, and those are rare: the newest are looked at.
        for happening in self.happenings.iter_mut().rev().take(2_000) {
            if let Shape::Arrow { to, until, lost } = &mut happening.shape
                && *until > at
                && ends.contains(to)
                && ends.contains(&happening.lane)
                && happening.detail.starts_with(&start)
            {
                *lost = Some(format!("lost: {why}"));
                *until = at;
            }
        }
    }

    /// A request is on its way: from an agent or a person.
    pub fn requested(
        &mut self,
        (at, until): (Duration, Duration),
        (agent, guild): (Option<usize>, usize),
        call: Option<CallId>,
        request: &Request,
        lost: Option<&str>,
    ) {
        let from = agent.map_or(Party::People, Party::Agent);
        let path = request
            .target
            .strip_prefix("/api")
            .unwrap_or(&request.target);
        let path = self.with_names(guild, path);
        let label = format!("{} {path}", request.method.as_str());
        let with = match agent {
            Some(_) => self.token_named(request.bearer.as_ref()),
            None => String::new(),
        };
        let body = String::from_utf8_lossy(&request.body);
        let detail = format!("{}{with}\n{}", label, cut(&body));
        let ends = (from, Party::Guild(guild));
        let place = self.arrow(
            (at, until),
            ends,
            Some(guild),
            Kind::Request,
            label,
            detail,
            lost,
        );
        if let Some((_, of)) = self.places.get_mut(place) {
            *of = call;
        }
    }

    /// A guild answers a request.
    pub fn answered(
        &mut self,
        (at, until): (Duration, Duration),
        (guild, agent): (usize, Option<usize>),
        call: CallId,
        answer: Result<&Response, &Failure>,
    ) {
        let to = agent.map_or(Party::People, Party::Agent);
        let (label, detail, lost) = match answer {
            Ok(response) => {
                let body = String::from_utf8_lossy(&response.body);
                (response.status.to_string(), cut(&body), None)
            }
            Err(why) => ("no answer".to_owned(), String::new(), Some(why.to_string())),
        };
        let ends = (Party::Guild(guild), to);
        let lost = lost.as_deref();
        let place = self.arrow(
            (at, until),
            ends,
            Some(guild),
            Kind::Request,
            label,
            detail,
            lost,
        );
        if let Some((_, of)) = self.places.get_mut(place) {
            *of = Some(call);
        }
    }

    /// An agent's login is sent; Center answers it after so long, or never.
    pub fn logging_in(
        &mut self,
        at: Duration,
        agent: usize,
        answer: Option<Duration>,
        failure: Option<String>,
    ) {
        let (agent, center) = (Party::Agent(agent), Party::Center);
        let half = answer.unwrap_or_default() / 2;
        let kind = Kind::Request;
        self.arrow(
            (at, at + half),
            (agent, center),
            None,
            kind,
            "login".to_owned(),
            String::new(),
            None,
        );
        let (label, detail) = match failure {
            None => ("session".to_owned(), String::new()),
            Some(why) => ("no session".to_owned(), why),
        };
        let lost = answer.is_none().then_some("Center never answers");
        let until = answer.map_or(at, |after| at + after);
        self.arrow(
            (at + half, until),
            (center, agent),
            None,
            kind,
            label,
            detail,
            lost,
        );
    }

    /// A guild asks Center about a token, and is answered after so long.
    pub fn introspected(
        &mut self,
        at: Duration,
        guild: usize,
        token: &Secret,
        after: Duration,
        answer: &str,
    ) {
        let (guild, center) = (Party::Guild(guild), Party::Center);
        let name = self.names.get(token.expose());
        let name = name
            .cloned()
            .unwrap_or_else(|| "a person's token".to_owned());
        let half = after / 2;
        let label = format!("is {name} good?");
        let kind = Kind::Request;
        self.arrow(
            (at, at + half),
            (guild, center),
            None,
            kind,
            label,
            String::new(),
            None,
        );
        let label = answer.to_owned();
        self.arrow(
            (at + half, at + after),
            (center, guild),
            None,
            kind,
            label,
            name,
            None,
        );
    }
}
