//! The credentials for the git server of one sync: read where the configuration says, and kept until they may have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::named_data::{Home, Named, NamedDataError, read_files};
use crate::config::{Source, SourceAuth};
use crate::source::{Login, LoginError};

/// There are no credentials that could be used. Nothing of them is in it.
#[derive(Debug, Error)]
pub enum GitLoginError {
    /// They cannot be read.
    #[error(transparent)]
    Unread(#[from] NamedDataError),
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
                let data = read_files(path, "source.auth.files", |name| Login::keys().contains(&name))?;
                return usable(&data, &source.url, &path.display().to_string()).map(Some);
            }
            Some(SourceAuth::Secret(name)) => (name, self.changes()),
        };
        if let Some(known) = self.known().login.clone() {
            return Ok(Some(known));
        }
        let named = Named::secret(name, "source.auth.secret", "by the next poll");
        let (data, what) = named.read(home).await?;
        let login = usable(&data, &source.url, &what)?;
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
            verify: None,
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
