//! Answers: those of the server made smaller or changed, and those that it did not give.

use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};

pub type Answer = UnsyncBoxBody<Bytes, Broken>;

/// The connection is to be closed.
#[derive(Debug)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

pub fn whole(bytes: Bytes) -> Answer {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An error as the API server words it (`metav1.Status`).
pub fn refusal(code: u16, retry_after: Option<u64>) -> Response<Answer> {
    let status = status(code);
    let mut answer = Response::new(whole(status.to_string().into()));
    *answer.status_mut() = http::StatusCode::from_u16(code).expect("a status");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

pub fn status(code: u16) -> Value {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden by the test"),
        // Without the name of an object: the server has no such API.
        404 => ("NotFound", "the server could not find the requested resource"),
        409 => ("Conflict", "the object has been modified; please apply your changes to the latest version"),
        410 => ("Expired", "The provided continue parameter is too old to display a consistent list result"),
        422 => ("Invalid", "it is invalid, says the test"),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        500 => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "request did not complete within the allotted timeout"),
        _ => ("", "an error of the test"),
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message})
}

/// The first bytes of a body that promises all of them.
pub fn truncated(answer: Response<Bytes>, bytes: usize) -> Response<Answer> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let start = body.slice(..bytes.min(body.len().saturating_sub(1)));
    let pieces = [Ok(Frame::data(start)), Err(Broken("the body is cut off".into()))];
    // A moment between the two, in which what was sent before leaves.
    let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async move {
        tokio::task::yield_now().await;
        Some((pieces.next()?, pieces))
    });
    Response::from_parts(parts, StreamBody::new(pieces).boxed_unsync())
}

/// Aggregated discovery as it is when a group's server does not answer.
pub fn with_stale(group: &str, body: &Bytes) -> Bytes {
    let Ok(mut list) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    for item in list["items"].as_array_mut().into_iter().flatten() {
        if item["metadata"]["name"] == group {
            for version in item["versions"].as_array_mut().into_iter().flatten() {
                version["freshness"] = json!("Stale");
                version["resources"] = json!([]);
            }
        }
    }
    list.to_string().into()
}

/// Aggregated discovery as it is before a server serves a group.
pub fn without(group: &str, body: &Bytes) -> Bytes {
    let Ok(mut list) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    if let Some(groups) = list["items"].as_array_mut() {
        groups.retain(|item| item["metadata"]["name"] != group);
    }
    list.to_string().into()
}
