//! A remote with a data directory of its own, and what is asked of its snapshots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use driftless::config::{DriftPolicy, PrunePolicy, Reference, RepoPath, Source, SyncConfig, SyncName};
use driftless::object::Commit;
use driftless::source::{GitRemote, Limits, Refusal, Refused, Remote, Snapshot, SourceError};
use tempfile::TempDir;

use crate::support::git::TestRepo;

pub(super) fn sync(url: &str, reference: Reference, path: &str) -> SyncConfig {
    SyncConfig {
        name: SyncName::parse("shop").unwrap(),
        source: Source { url: url.into(), reference, auth: None, verify: None },
        path: RepoPath::parse(path).unwrap(),
        interval: Duration::from_mins(1),
        prune: PrunePolicy::default(),
        drift: DriftPolicy::default(),
        managers: Arc::default(),
        atomic: false,
        wait: true,
        timeout: Duration::from_mins(1),
        depends_on: Vec::new(),
        suspend: false,
        service_account: None,
        target_namespace: None,
        render: std::sync::Arc::default(),
        audit: driftless::config::AuditPolicy::default(),
    }
}

pub(super) fn branch(name: &str) -> Reference {
    Reference::Branch(name.into())
}

pub(super) fn semver(range: &str) -> Reference {
    Reference::Semver(range.parse().unwrap())
}

/// A remote with a data directory of its own.
pub(super) struct Agent {
    pub(super) data: TempDir,
    pub(super) sync: SyncConfig,
    pub(super) remote: GitRemote,
}

impl Agent {
    pub(super) fn new(url: &str, reference: Reference, path: &str) -> Self {
        Self::with_limits(url, reference, path, Limits::default())
    }

    pub(super) fn with_limits(url: &str, reference: Reference, path: &str, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let sync = sync(url, reference, path);
        let remote = GitRemote::new(&sync, data.path(), limits);
        Self { data, sync, remote }
    }

    pub(super) fn of(repo: &TestRepo) -> Self {
        Self::new(&repo.url(), branch("main"), "")
    }

    /// As after a restart: same data directory, nothing remembered.
    pub(super) fn restarted(self) -> Self {
        let remote = GitRemote::new(&self.sync, self.data.path(), Limits::default());
        Self { remote, ..self }
    }

    /// Poll, fetch, read.
    pub(super) fn pull(&self) -> Result<(Commit, Snapshot), SourceError> {
        let revision = self.remote.poll()?;
        let info = self.remote.fetch(&revision)?;
        assert_eq!(info.id, revision.commit);
        let snapshot = self.remote.snapshot(&info.id, &self.sync.path)?;
        assert_eq!(self.remote.tree(&info.id, &self.sync.path)?, snapshot.tree);
        Ok((info, snapshot))
    }

    pub(super) fn paths(&self) -> Vec<String> {
        paths(&self.pull().unwrap().1)
    }

    /// Why the snapshot is refused as a whole, or the only thing that it leaves out.
    pub(super) fn refusal(&self) -> Refusal {
        match self.pull() {
            Err(SourceError::Refused { refusal, .. }) => refusal,
            Ok((_, snapshot)) => left_out(&snapshot),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(super) fn clone_dir(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.data.path().join("git")).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    }

    pub(super) fn packs(&self) -> Vec<PathBuf> {
        files_ending(&self.clone_dir().join("objects/pack"), ".pack")
    }
}

/// The only thing that a snapshot leaves out.
pub(super) fn left_out(snapshot: &Snapshot) -> Refusal {
    match &*snapshot.refused {
        [Refused { refusal, .. }] => refusal.clone(),
        other => panic!("not one is left out: {other:?}"),
    }
}

pub(super) fn files_ending(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

pub(super) fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.files.iter().map(|file| file.path.to_string()).collect()
}

pub(super) fn content(snapshot: &Snapshot, path: &str) -> String {
    let file = snapshot.files.iter().find(|file| &*file.path == path).unwrap();
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

pub(super) fn truncate(path: &Path, bytes: u64) {
    // Packs are read-only.
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(path, permissions).unwrap();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}
