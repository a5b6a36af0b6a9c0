//! `run --once`: every sync once, and what came of it.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Context, Driver, Ending};
use crate::config::{Config, SyncName};
use crate::observe::SyncResult;

/// What `run --once` is asked to do.
pub struct Once {
    pub allow_prune: bool,
    pub stop: CancellationToken,
}

/// Runs every sync until it is synced, or has failed, or is held, or was waited for long enough.
/// Syncs that depend on one which did not get synced are not begun, and count as failed.
pub async fn once(context: &Context, config: &Config, options: &Once) -> BTreeMap<SyncName, Ending> {
    let mut tasks = JoinSet::new();
    let mut stops = BTreeMap::new();
    for sync in &config.syncs {
        let stop = options.stop.child_token();
        stops.insert(sync.name.clone(), stop.clone());
        let mut driver = Driver::new(context.clone(), sync.clone(), stop);
        driver.allow_prune = options.allow_prune;
        driver.once = true;
        let name = sync.name.clone();
        tasks.spawn(async move { (name, driver.run().await) });
    }
    let mut endings = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        let Ok((name, ending)) = joined else { continue };
        let stopped = || Ending { result: SyncResult::Failed, message: "stopped before it came to a result".into() };
        let ending = endings.entry(name).or_insert(ending.unwrap_or_else(stopped)).clone();
        if ending.result != SyncResult::Synced {
            give_up_dependents(config, &stops, &mut endings);
        }
    }
    let lost = || Ending { result: SyncResult::Failed, message: "its task ended without a result".into() };
    for sync in &config.syncs {
        endings.entry(sync.name.clone()).or_insert_with(lost);
    }
    endings
}

/// Stops the syncs that can never begin, since one that they depend on ended without being synced.
fn give_up_dependents(
    config: &Config,
    stops: &BTreeMap<SyncName, CancellationToken>,
    endings: &mut BTreeMap<SyncName, Ending>,
) {
    loop {
        let doomed = config.syncs.iter().find_map(|sync| {
            let failed = |name: &&SyncName| endings.get(*name).is_some_and(|end| end.result != SyncResult::Synced);
            let dependency = sync.depends_on.iter().find(failed)?;
            (!endings.contains_key(&sync.name)).then(|| (sync.name.clone(), dependency.clone()))
        });
        let Some((name, dependency)) = doomed else { return };
        if let Some(stop) = stops.get(&name) {
            stop.cancel();
        }
        let message = format!("not begun, since sync {dependency}, which it depends on, is not synced");
        endings.insert(name, Ending { result: SyncResult::Failed, message });
    }
}
