//! Refused: a post that a guild refuses is not sent again, and one that is to wait is not sent before.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use selvedge_core::{
    Time, canonical,
    http::{Failure, Method, Response},
    plugin::io::Http,
    request::RequestId,
};

use super::{Rule, Seen, View};

/// A guild that wants to be left alone for longer than this may be asked again then.
const ALONE_MOST: Duration = Duration::from_secs(30);

/// A post is known by its body, which has a nonce of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    /// The posts under way, and since when.
    open: BTreeMap<(usize, RequestId<Http>), (usize, Bytes, Time)>,
    /// From when on a post may be sent again, if it ever may.
    refused: BTreeMap<(usize, usize, Bytes), Option<Time>>,
}
canonical!(unsaved struct Refused { open, refused });

impl Rule for Refused {
    fn name(&self) -> &'static str {
        "no means no"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Requested {
            agent,
            guild,
            id,
            request,
            ..
        } = seen
            && request.method == Method::Post
            && request.target.ends_with("/messages")
        {
            let body = request.body.clone();
            let key = (*agent, *guild, body.clone());
            let from = self.refused.get(&key);
            if from.is_some_and(|from| from.is_none_or(|from| view.now < from)) {
                let post = String::from_utf8_lossy(&body).into_owned();
                return Err(format!(
                    "agent {agent} has sent guild {guild} {post} once more"
                ));
            }
            self.open.insert((*agent, *id), (*guild, body, view.now));
            Ok(())
        } else if let Seen::Answered { agent, id, answer } = seen {
            // Nobody hears an answer that was given up.
            let patience = view.setup.config.step_timeout;
            if let Some((guild, body, since)) = self.open.remove(&(*agent, *id))
                && view.now < since + patience
                && let Some(from) = may_send_again(view.now, answer)
            {
                self.refused.insert((*agent, guild, body), from);
            }
            Ok(())
        } else if let Seen::Killed { agent } = seen {
            self.open.retain(|(of, _), _| of != agent);
            self.refused.retain(|(of, ..), _| of != agent);
            Ok(())
        } else {
            Ok(())
        }
    }
}

/// From when on a post with this answer may be sent again; nothing where it may at once.
fn may_send_again(now: Time, answer: &Result<Response, Failure>) -> Option<Option<Time>> {
    let response = answer.as_ref().ok()?;
    match response.status {
        400 | 403 | 404 | 409 => Some(None),
        429 => {
            let wait = response.retry_after?.min(ALONE_MOST);
            Some(Some(now + wait))
        }
        _ => None,
    }
}
