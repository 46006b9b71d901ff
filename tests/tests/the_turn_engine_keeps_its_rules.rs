//! The turn engine over random conversations: it does what a model of its rules does, and what must
//! hold at every moment does. Both notice mistakes.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::prelude::*;
use selvedge_tests::{
    histories::{hold_for, is_broken_for},
    turns::{
        Engine, User,
        conversation::{Action, Answers, Conversation, Who},
        engine::Real,
        model::{Mistake, Model},
    },
};

/// How many conversations are played.
const CONVERSATIONS: u32 = 256;
/// How long each is at most.
const STEPS: usize = 120;

/// A channel at its start, and what happens in it.
#[derive(Clone, Debug)]
struct Story {
    members: Vec<User>,
    bypass: Vec<User>,
    actions: Vec<Action>,
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        3 => Just(Who::Speaker),
        3 => any::<u8>().prop_map(Who::Member),
        1 => (0..8_u8).prop_map(Who::Anybody),
    ]
}

fn answers() -> impl Strategy<Value = Answers> {
    prop_oneof![
        4 => Just(Answers::Nothing),
        3 => Just(Answers::Waking),
        1 => Just(Answers::Other),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let few = prop::collection::vec(0..8_u8, 1..5);
    let many = prop::collection::vec(0..6_u8, 3..7);
    let if_any = prop_oneof![3 => Just(Vec::new()), 1 => few];
    prop_oneof![
        5 => (who(), many).prop_map(|(by, mentions)| Action::Post(by, mentions)),
        8 => (who(), if_any).prop_map(|(by, mentions)| Action::Post(by, mentions)),
        8 => (who(), answers()).prop_map(|(by, answers)| Action::NoReply(by, answers)),
        2 => answers().prop_map(Action::ForceProceed),
        2 => (who(), any::<bool>()).prop_map(|(user, bypass)| Action::Bypass(user, bypass)),
        1 => (0..8_u8).prop_map(|user| Action::Join(Who::Anybody(user))),
        1 => who().prop_map(Action::Leave),
        2 => (who(), answers()).prop_map(|(by, answers)| Action::Ack(by, answers)),
        3 => who().prop_map(Action::Enter),
        4 => Just(Action::Read),
        2 => (0..3_u8).prop_map(Action::Delete),
        1 => Just(Action::Close),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let members = Just((0..6_u8).collect::<Vec<_>>()).prop_shuffle();
    let bypass = prop::collection::vec(0..6_u8, 0..3);
    let actions = prop::collection::vec(action(), 1..STEPS);
    (members, 1..=6_usize, bypass, actions).prop_map(|(mut members, count, mut bypass, actions)| {
        members.truncate(count);
        bypass.retain(|user| members.contains(user));
        Story {
            members,
            bypass,
            actions,
        }
    })
}

impl Story {
    fn start<E: Engine>(&self, engine: impl Fn(&[User], &[User]) -> E) -> Conversation<E> {
        Conversation::new(engine(&self.members, &self.bypass))
    }

    /// Plays the conversation with what must hold after every step.
    fn hold<E: Engine>(&self, engine: impl Fn(&[User], &[User]) -> E) -> Result<(), String> {
        let mut conversation = self.start(engine);
        self.actions
            .iter()
            .try_for_each(|action| conversation.act(action).map(|_| ()))
    }

    /// Plays the conversation with the engine and with a model, and compares every step.
    fn compare(&self, model: impl Fn(&[User], &[User]) -> Model) -> Result<(), String> {
        let (mut real, mut model) = (self.start(Real::new), self.start(model));
        for action in &self.actions {
            let before = real.engine.view();
            let answer = real.act(action)?;
            let after = real.engine.view();
            model.engine.foretell(&after.order);
            // What the model's mistake breaks is another test's.
            let expected = model.act(action).unwrap_or(answer);
            let modelled = model.engine.view();
            if (answer, &after) != (expected, &modelled) {
                return Err(format!(
                    "{action:?} leads from {before:?} to {after:?} ({answer:?}), and in the model \
                     to {modelled:?} ({expected:?})"
                ));
            }
        }
        Ok(())
    }
}

fn hold_over_stories(law: impl Fn(&Story) -> Result<(), String>) -> Result<(), String> {
    hold_for(&story(), CONVERSATIONS, |story| law(&story))
}

#[test]
fn the_engine_does_what_the_model_does() {
    hold_over_stories(|story| story.compare(Model::new)).unwrap();
}

#[test]
fn what_must_hold_holds_after_every_step() {
    hold_over_stories(|story| story.hold(Real::new)).unwrap();
}

#[test]
fn what_must_hold_holds_in_the_model_too() {
    hold_over_stories(|story| story.hold(Model::new)).unwrap();
}

#[test]
fn the_conversations_reach_what_the_rules_speak_of() {
    let seen = RefCell::new(BTreeSet::new());
    hold_over_stories(|story| {
        let mut conversation = story.start(Real::new);
        for action in &story.actions {
            let before = conversation.engine.view();
            let answer = conversation.act(action)?;
            let after = conversation.engine.view();
            let mut seen = seen.borrow_mut();
            seen.insert(format!("depth {}", after.stack.len()));
            seen.insert(format!("{answer:?}"));
            let current = after.current();
            if current.is_some_and(|user| after.bypass.contains(&user)) {
                seen.insert("a bypass member speaks".to_string());
            }
            if current.is_some() && after.order.is_empty() {
                seen.insert("an empty order under a mention".to_string());
            }
            if after.is_due() && matches!(action, Action::Delete(_)) {
                seen.insert("a deletion takes the wake away".to_string());
            }
            if before.is_due() && matches!(action, Action::Read) && !after.is_due() {
                seen.insert("a wake that was due".to_string());
            }
            if before.is_due() && matches!(action, Action::Read) && current != before.current() {
                seen.insert("nothing to wake with".to_string());
            }
            if before.order != after.order && before.order.len() == after.order.len() {
                seen.insert("the end of a round".to_string());
            }
        }
        Ok(())
    })
    .unwrap();
    let seen = seen.into_inner();
    for wanted in [
        "depth 0",
        "depth 1",
        "depth 2",
        "depth 3",
        "depth 4",
        "depth 5",
        "Ok(Some(true))",
        "Ok(Some(false))",
        "Err(Idle)",
        "Err(NotCurrent)",
        "Err(Superseded)",
        "a bypass member speaks",
        "an empty order under a mention",
        "a deletion takes the wake away",
        "a wake that was due",
        "nothing to wake with",
        "the end of a round",
    ] {
        assert!(seen.contains(wanted), "nothing reaches {wanted}: {seen:?}");
    }
}

#[test]
fn every_mistake_of_a_model_is_noticed() {
    for mistake in Mistake::ALL {
        let mistaken = |order: &[User], bypass: &[User]| Model::mistaken(order, bypass, mistake);
        let noticed = is_broken_for(&story(), CONVERSATIONS, |story| story.compare(mistaken));
        assert!(noticed, "nobody notices {mistake:?}");
    }
}

/// The other mistakes make other rules, which are as sound.
#[test]
fn what_must_hold_notices_mistakes_without_a_model() {
    for mistake in [
        Mistake::CountsPasses,
        Mistake::AsksTheAuthor,
        Mistake::ForgetsPasses,
        Mistake::KeepsPasses,
        Mistake::JumpsAreFree,
        Mistake::JumpsKeepAcks,
        Mistake::SixFrames,
        Mistake::MentionsItself,
        Mistake::MentionsAreFree,
        Mistake::StartsAtTheAuthor,
        Mistake::StartsAtTheSecond,
        Mistake::RoundsRunOn,
        Mistake::LastIsFirst,
        Mistake::BypassLeavesFrames,
        Mistake::LeavesStayInFrames,
        Mistake::LeaveSlipsTheCursor,
    ] {
        let mistaken = |order: &[User], bypass: &[User]| Model::mistaken(order, bypass, mistake);
        let noticed = is_broken_for(&story(), CONVERSATIONS, |story| story.hold(mistaken));
        assert!(noticed, "nothing that must hold notices {mistake:?}");
    }
}
