//! `driftless check`: whether everything is there that syncing needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use serde::Serialize;

use super::paint::Paint;
use super::plan::{defined, scope};
use super::render::read;
use super::session::{json, print, yaml};
use super::{CliError, Common, Output, Session};
use crate::cluster::{Access, Cluster, Discovery};
use crate::config::SyncConfig;
use crate::object::{DigestKey, GroupKind, Harmless, Scope};
use crate::plan::{resolve, waves};
use crate::reconcile::RenderedCommit;

/// Permission questions that are under way at once.
const AT_ONCE: usize = 8;
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
}

impl Finding {
    fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, detail: detail.into() }
    }

    fn bad(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: false, detail: detail.into() }
    }
}

pub(super) async fn check(common: &Common) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let syncs = session.config.syncs.len();
    let mut findings = vec![Finding::good(
        "configuration",
        format!("{} has {syncs} sync{}", common.config.display(), if syncs == 1 { "" } else { "s" }),
    )];
    let cluster = match session.connect(None).await {
        Ok(cluster) => match cluster.discover().await {
            Ok(discovery) => {
                findings.push(Finding::good("cluster", "the API server answers"));
                Some((cluster, discovery))
            }
            Err(error) => {
                findings.push(Finding::bad("cluster", error.to_string()));
                None
            }
        },
        Err(error) => {
            findings.push(Finding::bad("cluster", error.to_string()));
            None
        }
    };
    if let Some((cluster, _)) = &cluster {
        let own = own_access(&session.namespace);
        findings.push(permissions(cluster, "the agent's own state", own).await);
    }
    let mut readings = Vec::new();
    for sync in &session.config.syncs {
        readings.push((sync, read(&session, sync, None).await));
    }
    // What another sync installs counts as being there.
    let defined = defined(readings.iter().filter_map(|(_, reading)| reading.as_ref().ok()));
    for (sync, reading) in &readings {
        match reading {
            Err(error) => findings.push(Finding::bad(format!("sync {}: git", sync.name), error.to_string())),
            Ok(rendered) => {
                let detail = format!("commit {} has {} objects", rendered.commit.short(), rendered.manifests.len());
                findings.push(Finding::good(format!("sync {}: git", sync.name), detail));
                findings.extend(manifests(sync, rendered, cluster.as_ref().map(|(_, discovery)| discovery), &defined));
                if let Some((cluster, discovery)) = &cluster {
                    findings.push(objects(cluster, discovery, sync, rendered).await?);
                }
            }
        }
    }
    let good = findings.iter().all(|finding| finding.ok);
    match common.output {
        Output::Json => print(&json(&findings)?)?,
        Output::Yaml => print(&yaml(&findings)?)?,
        Output::Text | Output::Markdown => print(&text(&findings))?,
    };
    Ok(u8::from(!good))
}

/// What the agent needs for parents and key, whatever it syncs.
fn own_access(namespace: &str) -> BTreeSet<Access> {
    let access = |verb, resource: &str| Access {
        verb,
        group: String::new(),
        resource: resource.into(),
        namespace: Some(namespace.into()),
    };
    let parents = ["get", "list", "watch", "create", "patch", "delete"].map(|verb| access(verb, "configmaps"));
    let key = ["get", "create"].map(|verb| access(verb, "secrets"));
    parents.into_iter().chain(key).collect()
}

fn manifests(
    sync: &SyncConfig,
    rendered: &RenderedCommit,
    discovery: Option<&Discovery>,
    defined: &BTreeMap<GroupKind, Scope>,
) -> Vec<Finding> {
    let mut problems = rendered.problems.clone();
    if let Some(discovery) = discovery {
        let target = sync.target_namespace.as_deref();
        let resolved = resolve(&rendered.manifests, target, &DigestKey::new([0; 32]), &|gk, version| {
            scope(discovery, defined, gk, version)
        });
        problems.extend(waves(&resolved.desired).1);
        problems.extend(resolved.problems);
    }
    let what = format!("sync {}: manifests", sync.name);
    problems.iter().map(|problem| Finding::bad(&*what, problem.to_string())).collect()
}

/// What the sync needs for its objects, in the name of its service account.
async fn objects(
    cluster: &Cluster,
    discovery: &Discovery,
    sync: &Arc<SyncConfig>,
    rendered: &RenderedCommit,
) -> Result<Finding, CliError> {
    let mut needed = BTreeSet::new();
    for manifest in &rendered.manifests {
        let Some(resource) = discovery.resource(&manifest.id.gk, &manifest.version) else { continue };
        let target = || sync.target_namespace.as_deref().unwrap_or("default");
        let namespace = resource.namespaced.then(|| manifest.id.namespace.as_deref().unwrap_or_else(target).to_owned());
        for verb in VERBS {
            needed.insert(Access {
                verb,
                group: resource.group.clone(),
                resource: resource.plural.clone(),
                namespace: namespace.clone(),
            });
        }
    }
    let cluster = cluster.impersonating(sync.service_account.as_ref())?;
    Ok(permissions(&cluster, &format!("sync {}", sync.name), needed).await)
}

async fn permissions(cluster: &Cluster, whose: &str, needed: BTreeSet<Access>) -> Finding {
    let what = format!("permissions of {whose}");
    let count = needed.len();
    let mut asked = Vec::with_capacity(count);
    for access in needed {
        asked.push(cluster.may(access));
    }
    let mut missing = BTreeSet::new();
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((access, allowed)) = answers.next().await {
        match allowed {
            Ok(true) => {}
            Ok(false) => drop(missing.insert(access.to_string())),
            Err(error) => return Finding::bad(what, format!("could not be asked for: {error}")),
        }
    }
    if missing.is_empty() {
        return Finding::good(what, format!("all {count} are granted"));
    }
    Finding::bad(what, format!("missing: {}", missing.into_iter().collect::<Vec<_>>().join("; ")))
}

fn text(findings: &[Finding]) -> String {
    let paint = Paint::stdout();
    let mut out = String::new();
    for finding in findings {
        let mark = if finding.ok { paint.green("ok   ") } else { paint.red("wrong") };
        out += &format!("{mark}  {}: {}\n", finding.what, Harmless(&finding.detail));
    }
    out
}
