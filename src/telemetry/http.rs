//! The agent's HTTP server: read-only, without authentication, for probes, Prometheus and people
//! inside the cluster. It shows names of objects and messages, never a Secret's value.
//!
//! A kubelet restarts an agent whose probe is not answered, so no reader may keep a probe waiting: the number
//! of connections is bounded by ending the one that rests longest, and never by waiting; what is
//! large is written on other threads, and a few times at once at most.

mod pages;

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use self::pages::Page;
use super::Observer;
use crate::serve::{self, Bounds};

/// A connection ends some time, whatever goes over it.
const CONNECTION_WITHIN: Duration = Duration::from_mins(10);
/// Seconds after which a reader may ask again for whom there was no page.
const ASK_AGAIN: &str = "5";

const INDEX: &str = "\
driftless

/metrics   for Prometheus
/healthz   200 while the agent's loop runs
/readyz    200 once the configuration and the API server were reached
/status    every sync, as JSON
";

#[derive(Clone)]
struct Site {
    observer: Observer,
    stale_after: Duration,
    metrics: Page,
    status: Page,
}

impl Site {
    fn new(observer: Observer, stale_after: Duration) -> Self {
        let (metrics, board) = (observer.metrics.clone(), observer.board.clone());
        let metrics = Page::new(move || metrics.render());
        // `{:#}` of a JSON value is its indented form.
        let status = Page::new(move || format!("{:#}\n", board.to_json()));
        Self { observer, stale_after, metrics, status }
    }
}

/// Serves `/metrics`, `/healthz`, `/readyz`, `/status` and `/` until `shutdown` is done, and then
/// for at most 2 seconds more. `/healthz` fails when nobody called [`Board::beat`] for `stale_after`.
/// Of more connections than `most`, those on which nothing moves are closed.
///
/// # Errors
/// Those of [`serve::serve`].
///
/// [`Board::beat`]: super::Board::beat
pub async fn serve(
    listener: TcpListener,
    observer: Observer,
    stale_after: Duration,
    most: usize,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let bounds = Bounds { connections: most, connection_within: CONNECTION_WITHIN, keep_alive: true };
    serve::serve(listener, router(Site::new(observer, stale_after)), bounds, shutdown).await
}

fn router(site: Site) -> Router {
    // `get` answers HEAD too, and 405 to everything else.
    Router::new()
        .route("/", get(async || text(StatusCode::OK, INDEX)))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(async || text(StatusCode::NOT_FOUND, "not found; / lists what there is\n"))
        .layer(map_response(private))
        .with_state(site)
}

async fn metrics(State(site): State<Site>) -> Response {
    page(&site.metrics, "text/plain; version=0.0.4; charset=utf-8").await
}

async fn healthz(State(site): State<Site>) -> Response {
    let silent = site.observer.board.silent_for();
    if silent <= site.stale_after {
        return text(StatusCode::OK, "ok\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("the agent's loop is silent for {} s\n", silent.as_secs()))
}

async fn readyz(State(site): State<Site>) -> Response {
    if site.observer.board.is_ready() {
        return text(StatusCode::OK, "ready\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, "not ready: the configuration or the API server was not reached yet\n")
}

async fn status(State(site): State<Site>) -> Response {
    page(&site.status, "application/json").await
}

async fn page(page: &Page, content_type: &'static str) -> Response {
    if let Some(body) = page.body().await {
        return typed(StatusCode::OK, content_type, body);
    }
    let busy = "too many readers do not read their answers; try again\n";
    ([(RETRY_AFTER, ASK_AGAIN)], text(StatusCode::SERVICE_UNAVAILABLE, busy)).into_response()
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body.into()).into_response()
}

/// What is said here is of this moment, and text stays text whatever is in it.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
