//! The login gate under the laws.

use selvedge_core::{
    RequestId, Time,
    id::AgentId,
    plugin::login_gate::{Input, LoginGate, Output, Ticket},
};

use super::peer::take;
use crate::history::{Choice, Subject};

/// The gate, with 16 agents that want to log in.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    admitted: Vec<Ticket>,
    next: u64,
    over: bool,
}

impl Gate {
    fn ticket(&mut self, a: u64) -> Option<Ticket> {
        self.next += 1;
        Some(Ticket {
            agent: AgentId::new(&format!("agent-{}", a % 16))?,
            login: RequestId::from_number(self.next),
        })
    }
}

impl Subject for Gate {
    type Input = Input;
    type Output = Output;
    type Machine = LoginGate;

    const KINDS: u8 = 5;
    /// 4 in flight, and one waiting for each of 16 agents.
    const DEBUG_MAX: usize = 2_000;

    fn start(_: Time) -> (Self, LoginGate) {
        (Self::default(), LoginGate::new(4))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        match kind % Self::KINDS {
            0 | 1 => self.ticket(a).map(Input::Ask),
            2 => take(&mut self.admitted, a).map(Input::Done),
            3 => self.ticket(b).map(Input::Done),
            4 if a % 32 == 0 => Some(self.end()),
            _ => None,
        }
    }

    fn heard(&mut self, output: &Output) {
        let Output::Admit(ticket) = output;
        self.admitted.push(ticket.clone());
    }

    fn end(&mut self) -> Input {
        self.over = true;
        Input::Shutdown
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
