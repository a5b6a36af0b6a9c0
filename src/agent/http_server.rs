//! The HTTP server of the daemon: there before the API server was reached, and until the last sync has
//! ended, so that probes and people always have somebody to ask.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::descriptors::descriptors;
use super::{Apart, DaemonError, EventSink};
use crate::event::Event;
use crate::telemetry::{Observer, serve};

/// Without a sign of life for this long, `/healthz` fails.
const STALE: Duration = Duration::from_mins(1);
/// How long the server may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Connections at once: more than Prometheus, probes and some people need.
const CONNECTIONS: usize = 256;
/// Of the file descriptors of the process, the server takes one in so many at most.
const SHARE: usize = 4;
/// Fewer leave no room for a probe beside those that rest.
const FEWEST: usize = 16;
/// Connections that the kernel takes before the server does.
const BACKLOG: u32 = 1024;
/// Bytes that the kernel keeps of what a peer has not read, and of what we have not; without a limit it is megabytes.
const SEND_BUFFER: u32 = 64 << 10;
const RECEIVE_BUFFER: u32 = 16 << 10;

/// A running HTTP server, on a thread of its own.
pub struct HttpServer {
    server: JoinHandle<io::Result<()>>,
    farewell: CancellationToken,
    _thread: Apart,
}

impl HttpServer {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn open(listen: SocketAddr, observer: Observer, emit: &EventSink) -> Result<Self, DaemonError> {
        let failed = |error| DaemonError::Listen { address: listen, error };
        let thread = Apart::start("http").map_err(failed)?;
        // Opened there, since the thread that opens it is the one that serves it.
        let bound = thread.spawn(async move { bind(listen) }).await;
        let listener = bound.map_err(io::Error::other).and_then(|bound| bound).map_err(failed)?;
        let address = listener.local_addr().unwrap_or(listen);
        emit(&Event::Note { message: format!("serving /metrics and /status on http://{address}") });
        let farewell = CancellationToken::new();
        let until = farewell.clone();
        let connections = CONNECTIONS.min(descriptors() / SHARE).max(FEWEST);
        let server =
            thread.spawn(serve(listener, observer, STALE, connections, async move { until.cancelled().await }));
        Ok(Self { server, farewell, _thread: thread })
    }

    /// Ends when the server does, which it never should; says why.
    pub(super) async fn ended(&mut self) -> String {
        match (&mut self.server).await {
            Ok(Ok(())) => "it was asked to".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".into(),
        }
    }

    pub(super) async fn close(self) {
        self.farewell.cancel();
        if !self.server.is_finished() {
            let _ = tokio::time::timeout(FAREWELL, self.server).await;
        }
    }
}

pub(super) fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: else the address is taken for a minute after a restart.
    socket.set_reuseaddr(true)?;
    // Connections inherit them.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}
