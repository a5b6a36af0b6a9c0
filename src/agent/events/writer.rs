//! Writing one Event after another. Nothing that goes wrong here holds up anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::events::Reporter;
use serde_json::{Value, json};

use super::SharedEvents;
use super::series::{Key, Series, WrittenEvent};
use crate::agent::Context;
use crate::cluster::{ApiError, Cluster, NewEvent};
use crate::config::SyncName;
use crate::event::{Event, SyncEvent};
use crate::inventory::Parent;
use crate::object::ObjectId;
use crate::telemetry::{About, KubeEvent};

/// Who reports, in `reportingController`.
const CONTROLLER: &str = "driftless.dev/agent";
/// Where an Event about an object outside of all namespaces goes, by convention.
const DEFAULT_NAMESPACE: &str = "default";
/// An Event is worth one more try, and no waiting for a server that does not answer.
const TRIES: u32 = 2;
/// In a namespace whose Events may not be written, the next one is tried after this.
const FORBIDDEN: Duration = Duration::from_mins(10);
/// Namespaces of which that is remembered.
const MOST_FORBIDDEN: usize = 1000;
/// Bytes of a name (`metav1.ObjectMeta`), less a point and the hexadecimal digits of a time.
const LONGEST_NAME: usize = 253 - 17;
/// Stands for a name that no Event can have: `system:node`.
const NAMELESS: &str = "driftless";
/// Bytes of `reportingInstance` (`ValidateEventCreate`).
const LONGEST_INSTANCE: usize = 128;

pub(super) struct Writer {
    context: Context,
    cluster: Cluster,
    shared: Arc<SharedEvents>,
    /// The name of the pod or of the machine.
    instance: String,
    series: Series,
    forbidden: BTreeMap<String, Instant>,
    /// The verbs whose lack was said.
    said: BTreeSet<&'static str>,
}

impl Writer {
    pub(super) fn new(context: Context, shared: Arc<SharedEvents>) -> Self {
        let instance = Reporter::from(CONTROLLER).instance.filter(|name| !name.is_empty());
        let mut instance = instance.unwrap_or_else(|| CONTROLLER.into());
        instance.truncate(instance.floor_char_boundary(LONGEST_INSTANCE));
        let cluster = context.cluster.trying(TRIES);
        Self {
            context,
            cluster,
            shared,
            instance,
            series: Series::default(),
            forbidden: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Writes an Event, or one more of a series.
    pub(super) async fn write(&mut self, event: &KubeEvent) {
        // A follower reports to its log; the leader writes.
        if !self.context.leadership.is_held() {
            return;
        }
        let namespace = match &event.about {
            About::Object { id, .. } => id.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).to_owned(),
            About::Sync | About::Missing(_) => self.context.namespace.to_string(),
        };
        let now = Instant::now();
        self.forbidden.retain(|_, until| *until > now);
        if self.forbidden.contains_key(&namespace) {
            return;
        }
        let key = Key::of(event);
        if let Some(before) = self.series.find(key, now) {
            let count = before.count + 1;
            match self.cluster.repeat_event(&before.namespace, &before.name, count, Timestamp::now()).await {
                Ok(true) => return self.series.note(key, WrittenEvent { count, last: now, ..before }),
                // Somebody has deleted it.
                Ok(false) => self.series.forget(key),
                Err(error) => return self.failed("patch", event, namespace, &error),
            }
        }
        let (regarding, related) = self.references(event).await;
        let at = Timestamp::now();
        let name = name(regarding["name"].as_str().unwrap_or_default(), at);
        let new = NewEvent {
            namespace: &namespace,
            name: &name,
            at,
            controller: CONTROLLER,
            instance: &self.instance,
            severity: event.severity.as_str(),
            reason: event.reason,
            action: event.action,
            note: &event.note,
            regarding,
            related,
        };
        match self.cluster.create_event(&new).await {
            Ok(()) => self.series.note(key, WrittenEvent { namespace, name, count: 1, last: now }),
            Err(error) => self.failed("create", event, namespace, &error),
        }
    }

    /// What the Event is about, and what else it has to do with.
    async fn references(&self, event: &KubeEvent) -> (Value, Option<Value>) {
        let parent = self.parent(&event.sync);
        match &event.about {
            About::Sync => (parent, None),
            About::Object { id, uid } => (self.object(id, Some(uid)).await, Some(parent)),
            About::Missing(id) => (parent, Some(self.object(id, None).await)),
        }
    }

    fn parent(&self, sync: &Arc<str>) -> Value {
        let sync = SyncName::parse(sync);
        let name = sync.as_ref().map(Parent::name);
        let uid = sync.and_then(|sync| self.context.registry.with(|fleet| fleet.parent(&sync)));
        json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": *self.context.namespace, "name": name, "uid": uid})
    }

    async fn object(&self, id: &ObjectId, uid: Option<&Arc<str>>) -> Value {
        let discovery = Arc::clone(&*self.context.discovery.read().await);
        let version = discovery.preferred(&id.gk).map(|resource| match &*resource.group {
            "" => resource.version.clone(),
            group => format!("{group}/{}", resource.version),
        });
        json!({"apiVersion": version, "kind": *id.gk.kind, "namespace": id.namespace, "name": *id.name, "uid": uid})
    }

    fn failed(&mut self, verb: &'static str, event: &KubeEvent, namespace: String, error: &ApiError) {
        // With its namespace go all its Events.
        if error.is_not_found() || error.is_about_a_terminating_namespace() {
            return;
        }
        if !error.is_forbidden() {
            return self.shared.lose(&event.sync, || error.to_string());
        }
        if self.said.insert(verb) {
            let message = format!(
                "cannot write Kubernetes Events, and goes on without them: allow create and patch on events.events.k8s.io ({verb} in namespace {namespace}: {error})"
            );
            (self.context.emit)(&Event::Trouble { message });
        }
        if self.forbidden.len() < MOST_FORBIDDEN {
            self.forbidden.insert(namespace, Instant::now() + FORBIDDEN);
        }
    }

    /// Says how many Events were not written since this was last said.
    pub(super) fn report_dropped(&self) {
        let dropped = std::mem::take(&mut self.shared.state().dropped);
        for (sync, dropped) in dropped {
            let event = SyncEvent::EventsDropped { events: dropped.events, why: dropped.why };
            (self.context.emit)(&Event::Sync(sync, event));
        }
    }
}

/// `web.18a5b2c3d4e5f607`: the object and the time in nanoseconds, as client-go names Events. An
/// Event has to be named as a DNS subdomain (RFC 1123), which RBAC's objects need not be.
fn name(object: &str, at: Timestamp) -> String {
    let cut = object[..object.floor_char_boundary(LONGEST_NAME)].trim_end_matches(['-', '.']);
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let (first, last) = (label.bytes().next(), label.bytes().next_back());
        first.is_some_and(inner) && last.is_some_and(inner) && label.bytes().all(|byte| inner(byte) || byte == b'-')
    };
    let object = if cut.split('.').all(label) { cut } else { NAMELESS };
    format!("{object}.{:016x}", at.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_that_of_its_object_where_it_can_be() {
        let at = Timestamp::from_nanosecond(0x18a5_b2c3_d4e5_f607).unwrap();
        assert_eq!(name("web", at), "web.18a5b2c3d4e5f607");
        assert_eq!(name(&"a".repeat(253), at).len(), 253);
        assert_eq!(name(&"a-".repeat(126), at).len(), 252, "it was cut at a hyphen");
        for odd in ["system:node", "Upper", "a_b", "", "größe"] {
            assert_eq!(name(odd, at), "driftless.18a5b2c3d4e5f607", "{odd}");
        }
    }
}
