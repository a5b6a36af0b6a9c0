//! `driftless check`: whether everything is there that syncing needs.

mod permissions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::paint::Paint;
use super::plan::{defined, scope};
use super::render::{read_signed, view};
use super::session::{json, print, yaml};
use super::{CliError, Common, OutputFormat, Session};
use crate::agent::{Helpers, RenderingError};
use crate::cluster::{ApiError, Cluster, Discovery, RbacRule, Resource, with_causes};
use crate::config::{SandboxMode, SourceAuth, SyncConfig};
use crate::object::{DigestKey, Displayed, GroupKind, ObjectId};
use crate::plan::{Definitions, Reserved, resolve, unorderable};
use crate::reconcile::RenderedCommit;
use crate::sandbox::{Helper, support};
use permissions::{Missing, Needed, table};

/// What a sync does with the objects of a kind.
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 2] = ["create", "patch"];

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
    /// Permissions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
}

impl Finding {
    fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, detail: detail.into(), missing: Vec::new() }
    }

    fn bad(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: false, detail: detail.into(), missing: Vec::new() }
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
        findings.push(permissions(cluster, "the agent", own(&session, cluster).await).await);
    }
    findings.extend(helpers(&session).await);
    let mut readings = Vec::new();
    for sync in &session.config.syncs {
        let view = match &cluster {
            Some((cluster, discovery)) => Some(view(&session, cluster, sync, discovery).await?),
            None => None,
        };
        let (reading, signer) = match read_signed(&session, sync, None, view.as_ref()).await {
            Ok((rendered, signer)) => (Ok(rendered), signer),
            Err(error) => (Err(error), None),
        };
        readings.push((sync, reading, signer));
    }
    // What another sync installs counts as being there.
    let defined = defined(readings.iter().filter_map(|(_, reading, _)| reading.as_ref().ok()));
    let crds = installed(readings.iter().filter_map(|(_, reading, _)| reading.as_ref().ok()));
    for (sync, reading, signer) in &readings {
        match reading {
            Err(CliError::Render(error)) if !matches!(**error, RenderingError::Source(_)) => {
                findings.push(Finding::bad(format!("sync {}: render", sync.name), with_causes(error)));
            }
            Err(error) => findings.push(Finding::bad(format!("sync {}: git", sync.name), with_causes(error))),
            Ok(rendered) => {
                let signed = signer.as_ref().map(|signer| format!(", signed by {signer}")).unwrap_or_default();
                let (commit, has) = (rendered.commit.short(), objects_in(rendered.manifests.len()));
                let detail = format!("commit {commit} has {has}{signed}");
                findings.push(Finding::good(format!("sync {}: git", sync.name), detail));
                let discovery = cluster.as_ref().map(|(_, discovery)| discovery);
                findings.extend(manifests(sync, rendered, discovery, &defined, &session.reserved([])));
                if let Some((cluster, discovery)) = &cluster {
                    findings.extend(objects(cluster, discovery, &crds, sync, rendered).await?);
                }
            }
        }
    }
    let good = findings.iter().all(|finding| finding.ok);
    match common.output {
        OutputFormat::Json => print(&json(&findings)?)?,
        OutputFormat::Yaml => print(&yaml(&findings)?)?,
        OutputFormat::Text | OutputFormat::Markdown => print(&text(&findings))?,
    };
    Ok(u8::from(!good))
}

fn objects_in(count: usize) -> String {
    format!("{count} object{}", if count == 1 { "" } else { "s" })
}

/// The helpers, and what confines them here. Their absence is no fault where nothing needs them: a sync that does says so.
async fn helpers(session: &Session) -> [Finding; 3] {
    let support = support();
    let required = session.config.syncs.iter().any(|sync| sync.render.sandbox == SandboxMode::Required);
    let mode = if required { SandboxMode::Required } else { SandboxMode::BestEffort };
    let confined = match support.missing() {
        None => support.to_string(),
        Some(missing) => format!("{support}; {missing} is missing"),
    };
    [
        helper(Helper::Renderer, mode, "renderer", "charts and overlays", "plain manifests only").await,
        helper(Helper::Decrypter, mode, "decrypter", "files encrypted by SOPS", "no encrypted files").await,
        Finding::good("sandbox", confined),
    ]
}

async fn helper(helper: Helper, mode: SandboxMode, what: &str, does: &str, without: &str) -> Finding {
    match Helpers::of_this_program().versions(helper, mode).await {
        Ok(versions) => {
            let named = versions.libraries.iter().map(|(library, version)| format!("{library} {version}"));
            Finding::good(what, format!("{does} by {}", named.collect::<Vec<_>>().join(", ")))
        }
        Err(error) if error.is_not_found() => Finding::good(what, format!("{without}: {}", with_causes(&error))),
        Err(error) => Finding::bad(what, with_causes(&error)),
    }
}

/// What the agent needs for itself, whatever it syncs.
async fn own(session: &Session, cluster: &Cluster) -> Needed {
    let home = &*session.namespace;
    let mut needed = Needed::default();
    let every = READ.into_iter().chain(WRITE).chain(["delete"]);
    needed.require(every.map(|verb| RbacRule::new(verb, "", "configmaps", Some(home))));
    needed.require(["get", "create"].map(|verb| RbacRule::new(verb, "", "secrets", Some(home))));
    // Else a change of one is noticed later.
    for name in named_secrets(session) {
        let watch = |verb| RbacRule { name: Some(name.to_string()), ..RbacRule::new(verb, "", "secrets", Some(home)) };
        needed.prefer(["list", "watch"].map(watch));
    }
    // Nothing but the Events themselves depends on this.
    needed.prefer(WRITE.map(|verb| RbacRule::new(verb, "events.k8s.io", "events", Some(home))));
    if session.config.leader_election {
        let leases = |verb| RbacRule::new(verb, "coordination.k8s.io", "leases", Some(home));
        needed.require(["get", "create", "update"].map(leases));
    }
    let id = ObjectId::new("", "Namespace", None, home);
    if matches!(cluster.read_one(&id, &Resource::core("namespaces", false)).await, Ok(None)) {
        needed.require([RbacRule::new("create", "", "namespaces", None)]);
    }
    needed
}

/// The Secrets of the agent's namespace that its syncs read, each once.
fn named_secrets(session: &Session) -> BTreeSet<Arc<str>> {
    let of_sync = |sync: &Arc<SyncConfig>| {
        let render = sync.render.read_in_cluster().into_iter().filter(|source| source.kind.is_secret());
        let auth = match &sync.source.auth {
            Some(SourceAuth::Secret(name)) => Some(Arc::clone(name)),
            _ => None,
        };
        render.map(|source| source.name).chain(auth).collect::<Vec<_>>()
    };
    session.config.syncs.iter().flat_map(of_sync).collect()
}

fn manifests(
    sync: &SyncConfig,
    rendered: &RenderedCommit,
    discovery: Option<&Discovery>,
    defined: &Definitions,
    reserved: &Reserved,
) -> Vec<Finding> {
    let mut problems = rendered.problems.clone();
    if let Some(discovery) = discovery {
        let target = sync.target_namespace.as_deref();
        let resolved = resolve(&rendered.manifests, target, &DigestKey::new([0; 32]), reserved, &|gk, version| {
            scope(discovery, defined, gk, version)
        });
        problems.extend(unorderable(&resolved.desired));
        problems.extend(resolved.problems);
    }
    let what = format!("sync {}: manifests", sync.name);
    problems.iter().map(|problem| Finding::bad(&*what, problem.to_string())).collect()
}

/// The resources of the kinds that are going to be there.
fn installed<'a>(renderings: impl Iterator<Item = &'a RenderedCommit>) -> BTreeMap<GroupKind, Resource> {
    let crds = renderings.flat_map(|rendered| &rendered.manifests).filter_map(|manifest| {
        let (gk, namespaced) = manifest.defines()?;
        let plural = manifest.to_value().pointer("/spec/names/plural")?.as_str()?.to_owned();
        let resource = Resource { group: gk.group.to_string(), ..Resource::core(&plural, namespaced) };
        Some((gk, resource))
    });
    crds.collect()
}

/// What a sync needs for its objects, in the name of its service account where it has one, and what
/// the agent needs for that sync.
async fn objects(
    cluster: &Cluster,
    discovery: &Discovery,
    crds: &BTreeMap<GroupKind, Resource>,
    sync: &Arc<SyncConfig>,
    rendered: &RenderedCommit,
) -> Result<Vec<Finding>, CliError> {
    let (mut needed, mut agents) = (Needed::default(), Needed::default());
    let mut spaces = BTreeSet::new();
    for manifest in &rendered.manifests {
        let known = discovery.resource(&manifest.id.gk, &manifest.version).or_else(|| crds.get(&manifest.id.gk));
        let Some(resource) = known else { continue };
        let target = sync.target_namespace.as_deref().unwrap_or("default");
        let namespace = resource.namespaced.then(|| manifest.id.namespace.as_deref().unwrap_or(target));
        // An Event about an object outside of all namespaces is in the default one.
        spaces.insert(namespace.unwrap_or("default").to_owned());
        let deletes = sync.prune.enabled || manifest.directives.replace;
        let verbs = READ.into_iter().chain(WRITE).chain(deletes.then_some("delete"));
        needed.require(verbs.map(|verb| RbacRule::new(verb, &resource.group, &resource.plural, namespace)));
    }
    for space in &spaces {
        agents.prefer(WRITE.map(|verb| RbacRule::new(verb, "events.k8s.io", "events", Some(space))));
    }
    let mut whose = format!("sync {}", sync.name);
    let mut findings = Vec::new();
    if let Some(account) = &sync.service_account {
        let name = Some(account.name.to_string());
        let impersonate =
            RbacRule { name, ..RbacRule::new("impersonate", "", "serviceaccounts", Some(&account.namespace)) };
        agents.require([impersonate]);
        let own = permissions(cluster, &format!("the agent for {whose}"), agents).await;
        whose = format!("{whose} as {}", account.user());
        let blocked = !own.ok;
        findings.push(own);
        if blocked {
            let why = "not asked for, since the agent may not act as this account";
            findings.push(Finding::bad(format!("permissions of {whose}"), why));
            return Ok(findings);
        }
    } else {
        findings.push(permissions(cluster, &format!("the agent for {whose}"), agents).await);
    }
    let cluster = cluster.impersonating(sync.service_account.as_ref())?;
    findings.push(permissions(&cluster, &whose, needed).await);
    Ok(findings)
}

async fn permissions(cluster: &Cluster, whose: &str, needed: Needed) -> Finding {
    let what = format!("permissions of {whose}");
    let missing: Result<Vec<Missing>, ApiError> = needed.missing(cluster).await;
    let missing = match missing {
        Ok(missing) => missing,
        Err(error) => return Finding::bad(what, format!("could not be asked for: {error}")),
    };
    let count = needed.len();
    let lacks: usize = missing.iter().map(|one| one.verbs.len()).sum();
    let ok = missing.iter().all(|one| !one.required);
    let detail = match (lacks, ok) {
        (0, _) => format!("all {count} are granted"),
        (lacks, true) => format!("{lacks} of {count} are missing, none of them required"),
        (lacks, false) => format!("{lacks} of {count} are missing"),
    };
    Finding { what, ok, detail, missing }
}

fn text(findings: &[Finding]) -> String {
    let paint = Paint::stdout();
    let mut out = String::new();
    for finding in findings {
        let mark = if finding.ok { paint.green("ok   ") } else { paint.red("wrong") };
        out += &format!("{mark}  {}: {}\n", finding.what, Displayed(&finding.detail));
        if !finding.missing.is_empty() {
            out += &table(&finding.missing);
        }
    }
    out
}
