//! Who does not lead writes nothing. Every request of a fenced client that could change something
//! passes here, whoever sends it.
//!
//! A connection may hold a request back and deliver it minutes later, when another one leads. So it
//! is not enough to stop sending in time: the API server itself has to give up in time. A request goes
//! in two parts. Its head carries `?timeout=`, which the server counts from the moment at which it got
//! the head, and `Expect: 100-continue`; the body follows when the server has answered to the head
//! (RFC 9110, section 10.1.1), and leadership then is sure for longer than that timeout. A head that
//! is held back changes nothing, since nothing is in it; a body that is held back comes too late.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use tokio::sync::oneshot;
use tower::{BoxError, service_fn};

use super::leadership::{Leadership, NotLeader};
use crate::election::{HEAD_NEEDS, limit_of_write};

/// The largest answer to a write that is read, in bytes.
const LARGEST_ANSWER: usize = 64 << 20;

/// The same client for as long as leadership is held: reads go through, writes are fenced.
pub(super) fn fenced(client: Client, leadership: Leadership) -> Client {
    let namespace = client.default_namespace().to_owned();
    // The client has no other way to a body that is not there at once: it takes one out of an answer.
    let bodies = Client::new(service_fn(unwrap), "");
    let send = move |request| {
        let (client, bodies, leadership) = (client.clone(), bodies.clone(), leadership.clone());
        async move {
            if changes_nothing(&request) {
                return Ok(client.send(request).await?);
            }
            // Boxed, since every request passes here and most are reads.
            Box::pin(write(client, bodies, leadership, request)).await
        }
    };
    Client::new(service_fn(send), namespace)
}

/// Reads, dry runs, and questions that are asked by POST.
fn changes_nothing(request: &Request<Body>) -> bool {
    let uri = request.uri();
    let dry = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "dryRun=All"));
    matches!(*request.method(), Method::GET | Method::HEAD) || dry || uri.path().ends_with("/selfsubjectaccessreviews")
}

async fn write(
    client: Client,
    bodies: Client,
    leadership: Leadership,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let limit = limit_of_write(leadership.sure_for_at_least(HEAD_NEEDS).await?);
    let (mut parts, body) = request.into_parts();
    parts.uri = with_timeout(&parts.uri, limit)?;
    parts.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    let bytes = body.collect_bytes().await?;
    if bytes.is_empty() {
        // It would be carried out by its head alone.
        return Err("a request without a body cannot be kept from being carried out later".into());
    }
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let (go, go_ahead) = oneshot::channel();
    let body = body_after(go_ahead, leadership.clone(), limit, bytes);
    let mut request = Request::from_parts(parts, wrap(&bodies, body).await?);
    let go = Arc::new(Mutex::new(Some(go)));
    // An answer that does not wait for the body ends the request; the body is dropped with this.
    let _kept = Arc::clone(&go);
    hyper::ext::on_informational(&mut request, move |answer| {
        if answer.status() == StatusCode::CONTINUE
            && let Some(go) = go.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            let _ = go.send(());
        }
    });
    let exchange = async {
        let (parts, body) = client.send(request).await?.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::from_parts(parts, Body::from(body)))
    };
    let sent = leadership.write_sent(limit);
    tokio::select! {
        answer = exchange => match answer {
            Ok(answer) => {
                sent.answered();
                Ok(answer)
            }
            Err(_) if !leadership.is_held() => Err(NotLeader::GivenUp.into()),
            answer => answer,
        },
        () = leadership.lost() => Err(NotLeader::GivenUp.into()),
    }
}

type Parcel = StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>>;

/// The body, once the server has answered to the head and leadership outlasts the server's patience.
fn body_after(go_ahead: oneshot::Receiver<()>, leadership: Leadership, limit: Duration, bytes: Bytes) -> Parcel {
    let body = async move {
        go_ahead.await?;
        leadership.sure_for_at_least(limit).await?;
        Ok(Frame::data(bytes))
    };
    StreamBody::new(Box::pin(futures::stream::once(body)))
}

#[derive(Clone)]
struct Packed(Arc<Mutex<Option<Parcel>>>);

async fn wrap(bodies: &Client, parcel: Parcel) -> Result<Body, BoxError> {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Packed(Arc::new(Mutex::new(Some(parcel)))));
    Ok(bodies.send(request).await?.into_body())
}

async fn unwrap(request: Request<Body>) -> Result<Response<Parcel>, BoxError> {
    let packed = request.extensions().get::<Packed>().and_then(|packed| {
        let mut parcel = packed.0.lock().unwrap_or_else(PoisonError::into_inner);
        parcel.take()
    });
    packed.map(Response::new).ok_or_else(|| "a body was lost on its way".into())
}

/// Adds the time after which the API server is to give a request up.
fn with_timeout(uri: &Uri, limit: Duration) -> Result<Uri, BoxError> {
    let sign = if uri.query().is_some() { '&' } else { '?' };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = format!("{path}{sign}timeout={}ms", limit.as_millis());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests;
