//! The HTTP server of the daemon: there before the API server was reached, and until the last sync has
//! ended, so that probes and people always have somebody to ask.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{DaemonError, Sink};
use crate::observe::{Event, Observer, serve};

/// Without a sign of life for this long, `/healthz` fails.
const STALE: Duration = Duration::from_mins(1);
/// How long the server may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// A running HTTP server.
pub struct Front {
    server: JoinHandle<io::Result<()>>,
    farewell: CancellationToken,
}

impl Front {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn open(listen: SocketAddr, observer: Observer, tell: &Sink) -> Result<Self, DaemonError> {
        let bound = tokio::net::TcpListener::bind(listen).await;
        let listener = bound.map_err(|error| DaemonError::Listen { address: listen, error })?;
        let address = listener.local_addr().unwrap_or(listen);
        tell(&Event::Note { message: format!("serving /metrics and /status on http://{address}") });
        let farewell = CancellationToken::new();
        let until = farewell.clone();
        let server = tokio::spawn(serve(listener, observer, STALE, async move { until.cancelled().await }));
        Ok(Self { server, farewell })
    }

    /// Ends when the server does, which it never should; says why.
    pub(super) async fn ended(&mut self) -> String {
        match (&mut self.server).await {
            Ok(Ok(())) => "it was told to".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "by a defect".into(),
        }
    }

    pub(super) async fn close(self) {
        self.farewell.cancel();
        if !self.server.is_finished() {
            let _ = tokio::time::timeout(FAREWELL, self.server).await;
        }
    }
}
