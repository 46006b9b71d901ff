//! The slash commands of the host, brought to every guild.

use alloc::vec::Vec;

use super::Agent;
use crate::{
    fabric::routes,
    http::{Failure, Response},
    plugin::{
        commands::{Heard, Question},
        io::Output,
        note::Note,
        shared::{Asked, Errand},
        token::TokenNumber,
    },
    time::Time,
};

impl Agent {
    pub(super) fn ask_about_commands(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((number, question)) = self.shared.commands.next_due(now) {
            let Some(guild) = self.guilds.get(&number) else {
                self.shared.commands.give_up(number);
                continue;
            };
            let request = |token| {
                Some(match question {
                    Question::Compare => routes::list_commands(token),
                    Question::Replace(text) => routes::replace_commands(token, text),
                })
            };
            let errand = Errand::Commands { guild: number };
            match self.shared.ask(now, &guild.id, errand, request, out) {
                Asked::Yes(_) => {}
                Asked::Blocked => self.shared.commands.on_blocked(number),
                // Once it is live again there is a way.
                Asked::Impossible(_) => self.shared.commands.give_up(number),
            }
        }
    }

    pub(super) fn on_commands_answer(
        &mut self,
        now: Time,
        number: u32,
        token: TokenNumber,
        answer: Result<Response, Failure>,
        out: &mut Vec<Output>,
    ) {
        let heard = self.shared.commands.on_answer(now, number, answer);
        let guild = self.guilds.get(&number).map(|guild| guild.id.clone());
        match (heard, guild) {
            (Heard::Again, _) | (_, None) => {}
            (Heard::Unauthorized, Some(_)) => self.shared.account.invalidate(token),
            (Heard::Replaced(commands), Some(guild)) => {
                out.push(Output::Note(Note::CommandsReplaced { guild, commands }));
            }
            (Heard::Refused(why), Some(guild)) => {
                out.push(Output::Note(Note::CommandsRefused { guild, why }));
            }
        }
    }
}
