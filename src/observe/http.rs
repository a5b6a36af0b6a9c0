//! The agent's HTTP server: read-only, without authentication, for probes, Prometheus and people
//! inside the cluster. It shows names of objects and messages, never a Secret's value.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Observer;

/// More than Prometheus, probes and some people need; the others wait in the kernel's queue.
/// (Tests must not run out of file descriptors.)
const MOST_CONNECTIONS: usize = if cfg!(test) { 8 } else { 256 };
/// For the header of a request, and for an idle connection to send one.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// A connection whose peer does not read its answer ends some time, too.
const CONNECTION_WITHIN: Duration = Duration::from_mins(10);
/// Open requests get this long to end at a shutdown.
const GRACE: Duration = Duration::from_secs(2);
/// Out of file descriptors, say: trying at once would only burn the CPU.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

const INDEX: &str = "\
driftless

/metrics   for Prometheus
/healthz   200 while the agent's loop runs
/readyz    200 once the configuration and the API server were reached
/status    every sync, as JSON
";

#[derive(Clone, Debug)]
struct Site {
    observer: Observer,
    stale_after: Duration,
}

/// Serves `/metrics`, `/healthz`, `/readyz`, `/status` and `/` until `shutdown` is done, and then
/// for at most 2 seconds more. `/healthz` fails when nobody called [`Board::beat`] for `stale_after`.
///
/// # Errors
/// None for now: what goes wrong with one connection concerns that one only, and an accept that
/// fails is tried again. The type leaves room for a listener that is lost for good.
///
/// [`Board::beat`]: super::Board::beat
pub async fn serve(
    listener: TcpListener,
    observer: Observer,
    stale_after: Duration,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = TowerToHyperService::new(router(Site { observer, stale_after }));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).max_buf_size(16 * 1024);

    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Ends what is left of the connections when this function ends.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accept = async {
            let permit = room.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    // A peer that went away, or was too slow, is its own affair.
                    let _ = timeout(CONNECTION_WITHIN, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(ACCEPT_AGAIN) => {}
                }
            }
        }
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections that did not end in time were cut");
    }
    Ok(())
}

fn router(site: Site) -> Router {
    // `get` answers HEAD too, and 405 to everything else.
    Router::new()
        .route("/", get(async || text(StatusCode::OK, INDEX.to_owned())))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(async || text(StatusCode::NOT_FOUND, "not found; / lists what there is\n".to_owned()))
        .layer(map_response(private))
        .with_state(site)
}

async fn metrics(State(site): State<Site>) -> Response {
    typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", site.observer.metrics.render())
}

async fn healthz(State(site): State<Site>) -> Response {
    let silent = site.observer.board.silent_for();
    if silent <= site.stale_after {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("the agent's loop is silent for {} s\n", silent.as_secs()))
}

async fn readyz(State(site): State<Site>) -> Response {
    if site.observer.board.is_ready() {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "not ready: the configuration or the API server was not reached yet\n".to_owned(),
    )
}

async fn status(State(site): State<Site>) -> Response {
    // `{:#}` of a JSON value is its indented form.
    typed(StatusCode::OK, "application/json", format!("{:#}\n", site.observer.board.to_json()))
}

fn text(status: StatusCode, body: String) -> Response {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

/// What is said here is of this moment, and text stays text whatever is in it.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Instant;

    use tokio::sync::oneshot;
    use tokio::task::{JoinHandle, spawn_blocking};

    use super::*;
    use crate::observe::sample;

    struct Server {
        address: SocketAddr,
        observer: Observer,
        stop: oneshot::Sender<()>,
        running: JoinHandle<io::Result<()>>,
    }

    async fn start(stale_after: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let observer = Observer::new().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { stopped.await.unwrap_or(()) };
        let running = tokio::spawn(serve(listener, observer.clone(), stale_after, shutdown));
        Server { address, observer, stop, running }
    }

    impl Server {
        /// The whole answer, in lower case up to the body.
        async fn ask(&self, method: &str, path: &str) -> (String, String) {
            let (address, request) = (self.address, format!("{method} {path} HTTP/1.0\r\n\r\n"));
            let exchange = move || {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(request.as_bytes())?;
                io::read_to_string(stream)
            };
            let answer = spawn_blocking(exchange).await.unwrap().unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_lowercase(), body.to_owned())
        }

        async fn stop(self) {
            self.stop.send(()).unwrap();
            self.running.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn every_address_answers_and_says_not_to_keep_it() {
        let server = start(Duration::from_mins(1)).await;
        for event in sample::every_event() {
            server.observer.tell(&event);
        }
        for (path, status, content_type, part) in [
            ("/", "200", "text/plain", "/metrics"),
            ("/metrics", "200", "text/plain; version=0.0.4", "driftless_sync_total{"),
            ("/healthz", "200", "text/plain", "ok"),
            ("/readyz", "503", "text/plain", "not ready"),
            ("/status", "200", "application/json", "\n  \"syncs\": ["),
            ("/nothing", "404", "text/plain", "not found"),
        ] {
            let (head, body) = server.ask("GET", path).await;
            assert!(head.starts_with(&format!("http/1.0 {status} ")), "{path}: {head}");
            assert!(head.contains(&format!("content-type: {content_type}")), "{path}: {head}");
            assert!(head.contains("\r\nx-content-type-options: nosniff"), "{path}: {head}");
            assert!(head.contains("\r\ncache-control: no-store"), "{path}: {head}");
            assert!(body.contains(part), "{path}: {body}");
        }
        let (_, body) = server.ask("GET", "/status").await;
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["syncs"][0]["phase"], "Held");
        server.stop().await;
    }

    #[tokio::test]
    async fn only_get_and_head_are_answered() {
        let server = start(Duration::from_mins(1)).await;
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let (head, _) = server.ask(method, "/status").await;
            assert!(head.starts_with("http/1.0 405 "), "{method}: {head}");
            assert!(head.contains("nosniff"), "{method}: {head}");
        }
        let (head, body) = server.ask("HEAD", "/metrics").await;
        assert!(head.starts_with("http/1.0 200 "), "{head}");
        assert_eq!(body, "");
        server.stop().await;
    }

    #[tokio::test]
    async fn readiness_and_heartbeat_show() {
        let server = start(Duration::ZERO).await;
        server.observer.board.set_ready(true);
        assert!(server.ask("GET", "/readyz").await.0.starts_with("http/1.0 200 "));
        let (head, body) = server.ask("GET", "/healthz").await;
        assert!(head.starts_with("http/1.0 503 "), "{head}");
        assert!(body.contains("silent for"), "{body}");
        server.stop().await;
    }

    #[tokio::test]
    async fn a_shutdown_does_not_wait_for_a_slow_client() {
        let server = start(Duration::from_mins(1)).await;
        let mut slow = TcpStream::connect(server.address).unwrap();
        slow.write_all(b"GET /metrics HT").unwrap();
        // Answered after the slow one was accepted, since connections are accepted in turn.
        server.ask("GET", "/").await;
        let before = Instant::now();
        server.stop().await;
        assert!(before.elapsed() < GRACE + Duration::from_secs(2), "{:?}", before.elapsed());
    }

    #[tokio::test]
    async fn more_connections_than_fit_wait_their_turn() {
        let server = start(Duration::from_mins(1)).await;
        let address = server.address;
        // On another thread, since the kernel's queue may be shorter than this.
        let connect = move || -> io::Result<Vec<TcpStream>> {
            (0..MOST_CONNECTIONS).map(|_| TcpStream::connect(address)).collect()
        };
        let idle = spawn_blocking(connect).await.unwrap().unwrap();
        let asked = timeout(Duration::from_millis(200), server.ask("GET", "/")).await;
        assert!(asked.is_err(), "answered although every place is taken");
        drop(idle);
        let (head, _) = timeout(Duration::from_secs(10), server.ask("GET", "/")).await.unwrap();
        assert!(head.starts_with("http/1.0 200 "), "{head}");
        server.stop().await;
    }
}
