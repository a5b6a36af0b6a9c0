//! An agent in a story, started again when it ends, as a kubelet does it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{SYNC, Story};
use crate::support::agent::Agent;
use crate::support::site::Site;
use crate::support::wait::{DEADLINE, check, eventually, within};

/// How a sync ends.
pub struct End {
    commit: String,
    phase: &'static str,
}

impl End {
    pub fn synced(commit: String) -> Self {
        Self { commit, phase: "Synced" }
    }

    pub fn held(commit: String) -> Self {
        Self { commit, phase: "Held" }
    }
}

pub struct Kept {
    site: Arc<Site>,
    pub agent: Agent,
}

impl Kept {
    pub fn launch(story: &Story) -> Self {
        let site = Arc::clone(&story.site);
        let agent = Agent::launch(&site, site.command(&["run"]));
        Self { site, agent }
    }

    /// Whether the sync has come to its end; else what is seen of it.
    pub fn seen(&mut self, end: &End) -> Result<(), String> {
        if self.agent.has_ended() {
            self.agent = Agent::launch(&self.site, self.site.command(&["run"]));
        }
        if !self.agent.serves() {
            return Err("it does not serve".into());
        }
        let status = self.agent.sync(SYNC);
        let of = if end.phase == "Held" { &status["held"]["commit"] } else { &status["synced"]["id"] };
        check(status["phase"] == end.phase && *of == end.commit, &status)
    }

    /// Waits until it says where it listens.
    #[track_caller]
    pub fn serves(&mut self) {
        eventually("the daemon serves", || check(self.agent.serves(), "not yet"));
    }

    #[track_caller]
    pub fn converges(&mut self, end: &End) {
        self.converges_within(DEADLINE, end);
    }

    #[track_caller]
    pub fn converges_within(&mut self, deadline: Duration, end: &End) {
        within(deadline, &format!("the sync is {} with {}", end.phase, end.commit), || self.seen(end));
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.agent.kill();
    }
}

/// Waits until nothing has been asked for a while; gives how many requests there were.
#[track_caller]
pub fn settles(story: &Story, quiet: Duration) -> usize {
    let (mut count, mut since) = (story.proxy.count(), Instant::now());
    eventually("no more requests come", || {
        if story.proxy.count() != count {
            (count, since) = (story.proxy.count(), Instant::now());
        }
        check(since.elapsed() >= quiet, format!("{count} requests"))
    });
    count
}
