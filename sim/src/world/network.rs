//! The network of a world: dials, frames, requests and their ends.

use std::time::Duration;

use bytes::Bytes;
use selvedge_core::{
    engineio::sessions::Arrival,
    fabric::{realtime::MESSAGE_CREATED, types::Message},
    guild::io as guild_io,
    http::{CallId, Failure, Method, Request, Response},
    id::ChannelId,
    plugin::io::{Http, Input},
    request::RequestId,
    ws::{self, Closed, ConnId, Frame},
};
use serde_json::Value;

use super::{Caller, Event, Moment, START, World};
use crate::{
    fault::RestFault,
    net::{End, Held, Link, Passage, is_foreign, is_ping},
    oracle::Seen,
    path::take,
    story::Dial,
    talk,
};

/// What a CONNECT to the namespace of the pushes begins with: Engine.IO's mark of a message, and
/// Socket.IO's of a CONNECT.
const CONNECT: &str = "40/realtime,";
/// What a request to enter a channel has where the process has not entered it before.
const FRESH: &str = r#","fresh":true"#;
/// What a push has that wakes with an older message.
const REWAKE: &str = r#""rewake":true"#;

impl World {
    /// An agent dials a guild.
    pub(super) fn dial(&mut self, agent: usize, conn: ConnId, guild: usize) {
        let latency = self.net.latency();
        let open = self.net.count(agent);
        let all = 1 + open.values().sum::<usize>();
        let to_it = 1 + open.get(&guild).copied().unwrap_or_default();
        let seen = Seen::Dialed {
            agent,
            guild,
            open: to_it,
        };
        self.oracle.saw(self.now, &seen);
        if let Some(site) = self.agents.get_mut(agent) {
            site.dials += 1;
        }
        if let Some(site) = self.guilds.get_mut(guild) {
            site.on_dial(self.now);
        }
        let up = self.guilds.get(guild).is_some_and(|site| site.alive);
        let path = self.path(agent, guild);
        if path.refuses_dials || !up {
            self.tell(|teller, at| teller.dialed(at, agent, guild, conn, Dial::Refused));
            self.cover("dial refused");
            self.trouble(agent, guild);
            let refused = Input::Dialed(conn, Err("connection refused".into()));
            return self.schedule_agent(latency, agent, refused);
        }
        let hangs = take(&mut path.hangs_dials);
        let (doom, delay) = (path.doom(), path.dial_delay);
        if let Some(site) = self.agents.get_mut(agent) {
            site.open_max = site.open_max.max(all);
        }
        let link = self.net.connect(self.now, agent, conn, guild);
        if hangs {
            self.cover("dial hangs");
            self.tell(|teller, at| teller.dialed(at, agent, guild, conn, Dial::Hangs));
            self.net.mar(link);
            self.trouble(agent, guild);
            return;
        }
        if !delay.is_zero() {
            self.net.mar(link);
            self.trouble_until(agent, guild, self.now + delay);
        }
        if let Some(after) = doom {
            self.schedule(after, Event::Reset(link));
        }
        let there = self.net.arrival(self.now, link, End::Guild, Duration::ZERO);
        let back = self.net.latency() + delay;
        let after = there.since(self.now);
        self.tell(|teller, at| teller.dialed(at, agent, guild, conn, Dial::Arrives(after)));
        self.schedule_at(there, Event::Arrival(link));
        self.schedule_at(there + back, Event::Dialed(link));
        // What the guild sends meanwhile arrives after the dial is done.
        self.net.not_before(link, End::Agent, there + back);
    }

    /// One end of a connection does something with it.
    pub(super) fn act(&mut self, from: End, link: Link, action: ws::Action) {
        let to = from.peer();
        let event = match action {
            ws::Action::Send(frame) => ws::Event::Frame(frame),
            ws::Action::Close => {
                if from == End::Agent {
                    self.let_go(link);
                }
                self.net.leave(link, from);
                ws::Event::Closed(Closed::Peer {
                    code: 1000,
                    reason: "".into(),
                })
            }
        };
        if from == End::Agent
            && let ws::Event::Frame(Frame::Text(text)) = &event
        {
            self.net.on_said(link, text);
            if let Some(auth) = text.strip_prefix(CONNECT) {
                self.show_token(link, auth);
            }
        }
        let path = self.paths.entry((link.agent, link.guild)).or_default();
        // It is not the network that is late: what the guild says meanwhile goes before it.
        let pings_late = to == End::Agent && is_ping(&event) && !path.ping_delay.is_zero();
        let late = if pings_late {
            path.ping_delay
        } else {
            Duration::ZERO
        };
        let extra = path.frame_delay;
        let at = self.net.arrival(self.now, link, to, extra) + late;
        let woken = rewoken(to, &event);
        let sent = self.teller.is_some().then(|| event.clone());
        let passage = self.net.pass(link, to, event, path);
        if let (Some(teller), Some(sent)) = (&mut self.teller, sent) {
            let arrives = at.since(START);
            teller.sent(self.now.since(START), link, to, &sent, &passage, arrives);
        }
        // What the guild has announced stands in nobody's way.
        if !extra.is_zero() || late > self.net.heartbeat_slack() {
            self.net.mar(link);
            self.trouble_until(link.agent, link.guild, at);
        }
        if let Some(channel) = woken {
            let place = (link.agent, link.guild, channel);
            let arrives = !matches!(passage, Passage::Lost | Passage::Swallowed);
            self.oracle.saw(self.now, &Seen::Rewoken { place, arrives });
        }
        match passage {
            Passage::Arrives(times, event) => {
                for _ in 0..times {
                    let event = event.clone();
                    self.schedule_at(at, Event::Frame { link, to, event });
                }
                if times > 1 {
                    self.cover("push repeated");
                }
            }
            Passage::Damaged(event) => {
                self.trouble_until(link.agent, link.guild, at);
                self.schedule_at(at, Event::Frame { link, to, event });
            }
            Passage::Lost => {
                self.cover("frame lost");
                self.net.mar(link);
                self.trouble(link.agent, link.guild);
            }
            Passage::Swallowed => self.cover("frame lost"),
        }
        if pings_late {
            self.cover("ping late");
        }
    }

    /// The other connections that an agent has to the guild of one.
    fn others(&self, link: Link) -> Vec<Held> {
        let others = self.net.besides(link);
        others.filter_map(|other| self.net.held(other)).collect()
    }

    /// An agent gives a connection up.
    pub(super) fn let_go(&mut self, link: Link) {
        let Some(held) = self
            .net
            .held(link)
            .filter(|_| !self.net.ends_unheard(self.now, link))
        else {
            return;
        };
        let others = self.others(link);
        let seen = Seen::LetGo {
            agent: link.agent,
            guild: link.guild,
            held: &held,
            others: &others,
        };
        self.oracle.saw(self.now, &seen);
    }

    fn show_token(&mut self, link: Link, auth: &str) {
        let auth: Value = serde_json::from_str(auth).unwrap_or_default();
        let token = auth.get("token").and_then(Value::as_str);
        let wall = self.wall();
        let expires = token.and_then(|token| self.center.expires(token));
        let dies = expires.map(|expires| self.now + expires.since(wall));
        self.net.present(link, dies);
        let others = self.others(link);
        let seen = Seen::Presented {
            agent: link.agent,
            guild: link.guild,
            expires,
            wall,
            others: &others,
        };
        self.oracle.saw(self.now, &seen);
    }

    /// Something that was sent on a connection arrives.
    pub(super) fn deliver(&mut self, link: Link, to: End, event: ws::Event) {
        if self.net.has_left(link, to) {
            return;
        }
        if to == End::Agent
            && let ws::Event::Frame(Frame::Text(text)) = &event
            && text.contains(MESSAGE_CREATED)
        {
            self.before(Moment::Push, Some(link.agent), Some(link.guild));
            if self.net.of_guild(link.number).is_none() {
                return;
            }
        }
        if matches!(event, ws::Event::Closed(_)) {
            self.net.close(link);
            self.tell(|teller, at| teller.ended(at, link, "closed"));
        }
        if to == End::Agent
            && let ws::Event::Frame(Frame::Text(text)) = &event
        {
            self.net.on_heard(link, text);
            if let Some((channel, member)) = talk::membership(text) {
                let place = (link.agent, link.guild, channel);
                self.oracle.saw(self.now, &Seen::Told { place, member });
            }
        }
        match to {
            End::Agent => {
                let foreign = is_foreign(&event);
                self.step_agent(link.agent, Some(Input::Transport(link.conn, event)));
                if foreign && !self.net.has_left(link, End::Agent) {
                    let (agent, guild) = (link.agent, link.guild);
                    self.oracle
                        .saw(self.now, &Seen::PassedOver { agent, guild });
                }
            }
            End::Guild => {
                let site = self.guilds.get(link.guild);
                let event = match site.is_some_and(|site| site.is_reticent) {
                    true => not_fresh(event),
                    false => event,
                };
                self.step_guild(link.guild, Some(at_guild(link, event)));
            }
        }
    }

    /// A connection is reset, and both ends are told.
    pub(super) fn reset(&mut self, link: Link) {
        if self.net.of_guild(link.number).is_some() {
            self.cover("connection reset");
            self.trouble_ended(link.agent, link.guild);
            self.break_off(link, End::Agent, "connection reset");
            let event = Self::broken("connection reset");
            self.schedule_guild(Duration::ZERO, link.guild, at_guild(link, event));
        }
    }

    /// A connection is closed in order by whoever stands between, and both ends are told.
    pub(super) fn close_in_order(&mut self, link: Link) {
        self.cover("connection closed");
        self.trouble_ended(link.agent, link.guild);
        let event = || {
            ws::Event::Closed(Closed::Peer {
                code: 1001,
                reason: "going away".into(),
            })
        };
        self.net.close(link);
        self.tell(|teller, at| teller.ended(at, link, "closed in order"));
        let latency = self.net.latency();
        self.net.tell_end(link, self.now + latency);
        self.schedule_agent(latency, link.agent, Input::Transport(link.conn, event()));
        self.schedule_guild(latency, link.guild, at_guild(link, event()));
    }

    /// Ends a connection now; only `told` hears of it, after the latency of the network.
    pub(super) fn break_off(&mut self, link: Link, told: End, why: &'static str) {
        self.net.close(link);
        self.tell(|teller, at| teller.ended(at, link, why));
        let latency = self.net.latency();
        let event = Self::broken(why);
        match told {
            End::Agent => {
                self.net.tell_end(link, self.now + latency);
                self.schedule_agent(latency, link.agent, Input::Transport(link.conn, event));
            }
            End::Guild => self.schedule_guild(latency, link.guild, at_guild(link, event)),
        }
    }

    /// An agent's request, and whatever goes wrong with it.
    pub(super) fn call_from_agent(
        &mut self,
        agent: usize,
        guild: usize,
        id: RequestId<Http>,
        mut request: Request,
    ) {
        let Some(life) = self.agents.get(agent).map(|site| site.life) else {
            return;
        };
        let posts = request.method == Method::Post && request.target.ends_with("/messages");
        if posts {
            self.before(Moment::Post, Some(agent), Some(guild));
            if !self.lives(agent, life) {
                return;
            }
            if let Some(site) = self.agents.get_mut(agent) {
                site.posts += 1;
            }
        }
        if posts && self.guilds.get(guild).is_some_and(|site| site.is_older) {
            request.body = without(&request.body, "nonce");
        }
        let now = self.now;
        let limit = self.path(agent, guild).limit(now).filter(|_| posts);
        let up = self.guilds.get(guild).is_some_and(|site| site.alive);
        let fault = match up {
            true if limit.is_some() => Some(RestFault::Status(429)),
            true => self.path(agent, guild).rest_fault(),
            false => Some(RestFault::Unreachable),
        };
        // A page alone has an answer that can be too large.
        let is_page = request.method == Method::Get && request.target.contains("/messages");
        let fault = fault.filter(|fault| *fault != RestFault::TooLarge || is_page);
        if let Some(fault) = fault {
            self.cover("request failed");
            self.trouble_until(agent, guild, self.now + fault.lasts());
        }
        let caller = Caller::Agent {
            agent,
            life,
            id,
            posts,
            reads: is_page,
            fault,
        };
        let (latency, back) = (self.net.latency(), self.net.latency());
        let answered = |answer| Event::Answer {
            agent,
            life,
            id,
            answer,
            posts,
        };
        if let Some(fault) = fault.filter(|fault| !fault.carries_out()) {
            let who = (Some(agent), guild);
            self.tell(|teller, at| {
                let why = format!("{fault:?}");
                teller.requested((at, at), who, None, &request, Some(&why));
            });
        }
        match fault {
            Some(RestFault::Unreachable) => {
                let failure = Failure::Unreachable("connection refused".into());
                self.schedule(latency, answered(Err(failure)));
            }
            Some(RestFault::LoseRequest) => {
                let failure = Failure::Broken("connection reset".into());
                self.schedule(latency + back, answered(Err(failure)));
            }
            Some(RestFault::HangRequest) => {}
            Some(RestFault::Status(status)) => {
                self.schedule(latency + back, answered(Ok(refusal(status, limit))));
            }
            Some(RestFault::LateRequest(millis)) => {
                let after = latency + Duration::from_millis(millis);
                self.call(caller, guild, request, after);
            }
            Some(
                RestFault::LoseAnswer
                | RestFault::HangAnswer
                | RestFault::LateAnswer(_)
                | RestFault::TooLarge,
            )
            | None => self.call(caller, guild, request, latency),
        }
    }

    /// A request is on its way to a guild.
    pub(super) fn call(&mut self, caller: Caller, guild: usize, request: Request, after: Duration) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        let agent = caller.agent();
        self.tell(|teller, at| {
            let on_its_way = (at, at + after);
            teller.requested(on_its_way, (agent, guild), Some(call), &request, None);
        });
        self.callers.insert(call, (guild, caller));
        let event = Event::Request {
            guild,
            call,
            request,
        };
        self.schedule(after, event);
    }

    /// A request has reached its guild, or what was left of it.
    pub(super) fn arrive(&mut self, guild: usize, call: CallId, request: Request) {
        if !self.callers.contains_key(&call) {
            return;
        }
        if self.guilds.get(guild).is_some_and(|site| site.alive) {
            self.step_guild(guild, Some(guild_io::Input::Http { call, request }));
        } else {
            self.hang_up_on(call);
        }
    }

    /// A guild answers a request.
    pub(super) fn respond(&mut self, call: CallId, mut response: Response) {
        let Some((guild, caller)) = self.callers.remove(&call) else {
            return self.fail(format!("call {} was answered twice", call.0));
        };
        match caller {
            Caller::Agent {
                agent,
                life,
                id,
                posts,
                reads,
                fault,
            } => {
                if reads && self.guilds.get(guild).is_some_and(|site| site.is_older) {
                    response.body = without(&response.body, "wakeup");
                }
                let latency = self.net.latency();
                let delay = self.path(agent, guild).rest_delay;
                if !delay.is_zero() {
                    self.trouble_until(agent, guild, self.now + latency + delay);
                }
                let mut after = latency + delay;
                let answer = match fault {
                    Some(RestFault::HangAnswer) => return,
                    Some(RestFault::LoseAnswer) => Err(Failure::Broken("connection reset".into())),
                    Some(RestFault::TooLarge) => Err(Failure::TooLarge),
                    Some(RestFault::LateAnswer(millis)) => {
                        after += Duration::from_millis(millis);
                        Ok(response)
                    }
                    Some(
                        RestFault::Unreachable
                        | RestFault::LoseRequest
                        | RestFault::HangRequest
                        | RestFault::LateRequest(_)
                        | RestFault::Status(_),
                    )
                    | None => Ok(response),
                };
                let told = answer.as_ref();
                self.tell(|teller, at| {
                    teller.answered((at, at + after), (guild, Some(agent)), call, told);
                });
                let event = Event::Answer {
                    agent,
                    life,
                    id,
                    answer,
                    posts,
                };
                self.schedule(after, event);
            }
            Caller::Creator { name } => {
                self.tell(|teller, at| {
                    teller.answered((at, at), (guild, None), call, Ok(&response))
                });
                self.on_created(guild, name, &response);
            }
            Caller::Person => {
                self.tell(|teller, at| {
                    teller.answered((at, at), (guild, None), call, Ok(&response))
                });
                self.on_person_answered(&response);
            }
        }
    }
}

/// What a guild, or whoever stands before it, says instead of an answer.
fn refusal(status: u16, wait: Option<Duration>) -> Response {
    let body = serde_json::json!({"statusCode": status, "error": "fault", "message": "a fault"});
    Response {
        status,
        retry_after: (status == 429).then_some(wait.unwrap_or(Duration::from_secs(1))),
        body: body.to_string().into(),
    }
}

/// A message, or a page of messages, as it is to somebody who does not know this field.
fn without(body: &Bytes, field: &str) -> Bytes {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return body.clone();
    };
    fields.remove(field);
    let messages = fields.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten() {
        if let Value::Object(fields) = message {
            fields.remove(field);
        }
    }
    Value::Object(fields).to_string().into()
}

/// What an agent says, as it is to a guild that does not know of first entries.
fn not_fresh(event: ws::Event) -> ws::Event {
    if let ws::Event::Frame(Frame::Text(text)) = &event
        && text.contains(FRESH)
    {
        return ws::Event::Frame(Frame::Text(text.replace(FRESH, "").into()));
    }
    event
}

/// Something happens on the guild's end of a link.
pub(super) fn at_guild(link: Link, event: ws::Event) -> guild_io::Input {
    guild_io::Input::Arrival(Arrival::Transport(link.number, event))
}

/// The channel in which a frame to an agent wakes it with an older message.
fn rewoken(to: End, event: &ws::Event) -> Option<ChannelId> {
    let ws::Event::Frame(Frame::Text(text)) = event else {
        return None;
    };
    if to == End::Guild || !text.contains(REWAKE) {
        return None;
    }
    let (_, args) = text.split_once(',')?;
    let (_, message): (String, Message) = serde_json::from_str(args).ok()?;
    Some(message.channel_id).filter(|_| message.rewake == Some(true))
}
