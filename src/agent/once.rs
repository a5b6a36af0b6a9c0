//! `run --once`: every sync once, and what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Context, Ending, SyncTask};
use crate::config::{Config, SyncName};
use crate::event::Outcome;
use crate::plan::Phase;

/// What `run --once` is asked to do.
pub struct Once {
    /// `--allow-prune`: the guard holds nothing.
    pub allow_prune: bool,
    /// Once cancelled, syncs end; one that has no result by then counts as failed.
    pub stop: CancellationToken,
}

/// Runs every sync until it is synced, or has failed, or is held, or was waited for long enough.
/// Syncs that depend on one which did not get synced are not begun, and count as failed.
pub async fn once(context: &Context, config: &Config, options: &Once) -> BTreeMap<SyncName, Ending> {
    let mut tasks = JoinSet::new();
    let mut stops = BTreeMap::new();
    let mut names = HashMap::new();
    for sync in &config.syncs {
        let stop = options.stop.child_token();
        stops.insert(sync.name.clone(), stop.clone());
        let mut sync_task = SyncTask::new(context.clone(), sync.clone(), stop);
        sync_task.allow_prune = options.allow_prune;
        sync_task.once = true;
        let name = sync.name.clone();
        let task = tasks.spawn(async move { sync_task.run().await });
        names.insert(task.id(), name);
    }
    let mut endings = BTreeMap::new();
    let mut synced = BTreeSet::new();
    while let Some(joined) = tasks.join_next_with_id().await {
        let task = joined.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(name) = names.remove(&task) else { continue };
        let stopped = || Ending { result: Outcome::Failed, message: "stopped before it came to a result".into() };
        let lost = || Ending { result: Outcome::Failed, message: "its task panicked".into() };
        let ending = joined.map_or_else(|_| lost(), |(_, ending)| ending.unwrap_or_else(stopped));
        let ending = endings.entry(name.clone()).or_insert(ending);
        // A suspended sync ends well, but what depends on it would wait for ever.
        let phase = context.registry.with(|fleet| fleet.phase(&name));
        if ending.result == Outcome::Synced && phase == Some(Phase::Synced) {
            synced.insert(name);
        }
        give_up_dependents(config, &stops, &synced, &mut endings);
    }
    endings
}

/// Stops the syncs that can never begin, since one that they depend on ended without being synced.
fn give_up_dependents(
    config: &Config,
    stops: &BTreeMap<SyncName, CancellationToken>,
    synced: &BTreeSet<SyncName>,
    endings: &mut BTreeMap<SyncName, Ending>,
) {
    loop {
        let doomed = config.syncs.iter().find_map(|sync| {
            let failed = |name: &&SyncName| endings.contains_key(*name) && !synced.contains(*name);
            let dependency = sync.depends_on.iter().find(failed)?;
            (!endings.contains_key(&sync.name)).then(|| (sync.name.clone(), dependency.clone()))
        });
        let Some((name, dependency)) = doomed else { return };
        if let Some(stop) = stops.get(&name) {
            stop.cancel();
        }
        let message = format!("not begun, since sync {dependency}, which it depends on, is not synced");
        endings.insert(name, Ending { result: Outcome::Failed, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn name(text: &str) -> SyncName {
        SyncName::parse(text).unwrap()
    }

    #[test]
    fn what_depends_on_a_sync_that_ended_unsynced_is_given_up_also_by_way_of_others() {
        let sync = |name: &str, on: &str| {
            format!("  - {{name: {name}, source: {{url: https://e.com/r.git, branch: main}}, dependsOn: [{on}]}}\n")
        };
        let text = format!("syncs:\n{}{}{}{}", sync("a", ""), sync("b", "a"), sync("c", "b"), sync("d", ""));
        let config = parse(&text, "driftless.yaml").unwrap();
        let stops: BTreeMap<_, _> =
            config.syncs.iter().map(|sync| (sync.name.clone(), CancellationToken::new())).collect();
        // Suspended: a good end, and yet nothing that others could build on.
        let suspended = Ending { result: Outcome::Synced, message: "suspended".into() };
        let mut endings = BTreeMap::from([(name("a"), suspended)]);
        give_up_dependents(&config, &stops, &BTreeSet::new(), &mut endings);
        assert_eq!(endings.keys().map(SyncName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(endings[&name("c")].message.contains("sync b"));
        let stopped = |text: &str| stops[&name(text)].is_cancelled();
        assert!(stopped("b") && stopped("c") && !stopped("a") && !stopped("d"));

        let mut endings = BTreeMap::from([(name("a"), endings[&name("a")].clone())]);
        give_up_dependents(&config, &stops, &BTreeSet::from([name("a")]), &mut endings);
        assert_eq!(endings.len(), 1, "a is synced, so b goes on");
    }
}
