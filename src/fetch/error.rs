//! Why a file was not fetched. Every text names the URL, holds no credentials, and says what to do where somebody can.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::object::{PlainUrl, Readable};

/// What a server did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// To accept the connection, TLS included.
    ServerConnection,
    /// To send anything more.
    Data,
    /// To say what it has, redirects included.
    Answer,
    /// To send all of it.
    Content,
}

impl Awaited {
    /// Which limit was reached, and what to do.
    fn words(self, limit: Duration) -> String {
        let seconds = limit.as_secs();
        match self {
            Self::ServerConnection => format!(
                "its server accepted no connection within {seconds} seconds; check the URL, the proxy and the network between"
            ),
            Self::Data => format!("its server sent nothing for {seconds} seconds; see whether it hangs"),
            Self::Answer => format!("its server gave no answer within {seconds} seconds; see whether it hangs"),
            Self::Content => format!(
                "it was not there in full within {seconds} seconds; see whether its server or the network is slow, or keep a \
                 copy in the repository"
            ),
        }
    }
}

/// A number of bytes in the largest unit that divides it.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % (1 << 20) == 0 => write!(out, "{} MiB", bytes >> 20),
            bytes if bytes > 0 && bytes % (1 << 10) == 0 => write!(out, "{} KiB", bytes >> 10),
            bytes => write!(out, "{bytes} bytes"),
        }
    }
}

/// Why a file, a chart or a list of tags was not fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// There is no connection to the server, or it broke off.
    #[error("cannot reach {url}: {}; check the URL, the server, the proxy and the network between", Readable(.detail))]
    Unreachable {
        /// URL of the request.
        url: PlainUrl,
        /// Innermost cause, as the HTTP client has it.
        detail: String,
    },

    /// The fetch as a whole took too long, or the server neither connected nor sent anything for a while.
    #[error("cannot fetch {url}: {}", awaited.words(*.limit))]
    Timeout {
        /// URL of the request.
        url: PlainUrl,
        /// What the server did not do in time.
        awaited: Awaited,
        /// The time that was exceeded.
        limit: Duration,
    },

    /// The server's certificate is not valid for it, or not of a trusted authority.
    #[error("the TLS certificate of {url} is not trusted: {}; where the authority is your own, put its certificate under \
             ca.crt into the Secret that auth names", Readable(.detail))]
    Certificate {
        /// URL of the request.
        url: PlainUrl,
        /// Innermost cause, as the TLS library has it.
        detail: String,
    },

    /// The server answered 401, 403 or 407, or a registry with a code that means the same.
    #[error("{url} refuses access ({status}); check the credentials for it, and whether they may read this")]
    Denied {
        /// URL of the request.
        url: PlainUrl,
        /// HTTP status.
        status: u16,
    },

    /// The server answered 404 or 410, or a registry with a code that means the same.
    #[error("{url} was not found ({status}); correct the URL, the name or the version")]
    NotFound {
        /// URL of the request.
        url: PlainUrl,
        /// HTTP status.
        status: u16,
    },

    /// The server answered 429, or a registry with a code that means the same.
    #[error("{url} allows no more requests for now (429){}", .retry_after.as_ref().map(|after| format!("; it says to wait {after} s")).unwrap_or_default())]
    RateLimited {
        /// URL of the request.
        url: PlainUrl,
        /// `Retry-After` in seconds; `None` where it is missing or a date.
        retry_after: Option<String>,
    },

    /// The server answered with another status that is no success.
    #[error("{url} answers with status {status}; see what its server reports")]
    Status {
        /// URL of the request.
        url: PlainUrl,
        /// HTTP status.
        status: u16,
    },

    /// The server redirects from https to a URL without encryption, or too often.
    #[error("{url} redirects to {}, which is not followed: {why}", Readable(.to))]
    Redirected {
        /// URL of the request.
        url: PlainUrl,
        /// Target of the redirect, without credentials, query and fragment.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },

    /// The content is larger than what is accepted of its kind.
    #[error(
        "cannot fetch {url}: it is larger than {}, the limit for content of its kind; keep what is needed of it in the \
         repository",
        Size(*.limit_bytes)
    )]
    TooLarge {
        /// URL of the request.
        url: PlainUrl,
        /// Largest size that is accepted, in bytes.
        limit_bytes: usize,
    },

    /// The manifest in the registry has no layer of a Helm chart, or is an index of images.
    #[error("{url} holds no chart: {}", Readable(.detail))]
    NoChart {
        /// URL of the request.
        url: PlainUrl,
        /// What is there instead.
        detail: String,
    },

    /// A chart's archive does not have the digest that its repository's index states.
    #[error(
        "what came from {url} has the digest sha256:{found}, and sha256:{expected} is expected; it was changed after it \
             was published, or on the way"
    )]
    Digest {
        /// URL of the request.
        url: PlainUrl,
        /// Hexadecimal SHA-256 in the index.
        expected: String,
        /// Hexadecimal SHA-256 of the received archive.
        found: String,
    },

    /// It is neither a file nor a refusal.
    #[error("the answer of {url} is none that such a server gives: {}; see whether the URL is that of one", Readable(.detail))]
    Answer {
        /// URL of the request.
        url: PlainUrl,
        /// What is wrong with the answer or the URL.
        detail: String,
    },

    /// `ca.crt` of the login is no PEM, or holds no certificate.
    #[error("the certificates to trust for {url}, under ca.crt of the Secret that auth names, cannot be read: {}", Readable(.detail))]
    Authority {
        /// URL of the request.
        url: PlainUrl,
        /// What is wrong with it.
        detail: String,
    },

    /// What was fetched cannot be written to the store, or a remote base cannot be packed.
    #[error("cannot {action} {}: {cause}", path.display())]
    Storage {
        /// What failed, in words that follow "cannot".
        action: &'static str,
        /// Directory of the store, or the data directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

impl FetchError {
    /// What a status that is no success means.
    pub(super) fn of_status(url: &str, status: u16, retry_after: Option<&str>) -> Self {
        let url = PlainUrl::of(url);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_its_unit_and_what_to_do_and_no_credentials() {
        let url = || PlainUrl::of("https://bob:s3cret@charts.example.com/web.tgz?token=s3cret");
        let late = |awaited, seconds| FetchError::Timeout { url: url(), awaited, limit: Duration::from_secs(seconds) };
        let large = |limit_bytes| FetchError::TooLarge { url: url(), limit_bytes };
        for (error, says) in [
            (late(Awaited::ServerConnection, 10), "accepted no connection within 10 seconds; check the URL"),
            (late(Awaited::Data, 30), "sent nothing for 30 seconds; see whether it hangs"),
            (late(Awaited::Answer, 20), "gave no answer within 20 seconds; see whether it hangs"),
            (late(Awaited::Content, 120), "not there in full within 120 seconds; see whether"),
            (large(32 << 20), "larger than 32 MiB, the limit for content of its kind; keep what is needed"),
            (large(1 << 10), "larger than 1 KiB"),
            (large(100), "larger than 100 bytes"),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("cannot fetch https://charts.example.com/web.tgz: "), "{text}");
            assert!(text.contains(says) && !text.contains("s3cret"), "{text}");
        }
    }
}
