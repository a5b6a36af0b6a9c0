//! Reading live objects: one LIST a kind, and single reads of what that did not show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::client::Call;
use super::health::health_of;
use super::{ApiError, Cluster, Discovery, Followed, Live, Resource, has_health};
use crate::object::{GroupKind, Health, Managers, ObjectId, Observed, Unreadable, entries, names};

pub(super) const JSON: &str = "application/json";
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Kinds, or single objects, that are read at once.
const AT_ONCE: usize = 16;
/// With more objects of a kind to read in one namespace than this, one LIST is cheaper.
const SINGLE_READS: usize = 4;

/// What has to be known of the cluster for one plan.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Declared objects and those of the inventory.
    pub ids: BTreeSet<ObjectId>,
    /// Those that git does not declare: each is asked for by itself before it counts as gone.
    pub orphans: BTreeSet<ObjectId>,
    /// The API version in which git declares a kind.
    pub versions: BTreeMap<GroupKind, Arc<str>>,
}

/// The live objects, as far as they could be read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of the wanted objects, those that were seen to exist.
    pub observed: BTreeMap<ObjectId, Observed>,
    /// What could not be read, and why. A wanted object in it that was not seen may exist.
    pub unreadable: Unreadable,
    /// A kind is served no longer where discovery has it: discovery is to be asked anew.
    pub outdated: bool,
}

/// One LIST or single read that is to be done.
enum Read<'a> {
    Members(&'a GroupKind, &'a Resource, BTreeSet<&'a str>),
    Namespace(&'a GroupKind, &'a Resource, Option<&'a str>),
    Single(&'a ObjectId, &'a Resource),
}

/// What one read has shown.
#[derive(Default)]
struct Shown {
    objects: Vec<Observed>,
    /// Namespaces in which that kind may not be listed.
    refused: Vec<(Arc<str>, String)>,
}

impl From<Vec<Observed>> for Shown {
    fn from(objects: Vec<Observed>) -> Self {
        Self { objects, refused: Vec::new() }
    }
}

impl Cluster {
    /// Reads the live state of objects. `set` is the `ApplySet` id whose members are listed first,
    /// kind by kind. `live` are the watches of the same set: they are made to follow the wanted
    /// kinds, and a kind whose watch stands is not listed.
    ///
    /// # Errors
    /// The API server does not answer. A kind that may not be read is no error of the whole.
    pub async fn see(
        &self,
        discovery: &Discovery,
        wanted: &Wanted,
        set: &str,
        live: Option<&Live>,
    ) -> Result<Seen, ApiError> {
        let mut seen = Seen::default();
        let mut kinds: BTreeMap<&GroupKind, Vec<&ObjectId>> = BTreeMap::new();
        for id in &wanted.ids {
            kinds.entry(&id.gk).or_default().push(id);
        }
        let mut resources = BTreeMap::new();
        let mut vanished = Vec::new();
        for (gk, ids) in &kinds {
            let declared = wanted.versions.get(*gk).and_then(|version| discovery.resource(gk, version));
            match declared.or_else(|| discovery.preferred(gk)).filter(|resource| resource.listable) {
                Some(resource) => {
                    resources.insert(*gk, resource);
                }
                // A kind that does not exist (yet) has no objects; one whose API is down may have.
                None => match discovery.unreachable(gk) {
                    Some(why) => seen.unreadable.insert((*gk).clone(), None, why),
                    // An orphan may be alive although git brings the kind along.
                    None if !wanted.versions.contains_key(*gk) || ids.iter().any(|id| wanted.orphans.contains(*id)) => {
                        vanished.push(*gk);
                    }
                    None => {}
                },
            }
        }
        if !vanished.is_empty() {
            self.recheck_vanished(&vanished, &mut seen).await?;
        }
        if let Some(live) = live {
            let followed = |(gk, resource): (&&GroupKind, &&Resource)| {
                let namespaces = kinds[*gk].iter().filter_map(|id| id.namespace.clone()).collect();
                ((*gk).clone(), Followed { resource: (*resource).clone(), namespaces })
            };
            live.follow(resources.iter().map(followed).collect()).await;
        }
        let mut reads = Vec::new();
        for (gk, resource) in &resources {
            if let Some(members) = live.and_then(|live| live.members(gk)) {
                seen.observed.extend(members.into_iter().map(|live| (live.id.clone(), live)));
            } else {
                let namespaces = kinds[*gk].iter().filter_map(|id| id.namespace.as_deref()).collect();
                reads.push(Read::Members(gk, resource, namespaces));
            }
        }
        self.execute(reads, set, &mut seen).await?;
        let reads = missing(&kinds, &resources, &wanted.orphans, &seen);
        self.execute(reads, set, &mut seen).await?;
        seen.observed.retain(|id, _| wanted.ids.contains(id));
        Ok(seen)
    }

    /// Kinds of the inventory that discovery does not know: their objects are gone if their CRD is.
    /// A server that is starting knows its CRDs before it serves what they define.
    async fn recheck_vanished(&self, vanished: &[&GroupKind], seen: &mut Seen) -> Result<(), ApiError> {
        let definitions = Resource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            ..Resource::core("customresourcedefinitions", false)
        };
        let path = definitions.collection(None);
        let call = Call { verb: "list", method: Method::GET, path, accept: JSON, body: None };
        match self.call(&call).await {
            Ok(list) => {
                let crds = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                for gk in vanished.iter().filter(|gk| crds.iter().any(|crd| defines(crd, gk))) {
                    let why = "its CRD exists, but the API server does not serve it";
                    seen.unreadable.insert((*gk).clone(), None, why.into());
                }
                Ok(())
            }
            Err(error) if error.code().is_some() => {
                let why = format!("it is unknown whether its CRD still exists: {error}");
                for gk in vanished {
                    seen.unreadable.insert((*gk).clone(), None, why.clone());
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn execute(&self, reads: Vec<Read<'_>>, set: &str, seen: &mut Seen) -> Result<(), ApiError> {
        let selector = format!("{}={set}", names::PART_OF);
        let mut asked = Vec::with_capacity(reads.len());
        for read in reads {
            asked.push(self.ask(read, &selector));
        }
        let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some((read, answer)) = answers.next().await {
            let (gk, place) = match &read {
                Read::Members(gk, ..) => (*gk, None),
                Read::Namespace(gk, _, namespace) => (*gk, namespace.map(Arc::from)),
                Read::Single(id, _) => (&id.gk, id.namespace.clone()),
            };
            match answer {
                Ok(shown) => {
                    seen.observed.extend(shown.objects.into_iter().map(|live| (live.id.clone(), live)));
                    for (namespace, why) in shown.refused {
                        seen.unreadable.insert(gk.clone(), Some(namespace), why);
                    }
                }
                Err(error) if error.code().is_some() => {
                    seen.outdated |= error.is_not_served();
                    let place = place.filter(|_| error.is_forbidden());
                    seen.unreadable.insert(gk.clone(), place, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn ask<'a>(&self, read: Read<'a>, selector: &str) -> (Read<'a>, Result<Shown, ApiError>) {
        let answer = match &read {
            Read::Members(gk, resource, namespaces) => self.members(gk, resource, namespaces, selector).await,
            Read::Namespace(gk, resource, namespace) => {
                self.list(gk, resource, *namespace, None).await.map(|listed| listed.objects.into())
            }
            Read::Single(id, resource) => {
                self.read_one(id, resource).await.map(|live| live.into_iter().collect::<Vec<_>>().into())
            }
        };
        (read, answer)
    }

    /// The members of the set: of all namespaces, or of each where only that is allowed. A namespace
    /// in which it is not allowed keeps nobody from knowing the others.
    async fn members(
        &self,
        gk: &GroupKind,
        resource: &Resource,
        namespaces: &BTreeSet<&str>,
        selector: &str,
    ) -> Result<Shown, ApiError> {
        match self.list(gk, resource, None, Some(selector)).await {
            Err(error) if error.is_forbidden() && resource.namespaced => {
                let mut shown = Shown::default();
                for namespace in namespaces {
                    match self.list(gk, resource, Some(namespace), Some(selector)).await {
                        Ok(listed) => shown.objects.extend(listed.objects),
                        Err(error) if error.is_forbidden() => {
                            shown.refused.push(((*namespace).into(), error.to_string()));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(shown)
            }
            answer => answer.map(|listed| listed.objects.into()),
        }
    }

    /// One object, reduced; `None` when there is none.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn read_one(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Observed>, ApiError> {
        let accept = if has_health(&id.gk) { JSON } else { METADATA };
        let call = Call { verb: "get", method: Method::GET, path: resource.path(id), accept, body: None };
        match self.call(&call).await {
            Ok(object) => Ok(reduce(&id.gk, resource.namespaced, &object, self.managers(), Timestamp::now())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One object whole; `None` when there is none.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn read(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Value>, ApiError> {
        let call = Call { verb: "get", method: Method::GET, path: resource.path(id), accept: JSON, body: None };
        match self.call(&call).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the server can have an object of this name (`ValidatePathSegmentName`). Asking for
/// another one would be asking for another API; its apply says what is wrong with it.
fn can_exist(id: &ObjectId) -> bool {
    let segment = |text: &str| !matches!(text, "" | "." | "..") && !text.contains(['/', '%']);
    segment(&id.name) && id.namespace.as_deref().is_none_or(segment)
}

fn defines(crd: &Value, gk: &GroupKind) -> bool {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
    text("/spec/group") == Some(&*gk.group) && text("/spec/names/kind") == Some(&*gk.kind)
}

/// What the LIST by label did not show: objects that do not exist, or carry another label or none.
fn missing<'a>(
    kinds: &BTreeMap<&'a GroupKind, Vec<&'a ObjectId>>,
    resources: &BTreeMap<&'a GroupKind, &'a Resource>,
    orphans: &BTreeSet<ObjectId>,
    seen: &Seen,
) -> Vec<Read<'a>> {
    let mut reads = Vec::new();
    let mut places: BTreeMap<(&GroupKind, Option<&str>), Vec<&ObjectId>> = BTreeMap::new();
    for (gk, ids) in kinds {
        if !resources.contains_key(*gk) {
            continue;
        }
        let known = |id: &ObjectId| seen.observed.contains_key(id) || seen.unreadable.of(id).is_some();
        for id in ids.iter().filter(|id| can_exist(id) && !known(id)) {
            // What is not there is forgotten, and a LIST may come from a cache that lags: a GET does not.
            if let Some(resource) = resources.get(*gk).filter(|_| orphans.contains(*id)) {
                reads.push(Read::Single(id, resource));
                continue;
            }
            places.entry((gk, id.namespace.as_deref())).or_default().push(id);
        }
    }
    for ((gk, namespace), ids) in places {
        let Some(resource) = resources.get(gk) else { continue };
        if ids.len() > SINGLE_READS {
            reads.push(Read::Namespace(gk, resource, namespace));
        } else {
            reads.extend(ids.into_iter().map(|id| Read::Single(id, resource)));
        }
    }
    reads
}

/// Reduces a live object, or its metadata alone, to what is kept of it.
#[must_use]
pub fn reduce(
    gk: &GroupKind,
    namespaced: bool,
    object: &Value,
    managers: &Managers,
    now: Timestamp,
) -> Option<Observed> {
    let metadata = object.get("metadata")?;
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    let namespace = text("namespace").filter(|_| namespaced).map(Into::into);
    let id = ObjectId { gk: gk.clone(), namespace, name: text("name")?.into() };
    let state = if has_health(gk) { health_of(gk, object, now) } else { metadata_health(gk, object, now) };
    let finished = gk.is("batch", "Job") && is_finished(object);
    let headless = gk.is("", "Service")
        && object.pointer("/spec/clusterIP").is_some_and(|address| address == "None")
        && entries(object).iter().any(|entry| {
            let address = || entry.fields()?.root().field("spec")?.field("clusterIP");
            entry.is_ours() && address().is_some()
        });
    Some(Observed { finished, headless, ..Observed::from_metadata(id, metadata, state, managers)? })
}

/// Whether a Job has run to its end (batch/v1: the conditions Complete and Failed are final).
fn is_finished(job: &Value) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let ended = |condition: &Value| {
        condition["status"] == "True" && matches!(condition["type"].as_str(), Some("Complete" | "Failed"))
    };
    conditions.is_some_and(|conditions| conditions.iter().any(ended))
}

/// The health of a kind that has none of its own: there, or on its way out.
fn metadata_health(gk: &GroupKind, object: &Value, now: Timestamp) -> Health {
    if object.pointer("/metadata/deletionTimestamp").is_some() { health_of(gk, object, now) } else { Health::current() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_name_is_not_asked_for() {
        let named = |namespace, name| can_exist(&ObjectId::new("", "ConfigMap", namespace, name));
        assert!(named(Some("shop"), "a") && named(None, "system:a b"));
        assert!(!named(Some("shop"), "a/b") && !named(None, "..") && !named(Some("a/b"), "c"));
    }
}
