//! Whether a commit is signed by somebody who may, as `source.verify` demands.

use jiff::Timestamp;
use thiserror::Error;

use super::named_data::{Home, Named, NamedDataError, read_files};
use crate::config::{Verify, VerifyKeys, VerifyMode};
use crate::source::{Git, Revision, Signer, Signers, SignersError, SourceError, Unverified};

/// When keys are used that were not there before: their watch reports them.
const AT_ONCE: &str = "at once";

/// Why a commit is not applied.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The keys cannot be read.
    #[error(transparent)]
    Unread(#[from] NamedDataError),
    /// What is there holds no keys that can be used.
    #[error("{what}, which source.verify names, cannot be used: {error}")]
    Unusable {
        /// `the Secret NAMESPACE/NAME`, or the path of a directory.
        what: String,
        /// What is wrong with it.
        #[source]
        error: SignersError,
    },
    /// It is not signed, or not by a signature that counts.
    #[error("{subject} {reason}; source.verify demands a signature by a key of {keys}: {}", .reason.advice())]
    Unverified {
        /// `it` for the commit, or `the tag v1.2.3`.
        subject: String,
        /// `the Secret NAMESPACE/NAME`, or the path of a directory.
        keys: String,
        /// What is wrong with the signature.
        #[source]
        reason: Unverified,
    },
    /// The commit or tag cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The verification ended by a defect.
    #[error("the signature of {subject} could not be verified, by a defect of driftless; please report it")]
    Panicked {
        /// As above.
        subject: String,
    },
}

/// Who signed what a source gives; `None` where it demands no signature. The commit must have been fetched by this revision.
/// `home` is `None` where no cluster is asked.
///
/// # Errors
/// Nobody who may, or that cannot be found out.
pub async fn verify(
    git: &Git,
    revision: &Revision,
    verify: Option<&Verify>,
    home: Option<Home<'_>>,
) -> Result<Option<Signer>, VerifyError> {
    let Some(verify) = verify else { return Ok(None) };
    let (signers, keys) = signers(&verify.keys, home).await?;
    let (subject, object, tag) = match verify.mode {
        VerifyMode::Commit => ("it".to_owned(), Some(git.commit_object(&revision.commit).await?), None),
        VerifyMode::Tag => {
            let name = revision.name.strip_prefix("refs/tags/").unwrap_or(&revision.name).to_owned();
            (format!("the tag {name}"), git.tag_object(revision).await?, Some(name))
        }
    };
    // It takes a moment, and reads what anybody may have pushed.
    let verified = tokio::task::spawn_blocking(move || {
        let (object, now) = (object.ok_or(Unverified::NotAnnotated)?, Timestamp::now());
        match tag {
            Some(name) => signers.verify_tag(&object, &name, now),
            None => signers.verify_commit(&object, now),
        }
    });
    match verified.await {
        Ok(Ok(signer)) => Ok(Some(signer)),
        Ok(Err(reason)) => Err(VerifyError::Unverified { subject, keys, reason }),
        Err(_) => Err(VerifyError::Panicked { subject }),
    }
}

/// The keys, and what they are called in messages. They are read for every commit, so that one which was removed counts no
/// more, whether its watch works or not.
async fn signers(keys: &VerifyKeys, home: Option<Home<'_>>) -> Result<(Signers, String), VerifyError> {
    let (data, what) = match keys {
        VerifyKeys::Files(path) => {
            (read_files(path, "source.verify.files", Signers::is_key)?, path.display().to_string())
        }
        VerifyKeys::Secret(name) => Named::secret(name, "source.verify.secret", AT_ONCE).read(home).await?,
        VerifyKeys::ConfigMap(name) => Named::config_map(name, "source.verify.configMap", AT_ONCE).read(home).await?,
    };
    match Signers::of(&data) {
        Ok(signers) => Ok((signers, what)),
        Err(error) => Err(VerifyError::Unusable { what, error }),
    }
}
