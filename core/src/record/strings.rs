//! Where secrets stand in what peers write: the strings of JSON, and the parameters of a query.

use alloc::string::String;
use core::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed},
};

use super::escapes::Escaping;

/// Names the strings of a JSON text: those under `key` at any depth, or all but the keys. What is no
/// JSON, or none that Rust can hold, is named whole, and so is a text that is no object and can have
/// no keys.
pub(crate) fn name_strings(json: &str, key: Option<&str>, found: &mut dyn FnMut(&str)) {
    let has_keys = json.trim_start().starts_with('{');
    let mut reader = serde_json::Deserializer::from_str(json);
    let strings = Strings {
        key,
        is_named: key.is_none() || !has_keys,
        found,
    };
    let read = strings.deserialize(&mut reader).and_then(|()| reader.end());
    if read.is_err() {
        found(json);
    }
}

/// Names the values of a parameter in the query of a target, without their escapes.
pub(crate) fn name_parameter(target: &str, name: &str, found: &mut dyn FnMut(&str)) {
    let query = target.split_once('?').map(|(_, query)| query);
    for (key, value) in query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
    {
        let plain = |text: &str| {
            let decoded = Escaping::Percent.decode(text.as_bytes());
            let bytes = decoded.map_or_else(|| text.into(), |it| it.bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if plain(key) == name {
            found(&plain(value));
        }
    }
}

/// Names all of a body that is no text: nobody can tell what a peer has meant by it.
pub(crate) fn name_broken(body: &[u8], found: &mut dyn FnMut(&str)) {
    if core::str::from_utf8(body).is_err() {
        for chunk in body.utf8_chunks() {
            found(chunk.valid());
        }
    }
}

/// A JSON value whose strings are named, or those under a key in it.
struct Strings<'a> {
    key: Option<&'a str>,
    is_named: bool,
    found: &'a mut dyn FnMut(&str),
}

impl Strings<'_> {
    fn within(&mut self, key: Option<&str>) -> Strings<'_> {
        Strings {
            key: self.key,
            is_named: self.is_named || key.is_some() && key == self.key,
            found: &mut *self.found,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_named {
            (self.found)(text);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.within(None))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: de::MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value_seed(self.within(Some(&key)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString, vec, vec::Vec};

    use super::*;

    fn strings(json: &str, key: Option<&str>) -> Vec<String> {
        let mut strings = vec![];
        name_strings(json, key, &mut |it| strings.push(it.to_string()));
        strings
    }

    #[test]
    fn strings_are_named_as_they_read() {
        let json = r#"{"a":["x",{"b":"\u0079\"z"}],"n":[1,-1,1.5,true,null],"c":"d"}"#;
        assert_eq!(strings(json, None), ["x", "y\"z", "d"]);
        assert_eq!(strings(r#""alone""#, None), ["alone"]);
    }

    #[test]
    fn a_key_is_found_however_it_is_written_and_however_often() {
        let token = Some("token");
        let json = r#"{"\u0074oken":"1","t":"2","token":["3",{"x":"4"}],"y":[{"token" : "5"}]}"#;
        assert_eq!(strings(json, token), ["1", "3", "4", "5"]);
        assert_eq!(strings(r#"["a"]"#, token), ["a"]);
    }

    #[test]
    fn what_is_no_json_is_named_whole() {
        let deep = format!(r#"{{"a":{}"#, "[".repeat(1_000));
        for json in [
            r#"{"token":"endless"#,
            r#"{"token":"a"} and more"#,
            r#"{"token":"\ud800"}"#,
            "plain",
            &deep,
        ] {
            let named = strings(json, Some("token"));
            assert_eq!(named.last().map(String::as_str), Some(json));
        }
    }

    #[test]
    fn a_parameter_is_found_however_it_is_written() {
        let mut values = vec![];
        let target = "/a?x=1&key=plain&%6Bey=a%2Fb+c&key=%&keys=2&key";
        name_parameter(target, "key", &mut |it| values.push(it.to_string()));
        assert_eq!(values, ["plain", "a/b+c", "%"]);
        name_parameter("/key=no", "key", &mut |it| panic!("{it}"));
    }
}
