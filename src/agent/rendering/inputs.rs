//! What a rendering reads of the cluster: values and variables in the agent's namespace, the server's version and kinds,
//! and the answers to what templates look up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::RwLock;

use super::{Rendering, RenderingError};
use crate::agent::named_data::Home;
use crate::cluster::{ApiError, Cluster, Discovery};
use crate::config::{DataRef, Renderer};
use crate::object::{DigestKey, GroupKind, ObjectId};
use crate::render::{Capabilities, ExtraValues, Inputs, LookupAnswer, LookupQuestion, Variable};

/// Objects of one kind that a template may look up at once.
const MOST_LISTED: usize = 500;

/// The cluster, as far as a rendering may ask it.
#[derive(Clone)]
pub struct ClusterView {
    /// With the agent's own rights: for what the configuration names in the agent's namespace.
    pub home: Cluster,
    /// With the rights of the sync: for what a repository's templates look up.
    pub cluster: Cluster,
    /// The agent's own namespace.
    pub namespace: Arc<str>,
    /// Of `cluster`; empty until the first discovery.
    pub discovery: Arc<RwLock<Arc<Discovery>>>,
    /// For keyed digests of what pods use; `None` where it does not exist or may not be read.
    pub key: Option<DigestKey>,
}

impl Rendering<'_> {
    /// All inputs but the answers to lookups.
    pub(super) async fn inputs(&self, renderer: Renderer) -> Result<Inputs, RenderingError> {
        let config = &self.settings.config;
        let mut inputs = Inputs { key: self.cluster.and_then(|cluster| cluster.key.clone()), ..Inputs::default() };
        if let Some(substitution) = &config.substitution {
            for source in &substitution.from {
                for (name, value) in self.data(source, "render.substituteFrom").await?.unwrap_or_default() {
                    let value = text(source, "render.substituteFrom", &name, value)?;
                    inputs
                        .variables
                        .insert(name, Variable { value, secret: source.kind.is_secret(), in_cluster: true });
                }
            }
            for (name, value) in &substitution.variables {
                inputs.variables.insert(name.clone(), Variable { value: value.clone(), ..Variable::default() });
            }
        }
        if renderer != Renderer::Helm {
            return Ok(inputs);
        }
        for from in &config.helm.values_from {
            let key = "render.helm.valuesFrom";
            let Some(mut data) = self.data(&from.source, key).await? else { continue };
            let name = format!("{}, key {}", described(&from.source), from.key);
            let Some(value) = data.remove(&*from.key) else {
                if from.source.optional {
                    continue;
                }
                let keys = data.into_keys().collect::<Vec<_>>().join(", ");
                let what = described(&from.source);
                return Err(RenderingError::NoKey { what, key, name: from.key.to_string(), keys });
            };
            let yaml = text(&from.source, key, &from.key, value)?;
            inputs.values.push(ExtraValues { name, yaml, secret: from.source.kind.is_secret() });
        }
        if let Some(view) = self.cluster {
            let kube_version = match &config.helm.kube_version {
                Some(version) => version.to_string(),
                None => view.cluster.server_version().await.map_err(RenderingError::Capabilities)?,
            };
            let kinds = view.kinds_now().await.map_err(RenderingError::Capabilities)?;
            let (api_versions, stale) = (kinds.api_versions(), kinds.stale());
            inputs.capabilities = Some(Capabilities { kube_version, api_versions, stale });
        }
        Ok(inputs)
    }

    /// The data of a `ConfigMap` or Secret; `None` where there is none and there need not be one.
    pub(super) async fn data(
        &self,
        source: &DataRef,
        key: &'static str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, RenderingError> {
        let Some(view) = self.cluster else {
            return if source.optional { Ok(None) } else { Err(RenderingError::NoCluster { key }) };
        };
        let what = || format!("the {} {}/{}", source.kind.name(), view.namespace, source.name);
        let home = Home { cluster: &view.home, namespace: &view.namespace };
        let data = home.data(source.kind, &source.name).await;
        let data = data.map_err(|error| RenderingError::Input { what: what(), key, error })?;
        match data {
            Some(data) => Ok(Some(data)),
            None if source.optional => Ok(None),
            None => Err(RenderingError::Missing { what: what(), key }),
        }
    }
}

fn described(source: &DataRef) -> String {
    format!("the {} {}", source.kind.name(), source.name)
}

fn text(source: &DataRef, key: &'static str, name: &str, value: Vec<u8>) -> Result<String, RenderingError> {
    let not_text = |_| RenderingError::NotText { what: described(source), key, name: name.to_owned() };
    String::from_utf8(value).map_err(not_text)
}

impl ClusterView {
    /// What the server has now, which others may go by from here on: a chart leaves out what it does not find.
    async fn kinds_now(&self) -> Result<Arc<Discovery>, ApiError> {
        let discovered = Arc::new(self.cluster.discover().await?);
        *self.discovery.write().await = Arc::clone(&discovered);
        Ok(discovered)
    }

    /// What the server has, as far as is known.
    async fn kinds(&self) -> Result<Arc<Discovery>, ApiError> {
        let known = Arc::clone(&*self.discovery.read().await);
        if !known.is_empty() {
            return Ok(known);
        }
        self.kinds_now().await
    }

    fn is_own(&self, item: &Value, gk: &GroupKind) -> bool {
        let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name").unwrap_or_default();
        self.is_of_the_agent(&ObjectId::new(&gk.group, &gk.kind, text("/metadata/namespace"), name))
    }

    /// Secrets in the agent's namespace are keys, credentials and values of all syncs: what a sync may read of them, the
    /// configuration says, and not a repository.
    fn is_of_the_agent(&self, id: &ObjectId) -> bool {
        id.gk.is("", "Secret") && id.namespace.as_deref() == Some(&*self.namespace)
    }

    /// Answers a template's question as Helm does it in a cluster: what is not there is an empty answer, and anything else
    /// that goes wrong is an error of the template.
    pub(super) async fn look_up(&self, question: LookupQuestion) -> LookupAnswer {
        let answer = |question, object, items, error: String| LookupAnswer { question, object, items, error };
        let (group, version) = question.api_version.split_once('/').unwrap_or(("", &question.api_version));
        let gk = GroupKind::new(group, &question.kind);
        let kinds = match self.kinds().await {
            Ok(kinds) => kinds,
            Err(error) => {
                let error = format!("cannot ask which kinds there are: {error}");
                return answer(question, None, Vec::new(), error);
            }
        };
        let Some(resource) = kinds.resource(&gk, version) else {
            let error = format!("the cluster has no kind {} in {}", question.kind, question.api_version);
            return answer(question, None, Vec::new(), error);
        };
        let namespace = Some(question.namespace.as_str()).filter(|name| !name.is_empty() && resource.namespaced);
        let shown = |what: &str, error: &dyn std::fmt::Display| format!("lookup of {what} failed: {error}");
        if question.name.is_empty() {
            return match self.cluster.list_up_to(resource, namespace, MOST_LISTED).await {
                Ok(Some(items)) => {
                    let items = items
                        .into_iter()
                        .filter(|item| !self.is_own(item, &gk))
                        .map(|item| stable(typed(item, &question)))
                        .collect();
                    answer(question, None, items, String::new())
                }
                Ok(None) => {
                    let error =
                        format!("there are more than {MOST_LISTED} objects of kind {gk}; look up one by its name");
                    answer(question, None, Vec::new(), error)
                }
                Err(error) => {
                    let error = shown(&format!("all objects of kind {gk}"), &error);
                    answer(question, None, Vec::new(), error)
                }
            };
        }
        // Objects with a namespace are found in none without it.
        if resource.namespaced && namespace.is_none() {
            return answer(question, None, Vec::new(), String::new());
        }
        let id = ObjectId::new(group, &question.kind, namespace, &question.name);
        if self.is_of_the_agent(&id) {
            let error = format!(
                "{id} is in the agent's namespace, where no template may read Secrets; name it in render.helm.valuesFrom"
            );
            return answer(question, None, Vec::new(), error);
        }
        match self.cluster.read(&id, resource).await {
            Ok(object) => answer(question, object.map(stable), Vec::new(), String::new()),
            Err(error) => {
                let error = shown(&id.to_string(), &error);
                answer(question, None, Vec::new(), error)
            }
        }
    }
}

/// An item of a list as an object: items of the API's own kinds do not say what they are, and Helm's client adds it.
fn typed(mut item: Value, question: &LookupQuestion) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| question.api_version.as_str().into());
        fields.entry("kind").or_insert_with(|| question.kind.as_str().into());
    }
    item
}

/// The object without what changes by itself and no template can mean, so that the same object is the same answer.
fn stable(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    object
}
