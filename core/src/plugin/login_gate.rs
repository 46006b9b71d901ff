//! The login gate: at most so many logins of one process are in flight at a time.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::AgentId,
    machine::{Machine, Wakeup},
    plugin::io::Login,
    record::Recorded,
    request::RequestId,
    time::Time,
};

/// One login of one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket {
    /// Whose.
    pub agent: AgentId,
    /// Which.
    pub login: RequestId<Login>,
}
canonical!(struct Ticket { agent, login });

/// What can happen to the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An agent wants to log in.
    Ask(Ticket),
    /// A login was answered, or its agent does not want it any more.
    Done(Ticket),
    /// The process is about to end.
    Shutdown,
}

impl Recorded for Input {
    fn secrets(&self, _: &mut dyn FnMut(&str)) {}
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Output {
    /// This login may be sent now.
    Admit(Ticket),
}

/// Admits logins in the order in which they were asked for.
///
/// It is bounded by its users: an agent has at most one login, so no more tickets wait than there
/// are agents. A ticket is held until its `Done`, which the runtime owes for every answer and every
/// `Forget`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginGate {
    most: usize,
    in_flight: BTreeSet<Ticket>,
    waiting: VecDeque<Ticket>,
    shut: bool,
}
canonical!(struct LoginGate { most, in_flight, waiting, shut });

impl LoginGate {
    /// How many logins are in flight at most, by default: Center checks passwords with a function
    /// that is expensive by design, and all agents of a process come at once after an outage.
    pub const IN_FLIGHT: usize = 8;

    /// A gate for `most` logins at a time; for one where `most` is 0.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            in_flight: BTreeSet::new(),
            waiting: VecDeque::new(),
            shut: false,
        }
    }

    /// An agent has one login at a time: a newer one takes the place of one that still waits.
    fn wait(&mut self, ticket: Ticket) {
        let older = self
            .waiting
            .iter_mut()
            .find(|waiting| waiting.agent == ticket.agent);
        match older {
            Some(older) => *older = ticket,
            None => self.waiting.push_back(ticket),
        }
    }

    fn admit(&mut self, out: &mut Vec<Output>) {
        while self.in_flight.len() < self.most
            && let Some(ticket) = self.waiting.pop_front()
        {
            self.in_flight.insert(ticket.clone());
            out.push(Output::Admit(ticket));
        }
    }
}

impl Machine for LoginGate {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, _: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Ask(ticket) => {
                let known = self.in_flight.contains(&ticket) || self.waiting.contains(&ticket);
                if !known && !self.shut {
                    self.wait(ticket);
                }
            }
            Input::Done(ticket) => {
                self.in_flight.remove(&ticket);
                self.waiting.retain(|waiting| *waiting != ticket);
            }
            Input::Shutdown => {
                self.shut = true;
                self.waiting.clear();
                self.in_flight.clear();
            }
        }
        self.admit(out);
    }

    fn tick(&mut self, _: Time, _: &mut Vec<Output>) {}

    fn next_wakeup(&self) -> Option<Wakeup> {
        None
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::machine::step;

    fn ticket(number: u64) -> Ticket {
        Ticket {
            agent: AgentId::new(&alloc::format!("a{number}")).unwrap(),
            login: RequestId::from_number(number),
        }
    }

    #[test]
    fn logins_are_admitted_in_order_and_never_more_than_the_limit() {
        let mut gate = LoginGate::new(2);
        let mut out = Vec::new();
        for number in 0..4 {
            step(
                &mut gate,
                Time::ZERO,
                Some(Input::Ask(ticket(number))),
                &mut out,
            );
        }
        step(&mut gate, Time::ZERO, Some(Input::Ask(ticket(3))), &mut out);
        assert_eq!(
            out,
            vec![Output::Admit(ticket(0)), Output::Admit(ticket(1))]
        );
        out.clear();
        step(
            &mut gate,
            Time::ZERO,
            Some(Input::Done(ticket(2))),
            &mut out,
        );
        step(
            &mut gate,
            Time::ZERO,
            Some(Input::Done(ticket(9))),
            &mut out,
        );
        assert_eq!(out, vec![]);
        step(
            &mut gate,
            Time::ZERO,
            Some(Input::Done(ticket(0))),
            &mut out,
        );
        step(
            &mut gate,
            Time::ZERO,
            Some(Input::Done(ticket(0))),
            &mut out,
        );
        assert_eq!(out, vec![Output::Admit(ticket(3))]);
        step(&mut gate, Time::ZERO, Some(Input::Shutdown), &mut out);
        step(&mut gate, Time::ZERO, Some(Input::Ask(ticket(5))), &mut out);
        assert_eq!(out.len(), 1);
    }
    #[test]
    fn one_login_of_an_agent_waits_at_a_time() {
        let mut gate = LoginGate::new(1);
        let mut out = Vec::new();
        step(&mut gate, Time::ZERO, Some(Input::Ask(ticket(9))), &mut out);
        for number in 0..100 {
            let newer = Ticket {
                login: RequestId::from_number(number),
                ..ticket(1)
            };
            step(&mut gate, Time::ZERO, Some(Input::Ask(newer)), &mut out);
        }
        assert_eq!(gate.waiting.len(), 1);
        step(
            &mut gate,
            Time::ZERO,
            Some(Input::Done(ticket(9))),
            &mut out,
        );
        assert!(
            matches!(out.as_slice(), [_, Output::Admit(last)] if last.login.number() == 99),
            "{out:?}"
        );
    }
}
