//! The receiver of webhooks: a listener on a port and a thread of its own, which decides about requests by `hook` and passes on
//! what they say to the sync tasks. Whatever becomes of it, probes and syncs go on.

mod hints;
mod keys;
mod server;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub(super) use hints::{Hinted, Hints};
use keys::Keys;
use server::{Site, open};

use super::{Context, EventSink};
use crate::cluster::Cluster;
use crate::config::HooksConfig;
use crate::event::Event;
use crate::telemetry::Metrics;

/// An address that cannot be used is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// A running receiver, which ends when it is dropped.
pub(super) struct Receiver {
    pub hints: Arc<Hints>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// `own` writes whether this agent leads or not: a hint that has come to a follower is passed on to the leader by it.
    pub fn start(config: HooksConfig, context: &Context, own: Cluster, metrics: Metrics) -> Self {
        let hints = Arc::new(Hints::new(Arc::clone(&context.emit)));
        let mut tasks = JoinSet::new();
        let (keys, keeper) = Keys::new(config.secrets.clone(), context);
        tasks.spawn(keeper.run());
        let timer = Arc::clone(&hints);
        tasks.spawn(async move { timer.pass_on_when_due().await });
        let (relay, leadership, namespace) =
            (Arc::clone(&hints), context.leadership.clone(), Arc::clone(&context.namespace));
        tasks.spawn(async move { relay.pass_on_to_leader(&leadership, &own, &namespace).await });
        let site = Site::new(Arc::clone(&hints), keys, metrics, Arc::clone(&context.emit));
        tasks.spawn(listen(config, site, Arc::clone(&context.emit)));
        Self { hints, _tasks: tasks }
    }
}

/// Serves, and begins anew where that ends, which it never should.
async fn listen(config: HooksConfig, site: Site, emit: EventSink) {
    let mut said = None;
    loop {
        let why = match open(config.listen, site.clone()).await {
            Ok((server, address, _thread)) => {
                emit(&Event::Note { message: format!("receiving webhooks on http://{address}/hooks/") });
                said = None;
                match server.await {
                    Ok(Ok(())) => "the server ended".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "the server panicked".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        };
        if said.as_ref() != Some(&why) {
            let message = format!(
                "cannot receive webhooks on {} (`hooks.listen`): {why}; this is tried again every {} s, and syncs poll at \
                 their intervals",
                config.listen,
                AGAIN.as_secs()
            );
            emit(&Event::Trouble { message });
            said = Some(why);
        }
        tokio::time::sleep(AGAIN).await;
    }
}
