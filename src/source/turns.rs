//! Calls to git servers, of all syncs of an agent together. A commit to a repository of a hundred syncs, and the
//! start of an agent that has as many, are no reason to open a hundred connections to one server.

use crate::config::Source;
use crate::limit::{Limiter, Permit};

/// Calls at once to servers that answer, and those to one server.
const CALLS: usize = 8;
const CALLS_TO_ONE: usize = 4;
/// Calls at once to one server by syncs whose last call took long and gave nothing.
const SLOW_TO_ONE: usize = 2;

/// Turns to call git servers. Clones share them.
#[derive(Clone, Debug)]
pub struct Turns {
    answered: Limiter,
    /// They wait among themselves, so that a server or a repository that hangs keeps nobody else waiting for long.
    slow: Limiter,
    until_ended: bool,
}

impl Default for Turns {
    /// Those of syncs.
    fn default() -> Self {
        let slow = Limiter::new(usize::MAX, SLOW_TO_ONE);
        Self { answered: Limiter::new(CALLS, CALLS_TO_ONE), slow, until_ended: false }
    }
}

impl Turns {
    /// Those of remote bases. Each fetch of one is a repository of its own, of which nobody knows that it hung before. So
    /// a call that is given up keeps its turn until its thread has ended: a server that hangs has no more threads than
    /// there are turns for it, and bases of other servers, which the configuration names one by one, do not wait for it.
    #[must_use]
    pub fn of_bases() -> Self {
        let all = Limiter::new(usize::MAX, CALLS_TO_ONE);
        Self { answered: all.clone(), slow: all, until_ended: true }
    }

    /// Whether a call that is given up keeps its turn until its thread has ended.
    pub(super) fn until_ended(&self) -> bool {
        self.until_ended
    }

    pub(super) async fn turn(&self, server: &str, slow: bool) -> Permit {
        let turns = if slow { &self.slow } else { &self.answered };
        turns.place(server).await
    }
}

/// Host and port that a source is read from; nothing where it is read from disk.
pub(super) fn server(source: &Source) -> String {
    if let Ok(url) = url::Url::parse(&source.url) {
        let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        return url.host_str().map(|host| format!("{}{port}", host.to_lowercase())).unwrap_or_default();
    }
    // `git@host:path`
    let host = source.url.split_once('@').and_then(|(_, rest)| Some(rest.split_once(':')?.0));
    host.map(str::to_lowercase).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reference;

    #[test]
    fn repositories_of_one_server_share_its_turns() {
        let of = |url: &str| {
            server(&Source { url: url.into(), reference: Reference::Branch("main".into()), auth: None, verify: None })
        };
        for (one, other) in [
            ("https://git.example.com/a.git", "https://bob:secret@GIT.example.com:443/b.git"),
            ("git@git.example.com:a.git", "deploy@Git.example.com:b.git"),
            ("file:///srv/a.git", "file:///srv/b.git"),
        ] {
            assert_eq!(of(one), of(other));
        }
        assert_ne!(of("http://127.0.0.1:3000/a.git"), of("http://127.0.0.1:3001/a.git"));
    }
}
