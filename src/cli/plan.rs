//! `driftless plan`: what would change, asked of the API server as a dry-run, or compared by what
//! is declared where the permission for that is missing.

mod report;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures::StreamExt as _;

use self::report::{StepPreview, SyncPlan, keep_what_waits};
pub(super) use self::text::inline;
use super::render::{read, view};
use super::session::{json, others, overdue_since, print, yaml};
use super::{CliError, Common, OutputFormat, Session};
use crate::agent::{bar_without_right, find_digest_key};
use crate::apply::{body, explain, leftovers, taking, trial, without_ignored};
use crate::cluster::{ApiError, Cluster, Discovery, DryRun, Taking, Wanted, with_causes};
use crate::config::{Config, DriftPolicy, SyncConfig};
use crate::inventory::{Parent, read_parents, set_id};
use crate::object::{
    Addition, DigestKey, Displayed, GroupKind, Scope, additions, blame_drift, owned_siblings, project, unowned_siblings,
};
use crate::plan::{
    Approved, Declaration, Definitions, Inventory, ObjectDiff, Others, PlanInput, Problem, Provenance, Replaceables,
    Reserved, Resolved, Step, Unsettled, brought_along, diff, never_changes, plan as decide, resolve, unorderable,
};
use crate::reconcile::{RenderedCommit, Takeable};

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// Only this sync
    #[arg(long, value_name = "NAME")]
    sync: Option<String>,
    /// A checkout on disk in place of the repository: what would change if it were pushed. Needs --sync where there
    /// are several
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// Show every line of every change
    #[arg(long)]
    full: bool,
}

/// Dry-runs that are under way at once.
const AT_ONCE: usize = 16;

/// What all syncs of one call have in common.
struct Survey {
    cluster: Cluster,
    discovery: Discovery,
    key: DigestKey,
    parents: BTreeMap<String, Parent>,
    namespace: Arc<str>,
    config: Config,
    reserved: Reserved,
}

pub(super) async fn plan(common: &Common, options: &PlanArguments) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let cluster = session.connect(None).await?;
    let syncs = session.syncs_for(options.sync.as_deref(), options.local.as_deref())?;
    let mut parents = BTreeMap::new();
    for parent in read_parents(&cluster, &session.namespace).await? {
        let parent = parent?;
        parents.insert(parent.sync.to_string(), parent);
    }
    // Without the key, every Secret appears changed by its digest, and the comparison by content decides.
    let random = || DigestKey::new(std::array::from_fn(|_| fastrand::u8(..)));
    let key = find_digest_key(&cluster, &session.namespace).await.ok().flatten().unwrap_or_else(random);
    let discovery = cluster.discover().await?;
    let reserved = session.reserved(parents.keys().map(|name| name.as_str().into()));
    let (namespace, config) = (Arc::clone(&session.namespace), session.config.clone());
    let survey = Survey { cluster, discovery, key, parents, namespace, config, reserved };
    let mut renderings = Vec::new();
    let mut unread = 0;
    for sync in &syncs {
        let view = view(&session, &survey.cluster, sync, &survey.discovery).await?;
        match read(&session, sync, options.local.as_deref(), Some(&view)).await {
            Ok(rendered) => renderings.push((Arc::clone(sync), rendered)),
            // The plans of the others are of use all the same.
            Err(error) => {
                eprintln!("error: sync {}: {}", sync.name, Displayed(&with_causes(&error)));
                unread += 1;
            }
        }
    }
    // What another sync of this call is going to install counts as being there.
    let defined = defined(renderings.iter().map(|(_, rendered)| rendered));
    let mut resolved = Vec::new();
    for (sync, rendered) in renderings {
        let placed = resolve(
            &rendered.manifests,
            sync.target_namespace.as_deref(),
            &survey.key,
            &survey.reserved,
            &|gk, version| scope(&survey.discovery, &defined, gk, version),
        );
        resolved.push((sync, rendered, placed));
    }
    let mut plans = Vec::new();
    for (index, (sync, rendered, placed)) in resolved.iter().enumerate() {
        let others = survey.others(sync, &resolved[..index], &resolved[index + 1..]);
        plans.push(survey.plan(sync, rendered, placed, others).await?);
    }
    let text = match common.output {
        OutputFormat::Text => text::text(&plans, options.full),
        OutputFormat::Markdown => text::markdown(&plans, options.full),
        OutputFormat::Json => json(&plans)?,
        OutputFormat::Yaml => yaml(&plans)?,
    };
    print(&text)?;
    Ok(if unread > 0 { 1 } else { code(&plans) })
}

/// 1: something cannot be used; 4: a prune would be held; 2: something changes, or could not be compared; 0.
fn code(plans: &[SyncPlan]) -> u8 {
    let any = |is: fn(&SyncPlan) -> bool| plans.iter().any(is);
    if any(|plan| !plan.problems.is_empty()) {
        1
    } else if any(|plan| plan.held.is_some()) {
        4
    } else {
        2 * u8::from(any(|plan| plan.changes() || plan.unread > 0))
    }
}

/// The kinds that CRDs among the manifests define.
pub(super) fn defined<'a>(renderings: impl Iterator<Item = &'a RenderedCommit>) -> Definitions {
    Definitions::of(renderings.flat_map(|rendered| &rendered.manifests))
}

/// The scope of a kind that is there, or is going to be.
pub(super) fn scope(discovery: &Discovery, defined: &Definitions, gk: &GroupKind, version: &str) -> Scope {
    defined.scope(gk, version, discovery.scope(gk, version))
}

type Placed = (Arc<SyncConfig>, RenderedCommit, Resolved);

impl Survey {
    fn set_id(&self, sync: &SyncConfig) -> String {
        set_id(&self.namespace, &sync.name)
    }

    /// The other syncs: what they declare now where that was read, else what they have applied.
    fn others(&self, sync: &SyncConfig, before: &[Placed], after: &[Placed]) -> Others {
        let mut others = others(&self.config, self.parents.values(), &sync.name);
        for (other, rendered, placed) in before.iter().chain(after) {
            let neighbour = others.syncs.entry(other.name.as_str().into()).or_default();
            neighbour.set_id = self.set_id(other);
            if other.suspend {
                neighbour.unsettled = Some(Unsettled::Suspended);
            }
            neighbour.acts = neighbour.unsettled.is_none();
            for stake in neighbour.objects.values_mut() {
                stake.declares = false;
            }
            let declaration = Declaration::of(placed, &rendered.problems, other.target_namespace.as_deref());
            // Only of one repository, nobody can say what has moved where.
            let same = other.source.is_same(&sync.source);
            others.declares(other.name.as_str(), declaration);
            if let Some(neighbour) = others.syncs.get_mut(other.name.as_str()) {
                neighbour.unsure &= same;
            }
        }
        others.reserved = self.reserved.clone();
        others
    }

    async fn plan(
        &self,
        sync: &SyncConfig,
        rendered: &RenderedCommit,
        resolved: &Resolved,
        mut others: Others,
    ) -> Result<SyncPlan, CliError> {
        let cluster = self.cluster.knowing(&sync.managers).impersonating(sync.service_account.as_ref())?;
        let parent = self.parents.get(sync.name.as_str());
        let empty = Inventory::new();
        let inventory = parent.map_or(&empty, |parent| &parent.inventory);
        let mut wanted = Wanted::default();
        for desired in &resolved.desired {
            wanted.versions.insert(desired.manifest.id.gk.clone(), Arc::clone(&desired.manifest.version));
            wanted.ids.insert(desired.manifest.id.clone());
        }
        let declared = wanted.ids.clone();
        wanted.ids.extend(inventory.keys().cloned());
        let set_id = self.set_id(sync);
        let seen = cluster.see(&self.discovery, &wanted, &set_id, None).await?;
        let orphans = seen.observed.values().filter(|live| !declared.contains(&live.id));
        let account = |name: &str| {
            let sync = self.config.syncs.iter().find(|sync| sync.name.as_str() == name)?;
            sync.service_account.clone()
        };
        let (cluster_of_all, known) = (&self.cluster, &mut Takeable::default());
        bar_without_right(cluster_of_all, &self.discovery, &mut others, orphans, account, known, Instant::now()).await;
        let mut problems: Vec<Problem> = rendered.problems.iter().chain(&resolved.problems).cloned().collect();
        problems.extend(unorderable(&resolved.desired));
        let broken = (!problems.is_empty()).then(|| format!("{} of the manifests cannot be used", problems.len()));
        let incomplete = broken.or_else(|| rendered.reads.incomplete.clone());
        let approval = parent.and_then(Parent::approval);
        let approved = approval.as_ref().map_or(Approved::Nothing, |approval| approval.at(&rendered.commit.id));
        let origin = parent.and_then(|parent| Provenance::stored(&parent.status));
        let source_change = origin.and_then(|origin| origin.change_to(&Provenance::of(sync, &rendered.rendering)));
        let input = PlanInput {
            set_id: &set_id,
            commit: &rendered.commit.id,
            desired: &resolved.desired,
            looked_up: &rendered.reads.looked_up,
            incomplete: incomplete.as_deref(),
            observed: &seen.observed,
            unreadable: &seen.unreadable,
            crds: &self.discovery.crds(),
            inventory,
            prune: &sync.prune,
            drift: sync.drift,
            approved,
            others: &others,
            source_change: source_change.as_deref(),
            deleted_early: &BTreeSet::new(),
            overdue_since: overdue_since(sync.timeout),
            replaceable: &Replaceables::new(),
        };
        let before = decide(&input);
        let mut asked = Vec::new();
        for step in before.steps.iter().filter(|step| step.applies()) {
            asked.push(self.ask(&cluster, step, &before.steps, &set_id, sync.drift));
        }
        let mut answers: Vec<StepPreview<'_>> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        // What can only be replaced shows with the answers, and the guard counts it.
        let proved = answers.iter_mut().filter_map(|answer| Some((answer.step.id.clone(), answer.replaceable.take()?)));
        let replaceable: Replaceables = proved.collect();
        let mut decided = decide(&PlanInput { replaceable: &replaceable, ..input });
        let mut report = SyncPlan {
            sync: sync.name.to_string(),
            commit: rendered.commit.short().to_owned(),
            subject: rendered.commit.subject.clone(),
            reference: sync.source.reference.to_string(),
            path: sync.path.to_string(),
            problems,
            notes: resolved.notes.iter().map(ToString::to_string).collect(),
            ..SyncPlan::default()
        };
        keep_what_waits(&mut decided, &answers, &input);
        report.held.clone_from(&decided.held);
        report.fill(&decided.steps, answers);
        let stored = parent.map(|parent| &parent.status.rewritten).into_iter().flatten();
        report.note_rewritten(&decided.steps, stored);
        Ok(report)
    }

    /// Finds out what applying one object would change.
    async fn ask<'a>(
        &self,
        cluster: &Cluster,
        step: &'a Step,
        steps: &[Step],
        set_id: &str,
        drift: DriftPolicy,
    ) -> StepPreview<'a> {
        let answer = |difference, by_declaration| StepPreview {
            step,
            difference,
            by_declaration,
            replaceable: None,
            blame: None,
            brought: None,
        };
        let Some(desired) = &step.desired else { return answer(Ok(None), false) };
        let made = |by_declaration| {
            answer(Ok(diff(None, Some(&body(desired, set_id, None)), desired.manifest.is_secret())), by_declaration)
        };
        let Some(resource) = self.discovery.resource(&step.id.gk, &desired.manifest.version) else {
            return made(false);
        };
        let mut before = match &step.live {
            Some(_) => match cluster.read(&step.id, resource).await {
                Ok(before) => before,
                Err(error) => return answer(Err(error.into()), false),
            },
            None => None,
        };
        let secret =
            before.as_ref().map_or(desired.manifest.is_secret(), |live| desired.manifest.is_secret_beside(live));
        let declared = body(desired, set_id, before.as_ref());
        let asked = trial(desired, set_id, before.as_ref());
        let live = before.clone().filter(|_| !desired.manifest.directives.ignore_fields.is_empty());
        if let Some(before) = &mut before {
            without_ignored(desired, live.as_ref(), before);
        }
        let (gk, managers) = (&step.id.gk, cluster.managers());
        let taking = step.live.as_ref().and_then(|live| taking(live, &step.reason, drift));
        let whole = live.as_ref().or(before.as_ref());
        let added = |live| match taking {
            Some(Taking::Additions) => additions(gk, live, managers, Some(&declared)),
            _ => Vec::new(),
        };
        let drifted = whole.filter(|_| step.reason.is_drift());
        let blame = drifted.map(|live| blame_drift(gk, &declared, live, managers, secret).0);
        let blame = blame.filter(|blame| !blame.fields.is_empty()).map(|blame| blame.to_string());
        let answer =
            |difference, by_declaration| StepPreview { blame: blame.clone(), ..answer(difference, by_declaration) };
        let by_content = |by_declaration, more: Vec<Addition>| match (&before, whole) {
            (Some(live), Some(whole)) => {
                let changed = diff(Some(&project(live, &declared)), Some(&declared), secret);
                let mut without = whole.clone();
                for addition in added(whole).iter().chain(&more) {
                    addition.path.remove(&mut without);
                }
                let removed = diff(Some(whole), Some(&without), secret);
                answer(Ok(both(changed, removed)), by_declaration)
            }
            _ => made(by_declaration),
        };
        let explained = async |error: ApiError| {
            if let Some(brought) = brought_along(&error.to_string(), &step.id, steps) {
                return StepPreview { brought: Some(brought.clone()), ..by_content(false, Vec::new()) };
            }
            let objections = error.objections();
            let mut siblings = whole.map(|live| owned_siblings(live, &declared, &objections)).unwrap_or_default();
            let unowned = whole.map(|live| unowned_siblings(live, &declared, &objections)).unwrap_or_default();
            siblings.extend(unowned.into_iter().map(|path| Addition { path, manager: "".into(), at: None }));
            match explain(cluster, step, desired, resource, set_id, error).await {
                Ok(replaceable) => StepPreview { replaceable, ..by_content(false, siblings) },
                Err(why) => answer(Err(why), false),
            }
        };
        if let Some(field) = never_changes(step) {
            return explained(ApiError::immutable(field)).await;
        }
        match cluster.apply(&step.id, resource, &asked, DryRun::Yes).await {
            Ok(mut applied) => {
                let takes = whole.zip(taking);
                let left = takes.and_then(|(live, taking)| leftovers(gk, live, &mut applied.object, managers, taking));
                if let Some(change) = left {
                    match cluster.try_change(&step.id, resource, &change).await {
                        Ok(object) => applied.object = object,
                        Err(error) => return explained(error).await,
                    }
                }
                without_ignored(desired, live.as_ref(), &mut applied.object);
                answer(Ok(diff(before.as_ref(), Some(&applied.object), secret)), false)
            }
            Err(error) if error.denied().is_some() => by_content(true, Vec::new()),
            // Its Namespace is created by the same commit.
            Err(error) if error.is_not_found() && brought_along(&error.to_string(), &step.id, steps).is_none() => {
                by_content(false, Vec::new())
            }
            Err(error) => explained(error).await,
        }
    }
}

/// What one change and another one make of an object.
fn both(one: Option<ObjectDiff>, other: Option<ObjectDiff>) -> Option<ObjectDiff> {
    let (Some(mut both), Some(other)) = (one.clone(), &other) else { return one.or(other) };
    both.lines.extend(other.lines.iter().cloned());
    both.fields.extend(other.fields.iter().cloned());
    Some(both)
}
