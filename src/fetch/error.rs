//! Why a file was not fetched. Every text names the URL, holds no credentials, and says what to do where somebody can.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::object::Readable;

#[derive(Debug, Error)]
pub enum FetchError {
    #[error("cannot reach {url}: {}; check the URL, the server, the proxy and the network between", Readable(.detail))]
    Unreachable { url: String, detail: String },

    #[error("{url} did not answer in full within {} seconds; see whether the server hangs", limit.as_secs())]
    Timeout { url: String, limit: Duration },

    #[error("the TLS certificate of {url} is not trusted: {}; where the authority is your own, put its certificate under \
             ca.crt into the Secret that auth names", Readable(.detail))]
    Certificate { url: String, detail: String },

    #[error("{url} refuses access ({status}); check the credentials for it, and whether they may read this")]
    Denied { url: String, status: u16 },

    #[error("{url} was not found ({status}); correct the URL, the name or the version")]
    NotFound { url: String, status: u16 },

    #[error("{url} allows no more requests for now (429){}", .retry_after.as_ref().map(|after| format!("; it says to wait {after} s")).unwrap_or_default())]
    RateLimited { url: String, retry_after: Option<String> },

    #[error("{url} answers with status {status}; see what its server reports")]
    Status { url: String, status: u16 },

    #[error("{url} redirects to {}, which is not followed: {why}", Readable(.to))]
    Redirected { url: String, to: String, why: &'static str },

    #[error("{url} has more than {limit_bytes} bytes; keep what is needed of it in the repository")]
    TooLarge { url: String, limit_bytes: usize },

    #[error("{url} holds no chart: {}", Readable(.detail))]
    NoChart { url: String, detail: String },

    #[error(
        "what came from {url} has the digest sha256:{found}, and sha256:{expected} is expected; it was changed after it \
             was published, or on the way"
    )]
    Digest { url: String, expected: String, found: String },

    /// It is neither a file nor a refusal.
    #[error("the answer of {url} is none that such a server gives: {}; see whether the URL is that of one", Readable(.detail))]
    Answer { url: String, detail: String },

    #[error("the certificates to trust for {url}, under ca.crt of the Secret that auth names, cannot be read: {}", Readable(.detail))]
    Authority { url: String, detail: String },

    #[error("cannot {action} {}: {cause}", path.display())]
    Storage { action: &'static str, path: PathBuf, cause: io::Error },
}

impl FetchError {
    /// What a status that is no success means.
    pub(super) fn of_status(url: &str, status: u16, retry_after: Option<&str>) -> Self {
        let url = url.to_owned();
        match status {
            401 | 403 | 407 => Self::Denied { url, status },
            404 | 410 => Self::NotFound { url, status },
            429 => {
                let seconds = retry_after.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                Self::RateLimited { url, retry_after: seconds.map(str::to_owned) }
            }
            _ => Self::Status { url, status },
        }
    }
}
