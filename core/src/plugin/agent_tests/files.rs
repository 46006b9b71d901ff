//! Files that go up and come down: what is asked, and what becomes of the answer.

use super::*;
use crate::{
    id::FileId,
    plugin::transfer::{Saved, Transfer},
};

fn upload() -> Tool {
    Tool::Upload {
        guild: None,
        path: "a.txt".into(),
        name: None,
    }
}

fn download() -> Tool {
    Tool::Download {
        guild: None,
        file: FileId::new("f/1").unwrap(),
        name: Some("b.txt".into()),
    }
}

#[test]
fn a_file_goes_up_and_comes_down_beside_its_request() {
    let mut rig = Rig::live(&[("c", "general")]);
    let file = json!({"id": "f1", "name": "a.txt", "mime": "text/plain", "bytes": 3, "url": "u"});
    let saved = Saved {
        path: "/files/f1-b.txt".into(),
        mime: "text/plain".into(),
        bytes: 3,
    };
    rig.asked.clear();
    rig.guild("g").answers = [(201, file), (200, json!(saved))].into();
    let (up, down) = (rig.call(upload()), rig.call(download()));
    assert_eq!(rig.asked, ["POST /api/files", "GET /api/files/f%2F1"]);
    assert_eq!(
        rig.files,
        [
            Transfer::Up {
                path: "a.txt".into(),
                name: None
            },
            Transfer::Down {
                name: Some("b.txt".into())
            },
        ]
    );
    assert!(matches!(rig.answer(up), Some(Ok(ToolAnswer::Uploaded(file))) if file.id == "f1"));
    assert_eq!(rig.answer(down), Some(Ok(&ToolAnswer::Downloaded(saved))));
}

#[test]
fn a_file_may_take_longer_than_anything_else() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.call(upload());
    rig.pass(9 * MINUTE);
    assert_eq!(rig.answer(call), None);
    rig.pass(2 * MINUTE);
    assert!(matches!(rig.answer(call), Some(Err(why)) if why.contains("not known")));
}

#[test]
fn what_is_wrong_with_the_file_itself_is_told_at_once() {
    let mut rig = Rig::live(&[("c", "general")]);
    rig.guild("g").holds = true;
    let call = rig.call(upload());
    let (id, ..) = rig.open.pop().unwrap();
    let failure = Failure::Local("there is no file a.txt".into());
    rig.step(Some(Input::Http(id, Err(failure))));
    let told = rig.answer(call);
    assert_eq!(
        told,
        Some(Err("there is no file a.txt; no file was transferred"))
    );
    rig.guild("g").holds = false;
    for (status, words) in [(404, "no such file"), (413, "larger than the guild takes")] {
        let refused = json!({"statusCode": status, "message": "because"});
        rig.guild("g").answers = [(status, refused)].into();
        let call = rig.call(download());
        assert!(
            matches!(rig.answer(call), Some(Err(why)) if why.contains(words)),
            "{status}"
        );
    }
}
