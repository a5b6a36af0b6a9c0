//! From the files of one commit to the objects they declare: YAML and JSON, many documents a
//! file, lists, each with the place where it stands. Errors belong to documents; the healthy
//! rest is returned. A function of the snapshot and of what else was read for it: no cluster, no
//! clock, no disk. Charts and overlays are rendered by the helper `driftless-renderer`, whose
//! request is made here and whose answer is read here.

mod ambiguous;
mod block;
mod cache;
mod collect;
mod configuration;
mod duplicates;
mod early;
mod encrypted;
mod error;
mod file;
mod hooks;
mod incoming;
mod inputs;
mod json;
mod naming;
mod reading;
mod request;
mod response;
mod restart;
mod split;
mod structure;
mod substitute;
mod taint;
mod value;
mod wants;
mod yaml;

use std::sync::Arc;

pub use cache::{Cache, RecordedRender};
pub use encrypted::{Format, is_encrypted, secrets};
pub use error::RenderError;
pub use incoming::Incoming;
pub use inputs::{Capabilities, ExtraValues, Inputs, LookupAnswer, LookupQuestion, Variable};
pub use request::{pack, request, write_input};
pub use response::{Response, ResponseError};

use crate::config::{RenderConfig, SyncConfig};
use crate::object::Manifest;
use crate::source::{Refused, Snapshot};
use collect::Collector;
use split::Position;
pub use taint::Secrets;
pub use wants::{Fetched, FetchedContent, NotPermitted, Permission, Want, WantKind, outdated_index, permitted};

/// What a rendering depends on beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The sync, which names the release of a chart.
    pub sync: Arc<str>,
    /// The namespace of objects that name none; `None` is `default`. It decides here which
    /// objects are the same one, and is written into no manifest: only the API server knows
    /// which kinds are namespaced.
    pub target_namespace: Option<Arc<str>>,
    /// `None` where nobody applies it.
    pub applied_by: Option<AppliedBy>,
    /// The key `render` of the sync.
    pub config: Arc<RenderConfig>,
}

/// Which sync of which agent applies what is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedBy {
    /// The agent's own namespace.
    pub namespace: Arc<str>,
    /// Name of the sync, as configured.
    pub sync: Arc<str>,
}

impl Settings {
    /// Those of a sync of the agent in a namespace.
    #[must_use]
    pub fn of(sync: &SyncConfig, namespace: &Arc<str>) -> Self {
        let name: Arc<str> = sync.name.as_str().into();
        let applied_by = AppliedBy { namespace: Arc::clone(namespace), sync: Arc::clone(&name) };
        Self {
            sync: name,
            target_namespace: sync.target_namespace.clone(),
            applied_by: Some(applied_by),
            config: Arc::clone(&sync.render),
        }
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
    /// What somebody should know who would not search for it: deprecated fields, hooks that are not run.
    pub warnings: Vec<String>,
    /// The cluster or another host was asked for something that decides about it.
    pub reads_outside_git: bool,
    /// What templates have asked of it.
    pub looked_up: Vec<LookupQuestion>,
    /// Why it may lack something that it would have at another time.
    pub incomplete: Option<String>,
}

/// Reads every manifest of a snapshot of plain manifests.
///
/// Two declarations of one object are an error that names both places, and neither is returned:
/// either could be the wrong one, and to apply the first would let the order of file names decide.
/// The live object stays as it is, since an error cancels pruning.
///
/// Time and memory are bounded for any content: see `collect` for counts, `node` for depth and
/// size, `yaml` for aliases.
#[must_use]
pub fn render(snapshot: &Snapshot, settings: &Settings, inputs: &Inputs) -> Rendered {
    let mut collector = Collector::default();
    for Refused { path, refusal } in &snapshot.refused {
        collector.refuse(path, Position::FILE, &refusal.to_string(), None);
    }
    let variables = settings.config.substitution.as_ref().map(|_| &inputs.variables);
    for source in &snapshot.files {
        file::read(source, variables, &mut collector);
        if collector.is_full() {
            break;
        }
    }
    finish(collector.finish(), settings, inputs)
}

/// What is done to all manifests, whichever renderer made them.
#[must_use]
pub fn finish(rendered: Rendered, settings: &Settings, inputs: &Inputs) -> Rendered {
    let reads_outside_git = inputs.reads_outside_git();
    let rendered = encrypted::refuse(rendered);
    let secrets = Secrets::new(&inputs.secrets());
    let rendered = hide_in_errors(taint::mark(rendered, &secrets), &secrets);
    let rendered = configuration::refuse(rendered, settings);
    let rendered = duplicates::refuse(rendered, settings);
    let rendered = restart::on_change(rendered, settings, inputs.key.as_ref());
    let looked_up = inputs.lookups.iter().map(|answer| answer.question.clone()).collect();
    let stale = inputs.capabilities.iter().flat_map(|known| &known.stale).next();
    let incomplete =
        stale.map(|api| format!("the API {api} does not answer, and the chart may leave out what it does not find"));
    Rendered { reads_outside_git, looked_up, incomplete, ..rendered }
}

/// Errors and warnings are for everybody, and may repeat what they do not like.
fn hide_in_errors(mut rendered: Rendered, secrets: &Secrets) -> Rendered {
    if !secrets.is_empty() {
        for error in &mut rendered.errors {
            error.message = secrets.hide(&error.message);
        }
        for warning in &mut rendered.warnings {
            *warning = secrets.hide(warning);
        }
    }
    rendered
}

#[cfg(test)]
mod tests;
