//! Serving HTTP/1 to peers that may be slow, many or hostile: connections are bounded in number and in time by ending the one
//! that rests longest, and never by having a new one wait. Each listener has bounds of its own.

mod connections;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use self::connections::ANSWER;
use self::connections::{Bounded, Connections};

/// Filters of the log know it by this name.
const TARGET: &str = "driftless::observe::http";
/// For the header of a request, and for an idle connection to send one.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a header, and of what is read or written at once.
const BUFFER: usize = 16 * 1024;
/// Open requests get this long to end at a shutdown.
pub const GRACE: Duration = Duration::from_secs(2);
/// Out of file descriptors, say: to try at once would only burn the CPU.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once. Of more, those on which nothing moves are closed.
    pub connections: usize,
    /// A connection ends after this, whatever goes over it.
    pub connection_within: Duration,
    /// Whether a connection may carry more than one request.
    pub keep_alive: bool,
}

/// Serves until `shutdown` is done, and then for at most 2 seconds more.
///
/// # Errors
/// None for now: what goes wrong with one connection concerns that one only, and an accept that
/// fails is tried again. The type leaves room for a listener that is lost for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).max_buf_size(BUFFER).keep_alive(bounds.keep_alive);

    let graceful = GracefulShutdown::new();
    let mut open = Connections::new(bounds.connections);
    // Ends what is left of the connections when this function ends.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let full_for = open.full_for();
        let accept = async {
            if !full_for.is_zero() {
                sleep(full_for).await;
            }
            listener.accept().await
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = open.admit();
                let stream = TokioIo::new(Bounded::new(stream, connection.clone()));
                let served = graceful.watch(http.serve_connection(stream, service.clone()));
                connections.spawn(async move {
                    // A peer that closed its connection, or was too slow, is its own affair.
                    let _ = connection.ends.run_until_cancelled(timeout(bounds.connection_within, served)).await;
                });
            }
            Err(error) => {
                tracing::debug!(target: TARGET, %error, "cannot accept a connection");
                // It may be for want of file descriptors, of which a connection that rests holds one.
                open.make_room();
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(ACCEPT_AGAIN) => {}
                }
            }
        }
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::debug!(target: TARGET, "connections that did not end in time were closed");
    }
    Ok(())
}
