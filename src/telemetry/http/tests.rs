use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::*;
use crate::serve::GRACE;
use crate::telemetry::sample;

/// Few, since tests must not run out of file descriptors.
const MOST: usize = 8;

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
    let running = tokio::spawn(super::serve(listener, observer.clone(), stale_after, MOST, shutdown));
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
        server.observer.record(&event);
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
async fn however_many_connections_rest_a_further_one_is_answered() {
    let server = start(Duration::from_mins(1)).await;
    let address = server.address;
    // On another thread, since the kernel's queue may be shorter than this.
    let connect =
        move || -> io::Result<Vec<TcpStream>> { (0..3 * MOST).map(|_| TcpStream::connect(address)).collect() };
    let idle = spawn_blocking(connect).await.unwrap().unwrap();
    for path in ["/", "/readyz", "/metrics"] {
        let (head, _) = timeout(Duration::from_secs(5), server.ask("GET", path)).await.unwrap();
        assert!(head.starts_with("http/1.0 "), "{head}");
    }
    drop(idle);
    server.stop().await;
}

#[tokio::test]
async fn readers_that_do_not_read_share_a_few_bodies_and_probes_do_not_notice() {
    let server = start(Duration::from_mins(1)).await;
    let address = server.address;
    let ask = move || -> io::Result<Vec<TcpStream>> {
        let asking = |_| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            let _ = stream.write(&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000));
            Ok(stream)
        };
        (0..3 * MOST).map(asking).collect()
    };
    let silent = spawn_blocking(ask).await.unwrap().unwrap();
    for _ in 0..20 {
        let (head, _) = timeout(Duration::from_secs(5), server.ask("GET", "/healthz")).await.unwrap();
        assert!(head.starts_with("http/1.0 200 "), "{head}");
    }
    let (head, _) = timeout(Duration::from_secs(5), server.ask("GET", "/metrics")).await.unwrap();
    assert!(head.starts_with("http/1.0 200 "), "{head}");
    drop(silent);
    server.stop().await;
}
