//! From the files of one commit to the objects they declare: YAML and JSON, many documents a
//! file, lists, each with the place where it stands. Errors belong to documents; the healthy
//! rest is returned. A function of the snapshot alone: no cluster, no clock, no disk.

mod ambiguous;
mod cache;
mod collect;
mod configuration;
mod duplicates;
mod file;
mod json;
mod naming;
mod split;
mod structure;
mod value;
mod yaml;

use std::fmt;
use std::sync::Arc;

pub use cache::Cache;

use crate::config::SyncConfig;
use crate::object::{Manifest, ObjectId, Readable};
use crate::source::{Refused, Snapshot};
use collect::Collector;
use split::Position;

/// What a rendering depends on beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of objects that name none; `None` is `default`. It decides here which
    /// objects are the same one, and is written into no manifest: only the API server knows
    /// which kinds are namespaced.
    pub target_namespace: Option<Arc<str>>,
    /// `None` where nobody applies it.
    pub applied_by: Option<AppliedBy>,
}

/// Which sync of which agent applies what is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedBy {
    /// The agent's own namespace.
    pub namespace: Arc<str>,
    pub sync: Arc<str>,
}

impl Settings {
    /// Those of a sync of the agent in a namespace.
    #[must_use]
    pub fn of(sync: &SyncConfig, namespace: &Arc<str>) -> Self {
        let applied_by = AppliedBy { namespace: Arc::clone(namespace), sync: sync.name.as_str().into() };
        Self { target_namespace: sync.target_namespace.clone(), applied_by: Some(applied_by) }
    }
}

/// What a snapshot declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// In the order of files, and of documents in them.
    pub manifests: Vec<Arc<Manifest>>,
    /// In the same order. Any error means that `manifests` may lack something that git declares,
    /// so nothing may be pruned by it.
    pub errors: Vec<RenderError>,
}

/// A file or a document that declares no object, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// Path relative to the repository's root.
    pub file: Arc<str>,
    /// Counted from 1; 0 where the error is about the whole file.
    pub line: u32,
    /// In characters, counted from 1; 0 where the error is about the whole document or file.
    pub column: u32,
    /// For people: on one line, without control characters, and without any value of a Secret.
    pub message: String,
    /// Where the document says as much.
    pub object: Option<ObjectId>,
}

/// `file:line:column: message`, without what is 0.
impl fmt::Display for RenderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Readable(&self.file).fmt(out)?;
        for place in [self.line, self.column].into_iter().filter(|place| *place > 0) {
            write!(out, ":{place}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for RenderError {}

/// Reads every manifest of a snapshot.
///
/// Two declarations of one object are an error that names both places, and neither is returned:
/// either could be the wrong one, and to apply the first would let the order of file names decide.
/// The live object stays as it is, since an error cancels pruning.
///
/// Time and memory are bounded for any content: see `collect` for counts, `node` for depth and
/// size, `yaml` for aliases.
#[must_use]
pub fn render(snapshot: &Snapshot, settings: &Settings) -> Rendered {
    let mut collector = Collector::default();
    for Refused { path, refusal } in &snapshot.refused {
        collector.refuse(path, Position::FILE, &refusal.to_string(), None);
    }
    for source in &snapshot.files {
        file::read(source, &mut collector);
        if collector.is_full() {
            break;
        }
    }
    let Rendered { manifests, errors } = configuration::refuse(collector.finish(), settings);
    duplicates::refuse(manifests, errors, settings)
}

#[cfg(test)]
mod tests;
