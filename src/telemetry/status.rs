//! What is known at this moment, for `/status`, `/readyz` and `/healthz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::{Event, SyncEvent};
use crate::plan::SyncStatus;

/// The latest status of everything. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Board {
    version: &'static str,
    started_at: Timestamp,
    state: Arc<Mutex<BoardState>>,
}

/// Whether this agent leads, who does, and since when that is so.
#[derive(Debug)]
struct Leader {
    leads: bool,
    holder: Option<Arc<str>>,
    why: String,
    since: Timestamp,
}

#[derive(Debug)]
struct BoardState {
    syncs: BTreeMap<Arc<str>, Arc<SyncStatus>>,
    /// How many syncs the running configuration has, and since when it runs.
    loaded: Option<(usize, Timestamp)>,
    /// Why the file, as it is now, was refused.
    rejected: Option<(String, Timestamp)>,
    leader: Option<Leader>,
    ready: bool,
    beat: Instant,
}

impl Board {
    /// A board on which nothing is written yet: not ready, and alive as of now.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let state = BoardState {
            syncs: BTreeMap::new(),
            loaded: None,
            rejected: None,
            leader: None,
            ready: false,
            beat: Instant::now(),
        };
        Self { version, started_at: Timestamp::now(), state: Arc::new(Mutex::new(state)) }
    }

    /// Notes what an event changes about the state of things.
    pub fn record(&self, event: &Event) {
        match event {
            Event::Sync(sync, SyncEvent::Status(status)) => {
                self.state().syncs.insert(Arc::clone(sync), Arc::clone(status));
            }
            Event::Sync(sync, SyncEvent::Forgotten | SyncEvent::StandingBy { .. }) => {
                self.state().syncs.remove(sync);
            }
            Event::Leadership { leads, holder, why } => {
                let since = Timestamp::now();
                self.state().leader = Some(Leader { leads: *leads, holder: holder.clone(), why: why.clone(), since });
            }
            Event::ConfigLoaded { syncs, .. } => {
                let mut state = self.state();
                state.loaded = Some((*syncs, Timestamp::now()));
                state.rejected = None;
            }
            Event::ConfigRejected { error } => {
                self.state().rejected = Some((error.clone(), Timestamp::now()));
            }
            _ => {}
        }
    }

    /// Whether the agent can do its work: configuration and API server were reached.
    pub fn set_ready(&self, ready: bool) {
        self.state().ready = ready;
    }

    /// Returns what [`Board::set_ready`] was last given; `false` before that. `/readyz` answers by it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// To be called again and again by whoever must not get stuck.
    pub fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// The time since the last [`Board::beat`], or since the start.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.state().beat.elapsed()
    }

    /// The body of `/status`: `version`, `startedAt`, `ready`, `config` (`valid`, `syncs`,
    /// `loadedAt`; `error` and `rejectedAt` when a changed file was refused), `leader` (`leads`,
    /// `holder`, `message`, `since`; null before that is known), and `syncs`, a list of [`SyncStatus`]
    /// in the order of their names, which is empty while another agent leads. Times are RFC 3339 in UTC.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let mut config = json!({ "valid": state.loaded.is_some() && state.rejected.is_none() });
        if let Some((syncs, at)) = &state.loaded {
            config["syncs"] = json!(syncs);
            config["loadedAt"] = json!(at.to_string());
        }
        if let Some((error, at)) = &state.rejected {
            config["error"] = json!(error);
            config["rejectedAt"] = json!(at.to_string());
        }
        let leader = state.leader.as_ref().map(|leader| {
            let since = leader.since.to_string();
            json!({ "leads": leader.leads, "holder": leader.holder, "message": leader.why, "since": since })
        });
        let (ready, syncs) = (state.ready, state.syncs.clone());
        // Nobody should wait for the lock while a long list is written.
        drop(state);
        let syncs: Vec<Value> = syncs.iter().map(|(name, status)| describe(name, status)).collect();
        json!({
            "version": self.version,
            "startedAt": self.started_at.to_string(),
            "ready": ready,
            "config": config,
            "leader": leader,
            "syncs": syncs,
        })
    }

    fn state(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A status that cannot be written still shows that the sync is there.
fn describe(name: &str, status: &SyncStatus) -> Value {
    serde_json::to_value(status).unwrap_or_else(|error| json!({ "sync": name, "message": error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Phase;
    use crate::telemetry::sample;

    fn record(board: &Board, sync: &str, phase: Phase) {
        board.record(&sample::stands(sample::status(sync, phase)));
    }

    #[test]
    fn the_latest_status_of_each_sync_is_shown_by_name() {
        let board = Board::new("1.2.3");
        record(&board, "shop", Phase::Syncing);
        record(&board, "infra", Phase::Synced);
        record(&board, "shop", Phase::Synced);
        let json = board.to_json();
        assert_eq!(json["version"], "1.2.3");
        assert_eq!(json["ready"], false);
        let syncs: Vec<_> =
            json["syncs"].as_array().unwrap().iter().map(|sync| (&sync["sync"], &sync["phase"])).collect();
        assert_eq!(syncs, [(&json!("infra"), &json!("Synced")), (&json!("shop"), &json!("Synced"))]);
        assert_eq!(json["syncs"][1]["health"]["Failed"], 1);

        board.record(&Event::of(&"infra".into(), SyncEvent::Forgotten));
        assert_eq!(board.to_json()["syncs"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_refused_configuration_shows_until_a_good_one_is_loaded() {
        let board = Board::new("1.2.3");
        assert_eq!(board.to_json()["config"], json!({ "valid": false }));
        board.record(&Event::ConfigLoaded { syncs: 2, reloaded: false });
        board.record(&Event::ConfigRejected { error: "driftless.yaml:3:5: unknown key".to_owned() });
        let config = &board.to_json()["config"];
        assert_eq!(config["valid"], false);
        assert_eq!(config["error"], "driftless.yaml:3:5: unknown key");
        assert_eq!(config["syncs"], 2);
        board.record(&Event::ConfigLoaded { syncs: 3, reloaded: true });
        let config = &board.to_json()["config"];
        assert_eq!(config["valid"], true);
        assert!(config.get("error").is_none());
        assert!(config["loadedAt"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn clones_share_readiness_and_heartbeat() {
        let board = Board::new("1.2.3");
        board.clone().set_ready(true);
        assert!(board.is_ready());
        let before = board.silent_for();
        board.clone().beat();
        assert!(board.silent_for() <= before + Duration::from_secs(1));
    }
}
