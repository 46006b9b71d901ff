//! What is taken, beside what `serde_json` takes. The law itself is a law of fuzzing.

use alloc::{format, string::String, vec::Vec};

use super::*;
use crate::{fuzzing, rng::Rng};

fn places(text: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    elements(text, 0, |place| found.push(text.get(place).unwrap()))?;
    Some(found)
}

#[test]
fn elements_stand_without_the_space_around_them() {
    let found = places(" [ 1 ,\t\"a,]\" ,\r{ \"b\" : [ 2 , { } ] } ,[ ],-0.5e+7\n] ");
    let expected = ["1", "\"a,]\"", "{ \"b\" : [ 2 , { } ] }", "[ ]", "-0.5e+7"];
    assert_eq!(found, Some(expected.into()));
    assert_eq!(places("[]"), Some(Vec::new()));
    let mut found = Vec::new();
    assert_eq!(elements("52-[1]", 3, |place| found.push(place)), Some(()));
    assert_eq!(found.first(), Some(&(4..5)));
    assert_eq!(elements("[]", 3, |_| ()), None);
}

/// The corners of the grammar, each alone, in an array, and as the value and the key of an object.
#[test]
fn json_is_what_serde_json_takes() {
    let long = format!("\"{}\"", "é".repeat(20));
    let corners = [
        "",
        " ",
        "null",
        "nul",
        "nullx",
        "true",
        "tru",
        "false",
        "falsy",
        "1",
        "-",
        "-1",
        "+1",
        "0",
        "00",
        "01",
        "-0",
        "-01",
        "1.",
        "1.5",
        ".5",
        "-.5",
        "1e5",
        "1E+5",
        "1e-5",
        "1e",
        "1e+",
        "1.e5",
        "0.0",
        "0e0",
        "1x",
        "1 2",
        "1e999",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "300",
        "NaN",
        "Infinity",
        "'a'",
        "\"",
        "\"\"",
        "\"a",
        "\"a\"",
        "\"a\"b",
        "\"é\"",
        "\"\u{7f}\"",
        "\"\0\"",
        "\"\t\"",
        "\"\n\"",
        "\"\u{1f}\"",
        "\"\u{2028}\"",
        "\"\\n\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\"",
        "\"\\x\"",
        "\"\\\"",
        "\"\\u0041\"",
        "\"\\u004\"",
        "\"\\u00g1\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83dx\"",
        "\"\\U0041\"",
        "{}",
        "{",
        "}",
        "{ }",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{a:1}",
        "{1:1}",
        "{\"a\" : \"x\" , \"c\" : null }",
        "{\"\\u0061\":1}",
        "{\"a\":\"a\"}",
        "{\"b\":3}",
        "{\"1\":1}",
        "{\"300\":1}",
        "[]",
        "[",
        "]",
        "[ ]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]",
        "[1,\"a\"]",
        "[[],[[]]]",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "//",
        "/**/",
        "\u{feff}1",
        "\u{a0}1",
        "\u{b}1",
        "1\u{c}",
        "b",
        "[null,true]",
        &long,
    ];
    for corner in corners {
        for text in [
            corner.into(),
            format!("{corner},{corner}"),
            format!("[{corner}]"),
            format!("{{\"a\":{corner},\"c\":{{\"k\":{corner}}}}}"),
            format!("{{{corner}:1}}"),
        ] as [String; 5]
        {
            fuzzing::json(text.as_bytes());
        }
    }
}

#[test]
fn one_wrong_byte_is_as_wrong_as_for_serde_json() {
    let message = r#"{"a":"x—y","b":[1,-2],"c":{"k":"a"},"\u00e9":[null,true,0.5]}"#;
    fuzzing::json(message.as_bytes());
    for at in 0..message.len() {
        let (before, after) = message.as_bytes().split_at(at);
        for byte in *b"\0\t \"\\,:[]{}019-.eEtnu/" {
            fuzzing::json(&[before, &[byte], after].concat());
            fuzzing::json(&[before, &[byte], &after[1..]].concat());
        }
        fuzzing::json(&[before, &after[1..]].concat());
    }
}

#[test]
fn soup_of_tokens_is_json_as_often_as_for_serde_json() {
    let tokens = [
        "[", "]", "{", "}", ",", ":", " ", "\"a\"", "\"b\":", "\"c\":[", "]}", "1", "-2.5e3",
        "null", "true", "\"", "\\", "\\u00e9", "é", "0",
    ];
    for seed in 0..4_000 {
        let mut rng = Rng::from_number(seed).fork("soup");
        let mut soup = String::new();
        for _ in 0..rng.next_u32() % 12 {
            soup.push_str(tokens[rng.next_u32() as usize % tokens.len()]);
        }
        fuzzing::json(soup.as_bytes());
    }
}

/// Around the places where one word is full of what is open, and far beyond the 128 levels that
/// `serde_json` builds values of.
#[test]
fn json_nests_as_deep_as_it_likes() {
    let nested = |levels: usize, innermost: &str| {
        let open = (0..levels).map(|level| if level % 3 == 0 { "[" } else { "{\"a\":" });
        let close = (0..levels)
            .rev()
            .map(|level| if level % 3 == 0 { "]" } else { "}" });
        let open: String = open.collect();
        [&*open, innermost, &*close.collect::<String>()].concat()
    };
    for levels in [
        1, 2, 62, 63, 64, 65, 66, 125, 126, 127, 128, 129, 190, 200, 5_000,
    ] {
        for innermost in ["1", "[]", "{}", "\"\\n\"", "[1}", "{\"a\":1]", "]", "}"] {
            let text = nested(levels, innermost);
            fuzzing::json(text.as_bytes());
            fuzzing::json(&text.as_bytes()[..text.len() - 1]);
            fuzzing::json(format!("{text}]").as_bytes());
        }
    }
    assert!(places(&nested(5_000 - 2, "1")).is_some());
    assert_eq!(places(&nested(5_000 - 2, "1}")), None);
}
