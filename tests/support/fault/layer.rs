//! The layer that spoils requests, and the edge where they come in.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper::body::Incoming;
use tokio::time::sleep;
use tower::{Layer, Service};

use super::answer::{Answer, Broken, refusal, truncated, whole, with_stale, without};
use super::ask::Ask;
use super::rule::Fault;
use super::state::{Begun, Settings, State};
use super::watch::watched;

/// Longer than a request may take.
const UPSTREAM: Duration = Duration::from_secs(100);

pub struct FaultLayer(Arc<State>);

impl FaultLayer {
    pub fn new(state: Arc<State>) -> Self {
        Self(state)
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = Faults<S>;

    fn layer(&self, inner: S) -> Faults<S> {
        Faults { state: Arc::clone(&self.0), inner }
    }
}

#[derive(Clone)]
pub struct Faults<S> {
    state: Arc<State>,
    inner: S,
}

impl<S> Service<Request<Bytes>> for Faults<S>
where
    S: Service<Request<Bytes>, Response = Response<Answer>, Error = Broken> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Response<Answer>, Broken>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let faults = self.clone();
        // A task of its own, since the connection of a killed agent takes its requests with it.
        let state = Arc::clone(&self.state);
        let task = tokio::spawn(faults.answer(request));
        Box::pin(async move {
            let (index, answer) = task.await.map_err(|error| Broken(error.to_string()))?;
            if let Some(index) = index {
                state.delivered(index);
            }
            answer
        })
    }
}

impl<S> Faults<S>
where
    S: Service<Request<Bytes>, Response = Response<Answer>, Error = Broken> + Clone + Send + Sync,
    S::Future: Send,
{
    /// With the place of the request in the record, if it is there.
    async fn answer(self, request: Request<Bytes>) -> (Option<usize>, Result<Response<Answer>, Broken>) {
        let (parts, body) = request.into_parts();
        let ask = Ask::new(&parts, body.clone());
        let Some(begun) = self.state.begin(ask) else { return (None, self.stopped().await) };
        let request = Request::from_parts(parts, body);
        let answer =
            if begun.ask.is_watch() { self.watch(&begun, request).await } else { self.one(&begun, request).await };
        let answer = if self.state.goes().await { answer } else { Err(Broken("the world had stopped".into())) };
        (Some(begun.index), answer)
    }

    async fn stopped(&self) -> Result<Response<Answer>, Broken> {
        self.state.goes().await;
        Err(Broken("the world had stopped".into()))
    }

    /// What does not even reach the server.
    async fn early(&self, begun: &Begun) -> Option<Result<Response<Answer>, Broken>> {
        match &begun.fault {
            Some(Fault::Break) => Some(Err(Broken("made to break".into()))),
            Some(Fault::Answer(code, retry_after)) => Some(Ok(refusal(*code, *retry_after))),
            Some(Fault::Delay(time)) => {
                sleep(*time).await;
                None
            }
            _ if begun.settings.down.as_ref().is_some_and(|group| *group == begun.ask.group) => {
                Some(Ok(refusal(503, None)))
            }
            _ if begun.settings.unserved.as_ref().is_some_and(|group| *group == begun.ask.group) => {
                Some(Ok(refusal(404, None)))
            }
            _ => None,
        }
    }

    async fn one(&self, begun: &Begun, request: Request<Bytes>) -> Result<Response<Answer>, Broken> {
        if let Some(answer) = self.early(begun).await {
            return answer;
        }
        let request = changed(request, begun);
        let mut answer = self.forward(begun, request.clone()).await?;
        if begun.fault == Some(Fault::Twice) {
            answer = self.forward(begun, request).await?;
        }
        if let Some(group) = begun.settings.down.as_ref().filter(|_| begun.ask.path_and_query == "/apis") {
            answer = answer.map(|body| with_stale(group, &body));
        }
        if let Some(group) = begun.settings.unserved.as_ref().filter(|_| begun.ask.path_and_query == "/apis") {
            answer = answer.map(|body| without(group, &body));
        }
        match &begun.fault {
            Some(Fault::BreakAfter) => Err(Broken("made to break".into())),
            Some(Fault::SilenceAfter(time)) => {
                sleep(*time).await;
                Err(Broken("made to break after a silence".into()))
            }
            Some(Fault::DelayAnswer(time)) => {
                sleep(*time).await;
                Ok(answer.map(whole))
            }
            Some(Fault::Truncate(bytes)) => Ok(truncated(answer, *bytes)),
            _ => Ok(answer.map(whole)),
        }
    }

    async fn forward(&self, begun: &Begun, request: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        let whole_answer = async {
            let (parts, body) = self.inner.clone().call(request).await?.into_parts();
            Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
        };
        let limit = tokio::time::timeout(UPSTREAM, whole_answer).await;
        let mut answer = limit.unwrap_or(Err(Broken("the API server does not answer".into())))?;
        hop(answer.headers_mut());
        let kept = if begun.ask.verb == "list" { Bytes::new() } else { answer.body().clone() };
        self.state.answered(begun, answer.status().as_u16(), kept);
        Ok(answer)
    }

    /// A watch meets the faults of its beginning here; those of its body are sent to all watches.
    async fn watch(&self, begun: &Begun, request: Request<Bytes>) -> Result<Response<Answer>, Broken> {
        let orders = self.state.watches.subscribe();
        if let Some(answer) = self.early(begun).await {
            return answer;
        }
        let mut request = changed(request, begun);
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut answer = self.inner.clone().call(request).await?;
        hop(answer.headers_mut());
        self.state.answered(begun, answer.status().as_u16(), Bytes::new());
        if matches!(begun.fault, Some(Fault::BreakAfter)) {
            return Err(Broken("made to break".into()));
        }
        Ok(answer.map(|body| watched(body, orders)))
    }
}

/// Headers of one connection, which are wrong on the next.
fn hop(headers: &mut http::HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
}

/// The request as the settings have it.
fn changed(mut request: Request<Bytes>, begun: &Begun) -> Request<Bytes> {
    let Settings { page, past, .. } = &begun.settings;
    request.headers_mut().remove(HOST);
    request.headers_mut().remove(ACCEPT_ENCODING);
    hop(request.headers_mut());
    if begun.ask.verb == "list" {
        let query = request.uri().query().unwrap_or_default();
        let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some((_, limit)) = pairs.iter_mut().find(|(name, _)| name == "limit")
            && let Some(page) = page
        {
            *limit = page.to_string();
        }
        if let Some(past) = past.as_ref().filter(|_| !begun.ask.later_page) {
            pairs.retain(|(name, _)| !name.starts_with("resourceVersion"));
            pairs.push(("resourceVersion".into(), past.clone()));
            pairs.push(("resourceVersionMatch".into(), "Exact".into()));
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let path = format!("{}?{query}", request.uri().path());
        *request.uri_mut() = path.parse::<Uri>().expect("a path");
    }
    request
}

/// Takes requests from connections, whole, and gives them to the layer.
#[derive(Clone)]
pub struct Edge<S>(S);

impl<S> Edge<S> {
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S> Service<Request<Incoming>> for Edge<S>
where
    S: Service<Request<Bytes>, Response = Response<Answer>, Error = Broken> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Response<Answer>, Broken>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut inner = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| Broken(error.to_string()))?.to_bytes();
            inner.call(Request::from_parts(parts, body)).await
        })
    }
}
