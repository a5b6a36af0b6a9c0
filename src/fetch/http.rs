//! One file over https.

use std::error::Error as _;
use std::sync::Once;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{ETAG, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Response, StatusCode};

use super::error::FetchError;
use super::login::Login;
use crate::object::PlainUrl;

/// Until a server must have accepted the connection, and until it must have sent something more.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// What servers see of who asks.
pub(super) const USER_AGENT: &str = concat!("driftless/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 5;

/// Fetches files from servers, by the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`).
#[derive(Clone, Debug, Default)]
pub struct Web;

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
    /// The server cannot be reached, is not trusted, takes longer than `limit`, refuses, or sends more.
    pub async fn get(
        &self,
        url: &str,
        login: Option<&Login>,
        etag: Option<&str>,
        limit_bytes: usize,
        limit: Duration,
    ) -> Result<Download, FetchError> {
        let fetch = fetch(url, login, etag, limit_bytes);
        let timeout = || FetchError::Timeout { url: PlainUrl::of(url), limit };
        tokio::time::timeout(limit, fetch).await.map_err(|_| timeout())?
    }
}

async fn fetch(
    url: &str,
    login: Option<&Login>,
    etag: Option<&str>,
    limit_bytes: usize,
) -> Result<Download, FetchError> {
    let client = client(url, login)?.redirect(Policy::custom(follow)).build();
    let client = client.map_err(|error| failed(url, error))?;
    let mut request = client.get(url);
    if let Some((user, password)) = login.and_then(|login| login.user.as_ref()) {
        request = request.basic_auth(user, Some(password));
    }
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = request.send().await.map_err(|error| failed(url, error))?;
    if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
        return Ok(Download::Unchanged);
    }
    if !response.status().is_success() {
        return Err(refused(url, &response));
    }
    let validator = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Download::New { bytes: body(url, response, limit_bytes).await?, validator })
}

/// A client that trusts what the system does, and the login's own authority.
fn client(url: &str, login: Option<&Login>) -> Result<ClientBuilder, FetchError> {
    install_provider();
    let builder = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).user_agent(USER_AGENT);
    let Some(authority) = login.and_then(|login| login.authority.as_ref()) else { return Ok(builder) };
    Ok(builder.tls_certs_merge(certificates(url, authority)?))
}

/// The authorities in a file in PEM, of which there has to be one.
pub(super) fn certificates(url: &str, pem: &[u8]) -> Result<Vec<Certificate>, FetchError> {
    let wrong = |detail: String| FetchError::Authority { url: PlainUrl::of(url), detail };
    let found = Certificate::from_pem_bundle(pem).map_err(|error| wrong(error.without_url().to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in PEM".into())) } else { Ok(found) }
}

/// The cryptography of TLS is that of kube. A program that has chosen another keeps it.
pub(super) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Redirects, as the archives of many chart repositories have them; never from https to http.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let less_safe =
        attempt.previous().last().is_some_and(|from| from.scheme() == "https") && attempt.url().scheme() != "https";
    if less_safe {
        return refuse(attempt, "it is not encrypted");
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return refuse(attempt, "too many redirects");
    }
    attempt.follow()
}

/// A redirect that is not followed.
#[derive(Debug, thiserror::Error)]
#[error("redirect to {to}: {why}")]
struct NotFollowed {
    to: String,
    why: &'static str,
}

fn refuse(attempt: Attempt<'_>, why: &'static str) -> reqwest::redirect::Action {
    let to = PlainUrl::of(attempt.url().as_str()).to_string();
    attempt.error(NotFollowed { to, why })
}

async fn body(url: &str, response: Response, limit_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { url: PlainUrl::of(url), limit_bytes };
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| failed(url, error))?;
        if bytes.len() + chunk.len() > limit_bytes {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn refused(url: &str, response: &Response) -> FetchError {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    FetchError::of_status(url, response.status().as_u16(), retry_after)
}

/// What a failed request means. Its own text has the URL, redirects with their queries included, and is not used.
pub(super) fn failed(url: &str, error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(not_followed) = cause.downcast_ref::<NotFollowed>() {
            let (to, why) = (not_followed.to.clone(), not_followed.why);
            return FetchError::Redirected { url: PlainUrl::of(url), to, why };
        }
        causes.push(cause.to_string());
        next = cause.source();
    }
    if error.is_timeout() {
        return FetchError::Timeout {
            url: PlainUrl::of(url),
            limit: if error.is_connect() { CONNECT } else { SILENCE },
        };
    }
    let detail = causes.pop().unwrap_or_else(|| error.to_string());
    let of_tls = ["certificate", "UnknownIssuer", "CertNotValidForName"].iter().any(|word| detail.contains(word));
    if of_tls {
        return FetchError::Certificate { url: PlainUrl::of(url), detail };
    }
    FetchError::Unreachable { url: PlainUrl::of(url), detail }
}
