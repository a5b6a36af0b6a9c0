//! One file over https.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::error::{Awaited, FetchError};
use super::exchange::{Get, Redirects, ServerConnection, body, refused};
use super::login::Login;
use crate::object::PlainUrl;

/// Fetches files from servers, by the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`).
#[derive(Clone, Debug, Default)]
pub struct Web;

/// How long a fetch may take, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTimeouts {
    /// Until the server must have said what it has.
    pub answer: Duration,
    /// Until the content must be there.
    pub content: Duration,
}

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Download {
    /// The file, and what its source calls this content: an `ETag`, or a commit.
    New {
        /// The file as it was sent; of a commit, its files as a tar archive.
        bytes: Vec<u8>,
        /// `None` where the source gives none: it is fetched whole the next time.
        validator: Option<String>,
    },
    /// It is the one with the validator that was sent along.
    Unchanged,
}

impl Web {
    /// Fetches a file of at most so many bytes, as it is: what is packed stays so. The login goes to the URL's own server,
    /// and along no redirect to another.
    ///
    /// # Errors
    /// The server cannot be reached, is not trusted, takes too long, refuses, sends more, or answers with another status
    /// than 200: a 202 or 204 without a body is no empty file.
    pub async fn get(
        &self,
        url: &str,
        login: Option<&Login>,
        etag: Option<&str>,
        limit_bytes: usize,
        patience: FetchTimeouts,
    ) -> Result<Download, FetchError> {
        let began = Instant::now();
        let late = |awaited, limit: Duration| FetchError::Timeout { url: PlainUrl::of(url), awaited, limit };
        let connection = ServerConnection::new(url, login)?;
        let get = Get { url, authorization: basic(url, login)?, accept: None, etag, redirects: Redirects::Followed };
        let answered = timeout_at(began + patience.answer, connection.get(get)).await;
        let response = answered.map_err(|_| late(Awaited::Answer, patience.answer))??;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(Download::Unchanged),
            StatusCode::OK => {}
            _ => return Err(refused(url, &response)),
        }
        let validator = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = timeout_at(began + patience.content, body(response, limit_bytes)).await;
        Ok(Download::New { bytes: bytes.map_err(|_| late(Awaited::Content, patience.content))??, validator })
    }
}

/// The header for basic authentication (RFC 7617); `None` where the login has no user.
pub(super) fn basic(url: &str, login: Option<&Login>) -> Result<Option<HeaderValue>, FetchError> {
    use base64::Engine as _;
    let Some((user, password)) = login.and_then(|login| login.user.as_ref()) else { return Ok(None) };
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    secret_header(url, &format!("Basic {encoded}")).map(Some)
}

/// A header whose value is never printed.
pub(super) fn secret_header(url: &str, value: &str) -> Result<HeaderValue, FetchError> {
    let wrong = |_| FetchError::Answer { url: PlainUrl::of(url), detail: "its token fits into no header".to_owned() };
    let mut value = HeaderValue::from_str(value).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}
