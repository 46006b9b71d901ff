//! Where packets hold secrets, for recordings.

use crate::record::name_strings;

/// Names the strings in the auth of a CONNECT: those under `key`, or all of them where only the
/// embedder knows which is a secret.
pub(crate) fn of_connect(packet: &str, key: Option<&str>, found: &mut dyn FnMut(&str)) {
    if let Some(payload) = payload(packet) {
        name_strings(payload, key, found);
    }
}

/// Names what a server has given to this client alone: the `sid` of the connection, with which one
/// can speak for it, and the `pid`, with which one can come back as it.
pub(crate) fn of_server(packet: &str, found: &mut dyn FnMut(&str)) {
    if let Some(handshake) = packet.strip_prefix('0') {
        name_strings(handshake, Some("sid"), found);
    } else if let Some(payload) = payload(packet) {
        name_strings(payload, Some("pid"), found);
    }
}

/// The payload of a CONNECT, or what a peer that errs may have meant for it.
fn payload(packet: &str) -> Option<&str> {
    let rest = packet.strip_prefix("40")?;
    let start = rest.find('{').or_else(|| match rest.starts_with('/') {
        true => rest.find(',').map(|comma| comma + 1),
        false => Some(0),
    })?;
    let (_, payload) = rest.split_at_checked(start)?;
    (!payload.is_empty()).then_some(payload)
}

#[cfg(test)]
mod tests {
    use alloc::{
        string::{String, ToString as _},
        vec,
        vec::Vec,
    };

    use super::*;

    fn named(name: impl Fn(&mut dyn FnMut(&str))) -> Vec<String> {
        let mut named = vec![];
        name(&mut |it| named.push(it.to_string()));
        named
    }

    #[test]
    fn the_auth_of_a_connect_is_named() {
        let all = |packet| named(|found| of_connect(packet, None, found));
        let tokens = |packet| named(|found| of_connect(packet, Some("token"), found));
        let packet = r#"40/a,{"pid":"p\"","x":["y"],"\u0074oken":"t"}"#;
        assert_eq!(all(packet), ["p\"", "y", "t"]);
        assert_eq!(tokens(packet), ["t"]);
        assert_eq!(tokens(r#"40{"token":"endless"#), [r#"{"token":"endless"#]);
        assert_eq!(tokens(r#"40/a{"token":"t"}"#), ["t"]);
        assert_eq!(tokens(r#"40"t""#), ["t"]);
        assert_eq!(tokens("40/a,t"), ["t"]);
        for nothing in ["40", "40/a,", "40/a", r#"42["e",{"token":"b"}]"#, "4", ""] {
            assert_eq!(all(nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn what_a_server_gives_to_one_client_is_named() {
        let of = |packet| named(|found| of_server(packet, found));
        assert_eq!(of(r#"0{"sid":"s","upgrades":["websocket"]}"#), ["s"]);
        assert_eq!(of(r#"40/a,{"sid":"public","pid":"p"}"#), ["p"]);
        for nothing in ["2", "3", r#"42["e",{"pid":"b"}]"#, ""] {
            assert_eq!(of(nothing), [""; 0], "{nothing}");
        }
    }
}
