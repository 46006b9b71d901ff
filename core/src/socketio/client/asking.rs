//! What a namespace is asked for with: the auth, and what is to be recovered.

use alloc::{collections::BTreeMap, string::String};

use serde_json::value::RawValue;

use super::Recover;
use crate::{Secret, canonical, socketio::packet};

/// The payload of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    payload: Option<Secret>,
    /// Which membership is to be recovered.
    pub(super) pid: Option<Secret>,
}
canonical!(struct Asking { payload, pid });

impl Asking {
    /// `None` where `auth` is not a JSON object.
    ///
    /// What is to be recovered stands in that object too, under `pid` and `offset`, and takes the
    /// place of what the application has there. (The official client does it the other way round,
    /// and then the recovery fails.)
    pub(super) fn new(auth: Option<Secret>, recover: Option<Recover>) -> Option<Self> {
        let is_object = |auth: &Secret| packet::object(auth.expose()).is_some();
        if !auth.as_ref().is_none_or(is_object) {
            return None;
        }
        let Some(Recover { pid, offset }) = recover else {
            return Some(Self {
                payload: auth,
                pid: None,
            });
        };
        let own = [("pid", pid.expose()), ("offset", &offset)];
        let own: BTreeMap<_, _> = own
            .into_iter()
            .map(|(key, value)| Some((key, serde_json::value::to_raw_value(value).ok()?)))
            .collect::<Option<_>>()?;
        let auth = auth.as_ref().map_or("{}", Secret::expose);
        let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(auth).ok()?;
        for (key, value) in &own {
            fields.insert((*key).into(), value);
        }
        let payload = serde_json::to_string(&fields).ok()?;
        Some(Self {
            payload: Some(Secret::new(&payload)),
            pid: Some(pid),
        })
    }

    /// JSON text.
    pub(super) fn payload(&self) -> Option<&str> {
        self.payload.as_ref().map(Secret::expose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(auth: Option<&str>, recover: Option<Recover>) -> Option<Asking> {
        Asking::new(auth.map(Secret::new), recover)
    }

    #[test]
    fn what_is_to_be_recovered_stands_in_the_auth_and_wins() {
        let recover = Recover {
            pid: Secret::new("p\"1"),
            offset: "o".into(),
        };
        for (auth, wanted) in [
            (None, r#"{"offset":"o","pid":"p\"1"}"#),
            (
                Some(r#" {"pid":7,"token":1.50, "x":{"pid":1}}"#),
                r#"{"offset":"o","pid":"p\"1","token":1.50,"x":{"pid":1}}"#,
            ),
        ] {
            let asking = payload(auth, Some(recover.clone())).unwrap();
            assert_eq!(asking.payload(), Some(wanted));
            assert_eq!(asking.pid, Some(recover.pid.clone()));
            assert_eq!(payload(auth, None).unwrap().payload(), auth);
        }
        for bad in ["", "7", "[]", "{"] {
            assert_eq!(payload(Some(bad), Some(recover.clone())), None);
            assert_eq!(payload(Some(bad), None), None);
        }
    }
}
