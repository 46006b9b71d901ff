//! Answers of the REST side: a status and a JSON body.

use bytes::Bytes;
use serde::Serialize;

use crate::http::Response;

/// `body` as the answer `status`. A body that does not serialise, which is a bug of its type, is
/// answered empty.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    Response {
        status,
        retry_after: None,
        body: serde_json::to_vec(body).map_or_else(|_| Bytes::new(), Bytes::from),
    }
}
