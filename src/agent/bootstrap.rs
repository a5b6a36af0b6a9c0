//! What the agent needs in the cluster before it can sync: its namespace and the key under which
//! Secrets are digested.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use thiserror::Error;

use crate::cluster::{ApiError, Cluster, Resource};
use crate::object::{DigestKey, ObjectId, names};

/// Where parents are when neither the configuration nor the pod says otherwise.
pub const AGENT_NAMESPACE: &str = "driftless";
const KEY_SECRET: &str = names::DIGEST_KEY;
/// Mounted into every pod that has a service account.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The agent cannot prepare its own place in the cluster.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The namespace cannot be read, or is missing and cannot be created.
    #[error("cannot read or create the namespace {namespace}, in which driftless keeps its state: {error}")]
    Namespace {
        /// The agent's namespace.
        namespace: Arc<str>,
        /// Why the read or the creation failed.
        #[source]
        error: ApiError,
    },
    /// The Secret with the digest key cannot be read, or is missing and cannot be created.
    #[error("cannot read or create the Secret {namespace}/{KEY_SECRET}, which keys the digests of Secrets: {error}")]
    Key {
        /// Namespace of the Secret: the agent's own.
        namespace: Arc<str>,
        /// Why the read or the creation failed.
        #[source]
        error: ApiError,
    },
    /// `data.key` of the Secret is missing, is no base64 or does not hold 32 bytes.
    #[error(
        "the Secret {namespace}/{KEY_SECRET} holds no key of 32 bytes in data.key; delete it to have a new one made (every Secret is then applied once more)"
    )]
    BadKey {
        /// Namespace of the Secret: the agent's own.
        namespace: Arc<str>,
    },
    /// `getrandom` failed when a new digest key was to be made.
    #[error("the operating system gives no random bytes")]
    NoRandom,
}

/// The namespace of parents and key: configured, else the pod's own, else `driftless`.
#[must_use]
pub fn namespace(configured: Option<&Arc<str>>) -> Arc<str> {
    let own = || {
        std::fs::read_to_string(POD_NAMESPACE).ok().filter(|_| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some())
    };
    match configured {
        Some(namespace) => Arc::clone(namespace),
        None => own().as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or(AGENT_NAMESPACE).into(),
    }
}

/// Creates the namespace if it is missing.
///
/// # Errors
/// It is missing and cannot be created.
pub async fn ensure_namespace(cluster: &Cluster, namespace: &Arc<str>) -> Result<(), BootstrapError> {
    let resource = Resource::core("namespaces", false);
    let id = ObjectId::new("", "Namespace", None, namespace);
    match cluster.read_one(&id, &resource).await {
        Ok(Some(_)) => return Ok(()),
        // Without the permission to read it, the first write into it shows whether it is there.
        Err(error) if error.is_forbidden() => return Ok(()),
        Err(error) => return Err(BootstrapError::Namespace { namespace: Arc::clone(namespace), error }),
        Ok(None) => {}
    }
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": **namespace}});
    match cluster.create(&resource, None, &object).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(BootstrapError::Namespace { namespace: Arc::clone(namespace), error }),
    }
}

fn key_id(namespace: &str) -> ObjectId {
    ObjectId::new("", "Secret", Some(namespace), KEY_SECRET)
}

/// Reads the key; `None` when there is none yet.
///
/// # Errors
/// It cannot be read, or is no key.
pub async fn find_digest_key(cluster: &Cluster, namespace: &Arc<str>) -> Result<Option<DigestKey>, BootstrapError> {
    let live = cluster.read(&key_id(namespace), &Resource::core("secrets", true)).await;
    let live = live.map_err(|error| BootstrapError::Key { namespace: Arc::clone(namespace), error })?;
    live.map(|secret| key_of(&secret).ok_or_else(|| BootstrapError::BadKey { namespace: Arc::clone(namespace) }))
        .transpose()
}

fn key_of(secret: &Value) -> Option<DigestKey> {
    let bytes = STANDARD.decode(secret.pointer("/data/key")?.as_str()?).ok()?;
    Some(DigestKey::new(bytes.try_into().ok()?))
}

/// Reads the key, and makes one if there is none.
///
/// # Errors
/// It can neither be read nor created.
pub async fn digest_key(cluster: &Cluster, namespace: &Arc<str>) -> Result<DigestKey, BootstrapError> {
    if let Some(key) = find_digest_key(cluster, namespace).await? {
        return Ok(key);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| BootstrapError::NoRandom)?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": KEY_SECRET, "namespace": **namespace,
            "labels": {"app.kubernetes.io/managed-by": "driftless"}},
        "data": {"key": STANDARD.encode(bytes)}});
    match cluster.create(&Resource::core("secrets", true), Some(namespace), &secret).await {
        Ok(_) => Ok(DigestKey::new(bytes)),
        // Another agent was faster; its key counts.
        Err(error) if error.is_conflict() => find_digest_key(cluster, namespace)
            .await?
            .ok_or_else(|| BootstrapError::Key { namespace: Arc::clone(namespace), error }),
        Err(error) => Err(BootstrapError::Key { namespace: Arc::clone(namespace), error }),
    }
}
