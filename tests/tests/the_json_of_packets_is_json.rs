//! What the codec takes for JSON, and what it makes of that, is what `serde_json` says.

use proptest::{collection::vec, prelude::*};
use selvedge_core::fuzzing;
use serde_json::Value;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~é—😀]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((prop_oneof![any::<String>(), "[abc]"], inner), 0..6).prop_map(Value::from_iter),
        ]
    })
}

/// What may stand between tokens, what looks like it, and what may not.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t\r\n]{1,9}",
        "[\u{0}-\u{20}\u{7f}-\u{a0}\u{feff}]",
        "[-+.0-9eE]{1,8}",
        r#"\\(["\\/bfnrtux]|u[0-9a-fA-F]{0,4}|u[dD][89a-fA-F][0-9a-f]{2})"#,
        r#"["\\\[\]{},:]{1,3}"#,
        "(null|true|false|[a-z]{1,4})",
    ]
}

proptest! {
    #[test]
    fn values_are_read_as_they_were_written(values in vec(value(), 0..4)) {
        fuzzing::json(Value::from(values.clone()).to_string().as_bytes());
        let pretty = serde_json::to_string_pretty(&values).unwrap();
        fuzzing::json(pretty.as_bytes());
    }

    #[test]
    fn one_odd_part_makes_the_same_difference(
        value in value(),
        odd in odd(),
        place in any::<prop::sample::Index>(),
        removed in 0..3_usize,
    ) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        let start = place.index(text.len() + 1);
        let end = text.len().min(start + removed);
        text.splice(start..end, odd.chars());
        let text: String = text.into_iter().collect();
        fuzzing::json(text.as_bytes());
    }

    #[test]
    fn soup_is_read_alike(parts in vec(prop_oneof![odd(), "\"[^\"]{0,12}\"", "[\\[\\]{},:]"], 0..16)) {
        fuzzing::json(parts.concat().as_bytes());
    }
}
