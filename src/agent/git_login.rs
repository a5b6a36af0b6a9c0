//! The credentials for the git server of one sync: read where the configuration says, and kept until they may have changed.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::key_files::{KeyFilesError, read_key_files};
use super::rendering::decoded;
use crate::cluster::{ApiError, Cluster, Resource};
use crate::config::{Source, SourceAuth};
use crate::object::ObjectId;
use crate::source::{Login, LoginError};

/// There are no credentials that could be used. Nothing of them is in it.
#[derive(Debug, Error)]
pub enum GitLoginError {
    /// The Secret cannot be read.
    #[error("cannot read {what}, which source.auth.secret names: {error}")]
    Api {
        /// `the Secret NAMESPACE/NAME`.
        what: String,
        /// Why not.
        #[source]
        error: ApiError,
    },
    /// There is no such Secret.
    #[error("{what}, which source.auth.secret names, is not there; create it, and it is used by the next poll")]
    Missing {
        /// `the Secret NAMESPACE/NAME`.
        what: String,
    },
    /// The Secret is in a cluster, and none is asked.
    #[error(
        "source.auth.secret names the Secret {0}, which is in the cluster: ask it with --cluster or --kubeconfig, or render a \
         checkout with --local"
    )]
    NoCluster(Arc<str>),
    /// The directory, or a file in it, cannot be read.
    #[error("cannot read {}, of source.auth.files: {cause}", path.display())]
    File {
        /// Path of the directory or file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        cause: io::Error,
    },
    /// What is there cannot be used.
    #[error("{what}, which source.auth names, cannot be used: {error}")]
    Unusable {
        /// `the Secret NAMESPACE/NAME`, or the path of a directory.
        what: String,
        /// What is wrong with it.
        #[source]
        error: LoginError,
    },
}

/// Where Secrets are read.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    /// With the agent's own rights, whatever the sync may do.
    pub cluster: &'a Cluster,
    /// The agent's namespace.
    pub namespace: &'a str,
}

/// The credentials of one sync.
#[derive(Debug, Default)]
pub struct GitLogin {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    login: Option<Arc<Login>>,
    /// Counts how often they may have changed, so that an answer of before is not kept.
    changes: u64,
}

impl GitLogin {
    /// What the next call to the server is made with; `None`: what the URL has. A Secret is read once, and again after
    /// [`GitLogin::forget`]; files are read each time. `home` is `None` where no cluster is asked.
    ///
    /// # Errors
    /// They cannot be read, or hold nothing that can be used.
    pub async fn current(&self, source: &Source, home: Option<Home<'_>>) -> Result<Option<Arc<Login>>, GitLoginError> {
        let (name, read) = match &source.auth {
            None => return Ok(None),
            Some(SourceAuth::Files(path)) => {
                let read = read_key_files(path, Login::keys().iter().copied());
                let data = read.map_err(|KeyFilesError { path, cause }| GitLoginError::File { path, cause })?;
                return usable(&data, &source.url, &path.display().to_string()).map(Some);
            }
            Some(SourceAuth::Secret(name)) => (name, self.changes()),
        };
        if let Some(known) = self.known().login.clone() {
            return Ok(Some(known));
        }
        let home = home.ok_or_else(|| GitLoginError::NoCluster(Arc::clone(name)))?;
        let what = format!("the Secret {}/{name}", home.namespace);
        let id = ObjectId::new("", "Secret", Some(home.namespace), name);
        let object = home.cluster.read(&id, &Resource::core("secrets", true)).await;
        let object = object.map_err(|error| GitLoginError::Api { what: what.clone(), error })?;
        let object = object.ok_or_else(|| GitLoginError::Missing { what: what.clone() })?;
        let login = usable(&decoded(&object), &source.url, &what)?;
        let mut known = self.known();
        if known.changes == read {
            known.login = Some(Arc::clone(&login));
        }
        Ok(Some(login))
    }

    /// The Secret has changed, or the server refuses what it held: it is read again for the next call.
    pub fn forget(&self) {
        let mut known = self.known();
        known.login = None;
        known.changes += 1;
    }

    fn changes(&self) -> u64 {
        self.known().changes
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(data: &BTreeMap<String, Vec<u8>>, url: &str, what: &str) -> Result<Arc<Login>, GitLoginError> {
    let login = Login::of(data, url).map_err(|error| GitLoginError::Unusable { what: what.to_owned(), error })?;
    Ok(Arc::new(login))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reference;

    fn source(auth: SourceAuth) -> Source {
        Source {
            url: "https://git.example.com/shop.git".into(),
            reference: Reference::Branch("main".into()),
            auth: Some(auth),
        }
    }

    #[tokio::test]
    async fn files_are_read_for_each_call() {
        let directory = tempfile::tempdir().unwrap();
        let source = source(SourceAuth::Files(directory.path().into()));
        let login = GitLogin::default();
        let error = login.current(&source, None).await.unwrap_err().to_string();
        assert!(error.contains("it is empty") && error.contains("source.auth"), "{error}");
        std::fs::write(directory.path().join("bearerToken"), "one").unwrap();
        let one = login.current(&source, None).await.unwrap();
        std::fs::write(directory.path().join("bearerToken"), "two").unwrap();
        let two = login.current(&source, None).await.unwrap();
        assert!(one.is_some() && one != two);
        std::fs::write(directory.path().join("bearerToken"), vec![b'x'; 2 << 20]).unwrap();
        let error = login.current(&source, None).await.unwrap_err().to_string();
        assert!(error.contains("2097152 bytes"), "{error}");
        directory.close().unwrap();
        let error = login.current(&source, None).await.unwrap_err().to_string();
        assert!(error.contains("No such file or directory"), "{error}");
    }

    #[tokio::test]
    async fn a_secret_needs_a_cluster() {
        let error =
            GitLogin::default().current(&source(SourceAuth::Secret("shop-git".into())), None).await.unwrap_err();
        assert!(error.to_string().contains("--cluster"), "{error}");
    }
}
