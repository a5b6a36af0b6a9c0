//! The listener: what is refused before anything of a request is read, and the answers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Bytes;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::hints::{Hints, Passed};
use super::keys::Keys;
use crate::agent::http_server::bind;
use crate::agent::{Apart, EventSink};
use crate::event::Event;
use crate::hook::{self, Received, Refused, Sender};
use crate::serve::{Bounds, serve};
use crate::telemetry::{HookResult, Metrics};

/// Connections at once, none of which serves a probe.
const CONNECTIONS: usize = 32;
/// For a body.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// For a connection, which carries one request: header and body, the secrets read again, and the answer.
const CONNECTION_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a body.
const MOST: usize = 1 << 20;
/// Refused requests are logged once in this time.
const REFUSED_EACH: Duration = Duration::from_mins(1);

/// What requests are answered from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Site {
    hints: Arc<Hints>,
    keys: Keys,
    metrics: Metrics,
    emit: EventSink,
    refusals: Arc<Mutex<Refusals>>,
}

/// Requests that were refused, as far as that was not logged.
#[derive(Default)]
struct Refusals {
    logged: Option<Instant>,
    since: usize,
}

/// Listens on a thread of its own, which lasts as long as what is given.
pub(super) async fn open(
    listen: SocketAddr,
    site: Site,
) -> io::Result<(JoinHandle<io::Result<()>>, SocketAddr, Apart)> {
    let thread = Apart::start("hooks")?;
    let listener = thread.spawn(async move { bind(listen) }).await.map_err(io::Error::other)??;
    let address = listener.local_addr()?;
    let bounds = Bounds { connections: CONNECTIONS, connection_within: CONNECTION_WITHIN, keep_alive: false };
    let router = Router::new().fallback(answer).with_state(site);
    let server = thread.spawn(serve(listener, router, bounds, std::future::pending()));
    Ok((server, address, thread))
}

async fn answer(State(site): State<Site>, request: Request) -> Response {
    let (result, response) = site.decide(request).await;
    site.metrics.hook_request(result);
    response
}

impl Site {
    pub fn new(hints: Arc<Hints>, keys: Keys, metrics: Metrics, emit: EventSink) -> Self {
        Self { hints, keys, metrics, emit, refusals: Arc::default() }
    }

    async fn decide(&self, request: Request) -> (HookResult, Response) {
        if !self.hints.admit() {
            let answer = text(StatusCode::TOO_MANY_REQUESTS, "too many requests; syncs poll at their intervals\n");
            return (HookResult::Limited, ([(RETRY_AFTER, "1")], answer).into_response());
        }
        let Some(sender) = Sender::of_path(request.uri().path()) else {
            return (HookResult::Invalid, text(StatusCode::NOT_FOUND, "there is no such path\n"));
        };
        if request.method() != Method::POST {
            let answer = text(StatusCode::METHOD_NOT_ALLOWED, "webhooks are sent by POST\n");
            return (HookResult::Invalid, ([(ALLOW, "POST")], answer).into_response());
        }
        let (head, body) = request.into_parts();
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MOST as u64) {
            return (HookResult::Invalid, too_large());
        }
        let body = match read(body).await {
            Ok(body) => body,
            Err(answer) => return (HookResult::Invalid, answer),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = hook::Request { sender, headers: &head.headers, body: &body, now };
        let known = self.keys.current();
        let mut received = hook::receive(&request, &known);
        if received == Err(Refused::Unproven) {
            // The secret may have been replaced a moment ago.
            let again = self.keys.again().await;
            if again != known {
                received = hook::receive(&request, &again);
            }
        }
        self.act(sender, received)
    }

    fn act(&self, sender: Sender, received: Result<Received, Refused>) -> (HookResult, Response) {
        let accepted = |message: String| text(StatusCode::ACCEPTED, message);
        match received {
            Ok(Received::Ping) => (HookResult::Ignored, text(StatusCode::OK, "the secret fits\n")),
            Ok(Received::Unrelated) => (HookResult::Ignored, accepted("this is about no push: ignored\n".into())),
            Ok(Received::Pushed { what, delivery }) => match self.hints.pass(sender, &what, delivery.as_deref()) {
                Passed::Nobody => (HookResult::Ignored, accepted("no sync follows this repository\n".into())),
                Passed::Before => (HookResult::Ignored, accepted("this was received before\n".into())),
                Passed::On(syncs) => (HookResult::Accepted, accepted(format!("syncs that poll: {syncs}\n"))),
            },
            Err(Refused::Unproven) => {
                self.refused(sender);
                (HookResult::Unauthorized, text(StatusCode::FORBIDDEN, "no secret of this receiver fits\n"))
            }
            Err(Refused::Stale) => {
                let message = "the signed time is more than 5 minutes from now\n";
                (HookResult::Unauthorized, text(StatusCode::FORBIDDEN, message))
            }
            Err(Refused::Invalid(why)) => (HookResult::Invalid, text(StatusCode::BAD_REQUEST, format!("{why}\n"))),
        }
    }

    /// Logs it, unless that was done a moment ago.
    fn refused(&self, sender: Sender) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.logged.is_some_and(|logged| logged.elapsed() < REFUSED_EACH) {
            refusals.since += 1;
            return;
        }
        let before = std::mem::take(&mut refusals.since);
        refusals.logged = Some(Instant::now());
        drop(refusals);
        let more = if before == 0 { String::new() } else { format!("; so were {before} more since this was logged") };
        let message = format!(
            "a webhook was refused: no secret with the key `{}` fits what came to /hooks/{}{more}",
            sender.key(),
            sender.key()
        );
        (self.emit)(&Event::Warning { message });
    }
}

async fn read(body: Body) -> Result<Bytes, Response> {
    match timeout(BODY_WITHIN, Limited::new(body, MOST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(text(StatusCode::BAD_REQUEST, "the body ended early\n")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

fn too_large() -> Response {
    text(StatusCode::PAYLOAD_TOO_LARGE, "a body may have 1 MiB\n")
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body.into()).into_response()
}

#[cfg(test)]
mod tests;
