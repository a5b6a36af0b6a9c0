//! LIST: all objects of a kind, page by page, each reduced at once.

use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Call, query};
use super::observe::{JSON, reduce};
use super::{ApiError, Cluster, Resource, has_health, version_of};
use crate::object::{GroupKind, Observed};

const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// Objects a page.
const PAGE: usize = 500;

/// The objects of a kind, as of one moment.
#[derive(Clone, Debug)]
pub(super) struct KindList {
    pub objects: Vec<Observed>,
    /// The moment: a watch that begins here misses nothing.
    pub version: Arc<str>,
}

impl Cluster {
    /// All objects of a kind, page by page; read anew in one request when the pages expire (410).
    pub(super) async fn list(
        &self,
        gk: &GroupKind,
        resource: &Resource,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<KindList, ApiError> {
        let collection = resource.collection(namespace);
        let selector = selector.map(|text| format!("&labelSelector={}", query(text))).unwrap_or_default();
        let accept = if has_health(gk) { JSON } else { METADATA_LIST };
        let get = |path: String| Call { verb: "list", method: Method::GET, path, accept, body: None };
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let mut call = get(format!("{collection}?limit={PAGE}{selector}{next}"));
            let page = match self.call(&call).await {
                Err(error) if error.code() == Some(410) && !next.is_empty() => {
                    objects.clear();
                    next.clear();
                    // Without a resourceVersion, and not with 0, which may be answered from any point of the past.
                    let whole = selector.strip_prefix('&').map(|text| format!("?{text}")).unwrap_or_default();
                    call = get(format!("{collection}{whole}"));
                    self.call(&call).await?
                }
                answer => answer?,
            };
            let now = Timestamp::now();
            let items = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            objects.extend(items.iter().filter_map(|item| reduce(gk, resource.namespaced, item, self.managers(), now)));
            let metadata = |field: &str| page.get("metadata")?.get(field)?.as_str();
            match metadata("continue") {
                Some(token) if !token.is_empty() => next = format!("&continue={}", query(token)),
                // All pages are of the moment of the first one.
                _ => return Ok(KindList { objects, version: metadata("resourceVersion").unwrap_or_default().into() }),
            }
        }
    }

    /// The resource version of a kind as of now, by the smallest LIST there is.
    pub(super) async fn version_now(
        &self,
        gk: &GroupKind,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Arc<str>, ApiError> {
        let path = format!("{}?limit=1&labelSelector={}", resource.collection(namespace), query(selector));
        let accept = if has_health(gk) { JSON } else { METADATA_LIST };
        let list = self.call(&Call { verb: "list", method: Method::GET, path, accept, body: None }).await?;
        Ok(version_of(&list).unwrap_or_default().into())
    }

    /// The names of all objects of a kind with a label in a namespace.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn names(
        &self,
        gk: &GroupKind,
        resource: &Resource,
        namespace: &str,
        label: &str,
    ) -> Result<Vec<Arc<str>>, ApiError> {
        let listed = self.list(gk, resource, Some(namespace), Some(label)).await?;
        Ok(listed.objects.into_iter().map(|live| live.id.name).collect())
    }

    /// All objects with a label, whole. For the few objects that are the agent's own.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn list_whole(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        label: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let path = format!("{}?labelSelector={}", resource.collection(namespace), query(label));
        let mut answer = self.call(&Call { verb: "list", method: Method::GET, path, accept: JSON, body: None }).await?;
        Ok(answer.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
    }

    /// All objects of a kind, whole; `None` when there are more than so many.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn list_up_to(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        most: usize,
    ) -> Result<Option<Vec<Value>>, ApiError> {
        let path = format!("{}?limit={}", resource.collection(namespace), most.saturating_add(1));
        let mut answer = self.call(&Call { verb: "list", method: Method::GET, path, accept: JSON, body: None }).await?;
        let items = answer.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let more = answer.pointer("/metadata/continue").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
        Ok((items.len() <= most && !more).then_some(items))
    }
}
