//! What the world gets to see: log, metrics, HTTP. Everything receives the same `Event`s.

mod bounded;
mod families;
mod http;
mod kubernetes;
mod line;
mod log;
mod metrics;
mod repeats;
#[cfg(test)]
mod sample;
mod status;
mod text;
mod trace;

pub use bounded::HookResult;
pub use http::serve;
pub use kubernetes::{About, KubeEvent, KubeEvents, Severity};
pub use log::{LogError, LogFormat, init, write};
pub use metrics::{Metrics, MetricsError};
pub use status::Board;
pub use trace::{Traces, TracesError};

use crate::event::Event;
use repeats::Repeats;

/// Everything that receives events. Cheap to clone; every clone feeds the same log, metrics, board and
/// traces.
#[derive(Clone, Debug)]
pub struct Observer {
    /// Counters, gauges and histograms that `/metrics` serves.
    pub metrics: Metrics,
    /// Latest state, by which `/status`, `/readyz` and `/healthz` answer.
    pub board: Board,
    /// Where the environment asks for them.
    pub traces: Option<Traces>,
    repeats: Repeats,
}

impl Observer {
    /// An observer that has received nothing yet; the log is set up apart from it, by [`init`].
    ///
    /// # Errors
    /// When the metrics cannot be registered, which is a bug of the program.
    pub fn new() -> Result<Self, MetricsError> {
        let (metrics, board) = (Metrics::new()?, Board::new(env!("CARGO_PKG_VERSION")));
        Ok(Self { metrics, board, traces: None, repeats: Repeats::default() })
    }

    /// Passes an event on to the log, the metrics, the board and the traces. Never waits for anything but
    /// short locks and the write to stderr.
    pub fn record(&self, event: &Event) {
        let logging = self.repeats.note(event);
        log::write_as(event, logging.repeated);
        if let Some(message) = logging.line {
            write(&Event::Note { message });
        }
        self.metrics.record(event);
        self.board.record(event);
        if let Some(traces) = &self.traces {
            traces.record(event);
        }
    }
}
