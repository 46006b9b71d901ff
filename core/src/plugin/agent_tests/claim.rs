//! One process for each account: what the other one does.

use super::*;
use crate::plugin::status::Reports as _;

#[test]
fn an_account_that_another_process_serves_is_left_alone_and_every_tool_says_so() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "general")]))]);
    rig.rival = Some("process 7 of this machine".to_string());
    rig.start();
    rig.pass(20 * MINUTE);
    assert_eq!(rig.login_count, 1, "who the account is must be known");
    assert!(rig.conns.is_empty() && rig.asked.is_empty());
    assert!(rig.kept == Kept::default(), "the other one writes there");
    assert_eq!(rig.noted(|note| matches!(note, Note::Claimed { .. })), 1);
    let status = rig.agent.status(rig.now);
    assert_eq!(status.served_by.unwrap(), "process 7 of this machine");
    for tool in [Tool::ListChannels, Tool::ListPending] {
        let call = rig.call(tool);
        assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("process 7")));
    }
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.batches.len(), 0);
}

#[test]
fn an_account_that_is_claimed_is_served_and_kept() {
    let mut rig = Rig::new(&[("g", Guild::new(&[("c", "general")]))]);
    rig.start();
    assert!(rig.is_live("g"));
    rig.pass(2 * SECOND);
    assert!(rig.kept.agent.user.is_some());
}
