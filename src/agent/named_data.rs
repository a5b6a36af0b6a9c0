//! What the configuration names for a source: the data of a Secret or a `ConfigMap` in the agent's namespace, or the files of
//! a directory. It does not know what they mean.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use thiserror::Error;

use crate::cluster::{ApiError, Cluster, Resource};
use crate::config::DataKind;
use crate::object::ObjectId;

/// Bytes of one file: what is longer is no key, no certificates and no known hosts.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// Something that is named cannot be read. Nothing of it is in this.
#[derive(Debug, Error)]
pub enum NamedDataError {
    /// The object cannot be read.
    #[error("cannot read {what}, which {key} names: {error}")]
    Api {
        /// `the Secret NAMESPACE/NAME`.
        what: String,
        /// Key of the configuration that names it: `source.auth.secret`.
        key: &'static str,
        /// Why not.
        #[source]
        error: ApiError,
    },
    /// There is no such object.
    #[error("{what}, which {key} names, is not there; create it, and it is used {when}")]
    Missing {
        /// `the Secret NAMESPACE/NAME`.
        what: String,
        /// Key of the configuration that names it.
        key: &'static str,
        /// From when on it is used then.
        when: &'static str,
    },
    /// The object is in a cluster, and none is asked.
    #[error(
        "{key} names the {kind} {name}, which is in the cluster: ask it with --cluster or --kubeconfig, or render a \
         checkout with --local"
    )]
    NoCluster {
        /// Key of the configuration that names it.
        key: &'static str,
        /// `Secret` or `ConfigMap`.
        kind: &'static str,
        /// Name of the object.
        name: Arc<str>,
    },
    /// The directory, or a file in it, cannot be read.
    #[error("cannot read {}, of {key}: {cause}", path.display())]
    File {
        /// Path of the directory or file.
        path: PathBuf,
        /// Key of the configuration that names the directory.
        key: &'static str,
        /// What the operating system says.
        #[source]
        cause: io::Error,
    },
}

/// Where Secrets and `ConfigMap`s are read.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    /// With the agent's own rights, whatever the sync may do.
    pub cluster: &'a Cluster,
    /// The agent's namespace.
    pub namespace: &'a str,
}

impl Home<'_> {
    /// The bytes under each key of a `ConfigMap` or Secret there; `None` where there is none.
    pub(super) async fn data(&self, kind: DataKind, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, ApiError> {
        let plural = match kind {
            DataKind::ConfigMap => "configmaps",
            DataKind::Secret => "secrets",
        };
        let id = ObjectId::new("", kind.name(), Some(self.namespace), name);
        let object = self.cluster.read(&id, &Resource::core(plural, true)).await?;
        Ok(object.map(|object| decoded(kind, &object)))
    }
}

/// An object of that namespace that the configuration names.
pub(super) struct Named<'a> {
    kind: DataKind,
    name: &'a Arc<str>,
    key: &'static str,
    when: &'static str,
}

impl<'a> Named<'a> {
    /// `key` of the configuration names it, and once it is there it is used from `when` on.
    pub fn secret(name: &'a Arc<str>, key: &'static str, when: &'static str) -> Self {
        Self { kind: DataKind::Secret, name, key, when }
    }

    /// Likewise.
    pub fn config_map(name: &'a Arc<str>, key: &'static str, when: &'static str) -> Self {
        Self { kind: DataKind::ConfigMap, name, key, when }
    }

    /// The bytes under each of its keys, and what it is called in messages. `home` is `None` where no cluster is asked.
    pub async fn read(&self, home: Option<Home<'_>>) -> Result<(BTreeMap<String, Vec<u8>>, String), NamedDataError> {
        let (key, kind, name, when) = (self.key, self.kind.name(), self.name, self.when);
        let home = home.ok_or_else(|| NamedDataError::NoCluster { key, kind, name: Arc::clone(name) })?;
        let what = format!("the {kind} {}/{name}", home.namespace);
        let data = home.data(self.kind, name).await;
        let data = data.map_err(|error| NamedDataError::Api { what: what.clone(), key, error })?;
        let data = data.ok_or_else(|| NamedDataError::Missing { what: what.clone(), key, when })?;
        Ok((data, what))
    }
}

/// The bytes under each key: of a `ConfigMap` its texts, and of both what is in base64.
fn decoded(kind: DataKind, object: &Value) -> BTreeMap<String, Vec<u8>> {
    let entries = |field: &str| object.get(field).and_then(Value::as_object).into_iter().flatten();
    let encoded = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (key, value) in entries("data") {
        let bytes = if kind.is_secret() { encoded(value) } else { value.as_str().unwrap_or_default().into() };
        found.insert(key.clone(), bytes);
    }
    for (key, value) in entries("binaryData") {
        found.insert(key.clone(), encoded(value));
    }
    found
}

/// The files of a directory that have the name of a key. Those of a mounted Secret are links, which are followed.
pub(super) fn read_files(
    directory: &Path,
    key: &'static str,
    is_key: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>, NamedDataError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| NamedDataError::File { path, key, cause }
    };
    let mut data = BTreeMap::new();
    // A wrong path is an error, and no Secret without keys.
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let name = entry.map_err(failed(directory))?.file_name();
        let Some(name) = name.to_str().filter(|name| is_key(name)) else { continue };
        let path = directory.join(name);
        let size = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(failed(&path)(io::Error::other("it is no file"))),
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path)(error)),
        };
        if size > MOST_FILE_BYTES {
            let cause = io::Error::other(format!("it has {size} bytes, and {MOST_FILE_BYTES} at most are read"));
            return Err(failed(&path)(cause));
        }
        data.insert(name.to_owned(), std::fs::read(&path).map_err(failed(&path))?);
    }
    Ok(data)
}
