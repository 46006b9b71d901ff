//! The arrays of packets are walked as `serde_json` walks them.

use alloc::{format, vec::Vec};

use serde_json::value::RawValue;

use crate::json;

/// What is an array of JSON, and where its elements are, is what `serde_json` says.
///
/// # Panics
///
/// Where that does not hold.
pub fn json(input: &[u8]) {
    if let Ok(text) = core::str::from_utf8(input) {
        array(text);
        array(&format!("[{text}]"));
    }
}

fn array(text: &str) {
    let mut found = Vec::new();
    let walked = json::elements(text, 0, |place| found.push(text.get(place)));
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(elements) => {
            let elements: Vec<_> = elements.into_iter().map(|it| Some(it.get())).collect();
            assert!(walked.is_some(), "not taken: {text}");
            assert_eq!(found, elements, "{text}");
        }
        Err(error) => assert!(walked.is_none(), "taken, in spite of {error}: {text}"),
    }
}
