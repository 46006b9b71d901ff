//! Where our codecs and the official parsers differ, by what rule, and why.

use selvedge_tests::codecs::readings::{Outcome, Reading};

use crate::Parser;

/// A difference that is known.
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    pub(crate) parser: Parser,
    pub(crate) why: &'static str,
    /// Whether what both sides made of an input is this difference.
    pub(crate) is: fn(&str, &Outcome, &Outcome) -> bool,
    /// Some inputs where it shows.
    pub(crate) examples: &'static [&'static str],
}

/// Every one of them. It says what our side does.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "content behind close, upgrade and noop is ignored",
        parser: Parser::EnginePacket,
        why: "these have none; nobody looks at it in the official peers",
        is: content_is_ignored,
        examples: &["1x", "5probe", "6 "],
    },
    Difference {
        what: "content behind close, upgrade and noop is ignored, in a body",
        parser: Parser::EnginePayload,
        why: "these have none; nobody looks at it in the official peers",
        is: content_is_ignored,
        examples: &["1x", "4a\u{1e}6b"],
    },
    Difference {
        what: "what is not base64 is refused",
        parser: Parser::EnginePacket,
        why: "Node skips what is no digit and drops bits; a guess at content is worse than an error",
        is: base64_is_guessed,
        examples: &["b!", "bAQ-_", "bAR==", "bA"],
    },
    Difference {
        what: "what is not base64 is refused, in a body",
        parser: Parser::EnginePayload,
        why: "Node skips what is no digit and drops bits; a guess at content is worse than an error",
        is: base64_is_guessed,
        examples: &["4a\u{1e}b!", "bAR=="],
    },
    Difference {
        what: "a body that is not UTF-8 is refused",
        parser: Parser::EnginePayload,
        why: "Node puts U+FFFD in its place; content that came to harm is not delivered",
        is: |_, ours, _| ours.error() == Some("NotUtf8"),
        examples: &[],
    },
    Difference {
        what: "an empty text, or white space for a type, is no CONNECT",
        parser: Parser::SocketPacket,
        why: "Number(\"\") is 0 in JavaScript; nobody sends it",
        is: |input, ours, npm| {
            let first = input.chars().next();
            first.is_none_or(is_space)
                && ours
                    .error()
                    .is_some_and(|error| error == "Empty" || error.starts_with("Unkno"))
                && npm.packets().iter().all(|it| it.kind == "CONNECT")
        },
        examples: &["", " ", "\u{a0}/a,", "\u{feff}{\"a\":1}"],
    },
    Difference {
        what: "white space is no digit",
        parser: Parser::SocketPacket,
        why: "Number(\" \") is 0 in JavaScript, so a blank before the payload makes an id; nobody sends it",
        is: |input, ours, npm| {
            let space = split(input).is_some_and(|it| it.id.contains(is_space));
            let (ours, npm) = (ours.packets().first(), npm.packets().first());
            space
                && npm.is_some_and(|npm| {
                    npm.id.is_some() && ours.is_none_or(|ours| ours.id != npm.id)
                })
        },
        examples: &["2 [\"a\"]", "2/a,1 2[\"a\"]", "1 ", "0/a,\u{a0}{}", "3 []"],
    },
    Difference {
        what: "a count of attachments is digits",
        parser: Parser::SocketPacket,
        why: "whatever Number() takes counts in JavaScript, such as 1e0 and 0x1; nobody sends it",
        is: |input, ours, npm| {
            let count = input.get(1..).and_then(|rest| rest.split_once('-'));
            ours.error() == Some("IllegalAttachments")
                && !npm.packets().is_empty()
                && count.is_some_and(|(count, _)| !count.bytes().all(|it| it.is_ascii_digit()))
        },
        examples: &[
            "51e0-[\"a\"]",
            "5 1-[\"a\"]",
            "51.0-[\"a\"]",
            "60x1-1[]",
            "5+1-[\"a\"]",
        ],
    },
    Difference {
        what: "an event or an answer has a payload",
        parser: Parser::SocketPacket,
        why: "an event without a name reaches no handler; the protocol's text says to close",
        is: |_, ours, npm| {
            let is_empty =
                |it: &Reading| matches!(&*it.kind, "EVENT" | "ACK") && it.data.is_empty();
            npm.packets().iter().any(is_empty) && ours.error().is_some()
        },
        examples: &["2", "2/a,5", "3", "37", "51-", "61-/a,3"],
    },
    Difference {
        what: "an answer has an id",
        parser: Parser::SocketPacket,
        why: "without one it answers nothing",
        is: |_, ours, npm| {
            let has_none = |it: &Reading| it.kind == "ACK" && it.id.is_none();
            npm.packets().iter().any(has_none) && ours.error() == Some("MissingAckId")
        },
        examples: &["3[]", "3/a,[1]", "61-[{\"_placeholder\":true,\"num\":0}]"],
    },
    Difference {
        what: "only events and answers have an id",
        parser: Parser::SocketPacket,
        why: "nothing could be done with it; the official peers never write one",
        is: |_, ours, npm| {
            let has_one = |it: &Reading| !matches!(&*it.kind, "EVENT" | "ACK") && it.id.is_some();
            npm.packets().iter().any(has_one) && is_bad_payload(ours)
        },
        examples: &["07{}", "1/a,0", "45{\"message\":\"x\"}", "01"],
    },
    Difference {
        what: "an id has 64 bits",
        parser: Parser::SocketPacket,
        why: "the answer to a rounded id is another one's answer; the official peers count from 0",
        is: |_, ours, npm| {
            let id = npm
                .packets()
                .first()
                .and_then(|it| it.id.as_ref()?.parse::<f64>().ok());
            ours.error() == Some("BadAckId") && id.is_some_and(|id| id >= 2_f64.powi(64))
        },
        examples: &[
            "218446744073709551616[\"a\"]",
            "3999999999999999999999999[]",
        ],
    },
    Difference {
        what: "the name of a namespace has 256 bytes at most",
        parser: Parser::SocketPacket,
        why: "names are keys that outlive their frame",
        is: |_, ours, npm| {
            let is_long = |it: &Reading| it.namespace.len() > 256;
            ours.error() == Some("BadNamespace") && npm.packets().iter().any(is_long)
        },
        examples: &[concat!(
            "0/",
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "0123456789012345678901234567890123456789012345678901234567890123456789",
        )],
    },
    Difference {
        what: "the name of a namespace does not hold the separator of payloads",
        parser: Parser::SocketPacket,
        why: "a packet with it could not be polled",
        is: |_, ours, npm| {
            let is_split = |it: &Reading| it.namespace.contains('\u{1e}');
            ours.error() == Some("BadNamespace") && npm.packets().iter().any(is_split)
        },
        examples: &["0/a\u{1e}b,", "2/\u{1e},[\"a\"]"],
    },
    Difference {
        what: "the name of an event is Unicode",
        parser: Parser::SocketPacket,
        why: "half of a surrogate pair is no text in Rust, so no handler could be called that",
        is: |input, ours, npm| {
            let is_half = |it: &Reading| it.kind == "EVENT" && it.name.starts_with('"');
            ours.error() == Some("BadPayload(Event)")
                && input.contains("\\u")
                && npm.packets().iter().any(is_half)
        },
        examples: &[
            "2[\"\\ud83d\"]",
            "2/a,1[\"x\\udc00\",1]",
            "51-[\"\\ud83d\"]",
        ],
    },
    Difference {
        what: "the number of a placeholder is digits",
        parser: Parser::SocketPacket,
        why: "1.0 and -0 are numbers of an array in JavaScript, and 0.5 is undefined; nobody sends it",
        is: |input, ours, npm| {
            ours.error() == Some("BadPlaceholder")
                && !npm.packets().is_empty()
                && numbers(input).any(|number| !number.bytes().all(|it| it.is_ascii_digit()))
        },
        examples: &[
            "51-[\"a\",{\"_placeholder\":true,\"num\":0.5}]",
            "51-[\"a\",{\"_placeholder\":true,\"num\":-0}]",
            "61-3[{\"_placeholder\":true,\"num\":0e1}]",
        ],
    },
    Difference {
        what: "a placeholder is looked at where another key hides it",
        parser: Parser::SocketPacket,
        why: "of two keys alike the last one counts in JavaScript, and no peer writes two",
        is: |input, ours, npm| {
            let places = input.matches("laceholder\":true").count();
            let filled = |it: &Reading| it.data.matches("$bytes").count();
            ours.error() == Some("BadPlaceholder")
                && npm.packets().iter().any(|it| filled(it) < places)
        },
        examples: &["51-[\"a\",{\"x\":{\"_placeholder\":true,\"num\":7},\"x\":0}]"],
    },
    Difference {
        what: "a placeholder has each of its keys once",
        parser: Parser::SocketPacket,
        why: "it is taken, but the arguments are serde's to read, which refuses two keys alike",
        is: |input, ours, npm| {
            let keys = input.matches("_placeholder\"").count() + input.matches("\"num\"").count();
            let is_left = |it: &Reading| it.data.contains("laceholder\":true");
            keys > 2
                && ours.packets().iter().any(is_left)
                && npm.packets().iter().any(|it| it.data.contains("$bytes"))
        },
        examples: &[
            "51-[\"a\",{\"_placeholder\":true,\"num\":7,\"num\":0}]",
            "61-3[{\"_placeholder\":1,\"_placeholder\":true,\"num\":0}]",
        ],
    },
    Difference {
        what: "a binary packet nests 127 levels at most",
        parser: Parser::SocketPacket,
        why: "what is open while the placeholders are looked for takes memory",
        is: |input, ours, npm| {
            is_bad_payload(ours)
                && input.starts_with(['5', '6'])
                && npm.packets().iter().any(|it| depth(&it.data) >= 127)
        },
        examples: &[],
    },
];

fn content_is_ignored(_: &str, ours: &Outcome, npm: &Outcome) -> bool {
    let without = |packets: &[Reading]| -> Vec<Reading> {
        let mut packets = packets.to_vec();
        for it in &mut packets {
            if matches!(&*it.kind, "close" | "upgrade" | "noop") {
                it.data = "t".into();
            }
        }
        packets
    };
    !ours.packets().is_empty() && without(ours.packets()) == without(npm.packets())
}

fn base64_is_guessed(input: &str, ours: &Outcome, npm: &Outcome) -> bool {
    let is_named = ours
        .error()
        .is_some_and(|error| error.contains("NotBase64"));
    is_named && !npm.packets().is_empty() && input.split('\u{1e}').any(|it| it.starts_with('b'))
}

fn is_bad_payload(outcome: &Outcome) -> bool {
    outcome
        .error()
        .is_some_and(|error| error.starts_with("BadPayload"))
}

/// What `Number()` takes for 0 in JavaScript.
fn is_space(symbol: char) -> bool {
    symbol == '\u{feff}' || symbol.is_whitespace() && symbol != '\u{85}'
}

/// The parts of a Socket.IO text.
struct Parts<'a> {
    id: &'a str,
}

fn split(input: &str) -> Option<Parts<'_>> {
    let mut rest = input.get(1..)?;
    if input.starts_with(['5', '6']) {
        rest = rest.split_once('-')?.1;
    }
    if rest.starts_with('/') {
        rest = rest.split_once(',')?.1;
    }
    let end = rest.find(|it: char| !it.is_ascii_digit() && !is_space(it));
    Some(Parts {
        id: rest.get(..end.unwrap_or(rest.len()))?,
    })
}

/// Everything that stands behind a `"num":`.
fn numbers(input: &str) -> impl Iterator<Item = &str> {
    input.split("\"num\":").skip(1).map(|rest| {
        let end = rest.find([',', '}', ' ', '\n']).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    })
}

/// How deep JSON nests at its deepest.
fn depth(json: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for symbol in json.chars() {
        match symbol {
            '[' | '{' => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
