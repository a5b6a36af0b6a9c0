//! The requests of one call: where they go, what goes along, and how long is waited. Redirects are followed here and not by the
//! HTTP client, since which credentials go along is a question of this program.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use hyper::body::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use super::address::{plain, repository, service};
use super::body::{Body, Limit};
use super::failure::{Asked, Sent, Unresolved};
use super::tls::{self, Verifier};
use crate::object::PlainUrl;
use crate::source::error::SourceError;
use crate::source::login::Login;
use crate::source::scrub::{Scrubber, percent_decoded};

/// Until a server must have accepted the connection, and until it must have sent something more.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// How often it is seen whether the call was given up.
const TICK: Duration = Duration::from_millis(200);
/// As of the first request that is followed.
const MOST_REDIRECTS: usize = 5;
/// Servers tell git by this beginning from browsers.
const USER_AGENT: &str = concat!("git/2.0 (driftless ", env!("CARGO_PKG_VERSION"), ")");

/// What a call is made with.
#[derive(Clone)]
pub(in crate::source) struct Settings {
    /// With the credentials in it.
    pub url: String,
    pub scrub: Scrubber,
    pub login: Option<Arc<Login>>,
    pub cancel: Arc<AtomicBool>,
    /// `polling` or `fetching from`.
    pub action: &'static str,
    /// Bytes of one pack.
    pub most_bytes: usize,
}

/// Which version of git's protocol is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// What libgit2 speaks.
    Zero,
    Two,
}

/// The connections of one call to one server, and to where that one redirects.
pub(super) struct Session {
    pub(super) settings: Settings,
    /// Of this thread: it works while a request is waited for. There until the end.
    runtime: Option<Runtime>,
    origin: url::Origin,
    verifier: Arc<Verifier>,
    /// With our certificate, for the server of the URL.
    own: Client,
    /// For all others.
    other: OnceLock<Client>,
    has_client: bool,
    proxies: Matcher,
    /// The header of the login, which goes along at once.
    of_secret: Option<HeaderValue>,
    /// That of the URL, which goes along once the server has asked for it.
    of_url: Option<HeaderValue>,
    place: Mutex<Place>,
}

/// Where requests go.
#[derive(Clone)]
struct Place {
    /// Of the repository, without credentials and query.
    base: Url,
    /// The server of the URL has asked who we are.
    asked: bool,
}

impl Session {
    /// Does no I/O.
    ///
    /// # Errors
    /// The URL or the login cannot be used.
    pub fn open(settings: Settings) -> Result<Self, SourceError> {
        let login = settings.login.as_deref();
        let shown = || settings.scrub.display_url().to_owned();
        let unusable = |detail: String| SourceError::Login { url: shown(), detail: settings.scrub.scrub(&detail) };
        let failed = |detail: String| SourceError::Unreachable { url: shown(), detail: settings.scrub.scrub(&detail) };
        let url = Url::parse(&settings.url).map_err(|error| failed(format!("this is no URL: {error}")))?;
        let verifier = Arc::new(Verifier::new(login).map_err(unusable)?);
        let client = tls::client(login).map_err(unusable)?;
        let has_client = client.is_some();
        let config = verifier.config(client).map_err(unusable)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(format!("no connection can be made: {error}")))?;
        let own = client_with(config).map_err(|error| failed(error.without_url().to_string()))?;
        let of_secret = login.and_then(|login| match (&login.basic, &login.bearer) {
            (Some((user, password)), _) => basic(user, password),
            (None, Some(token)) => secret(format!("Bearer {token}")),
            (None, None) => None,
        });
        // A token that stands alone is a user name with an empty password.
        let password = percent_decoded(url.password().unwrap_or_default());
        let of_url = Some(percent_decoded(url.username())).filter(|user| !user.is_empty());
        let of_url = of_url.and_then(|user| basic(&user, &password));
        let origin = url.origin();
        Ok(Self {
            runtime: Some(runtime),
            origin,
            verifier,
            own,
            other: OnceLock::new(),
            has_client,
            proxies: Matcher::from_system(),
            of_secret,
            of_url,
            place: Mutex::new(Place { base: plain(url), asked: false }),
            settings,
        })
    }

    /// The first request, which follows redirects: what the server is, and its references.
    ///
    /// # Errors
    /// It gave nothing.
    pub fn references(self: &Arc<Self>, version: Version) -> Result<Body, SourceError> {
        let response = self.wait(self.first(version))??;
        Ok(Body::new(self, response, Limit::References(super::refs::MOST_BYTES)))
    }

    /// A request to where the first one has led.
    ///
    /// # Errors
    /// It gave nothing.
    pub fn exchange(self: &Arc<Self>, request: Vec<u8>, version: Version, limit: Limit) -> Result<Body, SourceError> {
        let response = self.wait(self.post(request.into(), version))??;
        Ok(Body::new(self, response, limit))
    }

    async fn first(&self, version: Version) -> Result<Response, SourceError> {
        let mut redirects = 0;
        loop {
            let place = self.place();
            let url = service(&place.base, "/info/refs", Some("service=git-upload-pack"));
            let request = self.client(&url)?.get(url.clone()).header(ACCEPT, "*/*");
            let response = self.send(request, &place, version).await?;
            if response.status().is_redirection() && response.headers().contains_key(LOCATION) {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(self.asked(&place).unreachable("too many redirects"));
                }
                let base = self.redirected(&place, &url, &response)?;
                self.place.lock().unwrap_or_else(PoisonError::into_inner).base = base;
            } else if !self.is_asked_now(&place, &response)? {
                return self.expect(response, &place, "application/x-git-upload-pack-advertisement");
            }
        }
    }

    async fn post(&self, body: Bytes, version: Version) -> Result<Response, SourceError> {
        loop {
            let place = self.place();
            let url = service(&place.base, "/git-upload-pack", None);
            let request = self.client(&url)?.post(url.clone()).body(body.clone());
            let request = request
                .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
                .header(ACCEPT, "application/x-git-upload-pack-result");
            let response = self.send(request, &place, version).await?;
            if response.status().is_redirection() && response.headers().contains_key(LOCATION) {
                let to = self.redirected(&place, &url, &response)?;
                let why = "by a request that is not the first one, and is not followed";
                return Err(self.asked(&place).redirected(to.as_str(), why));
            }
            if !self.is_asked_now(&place, &response)? {
                return self.expect(response, &place, "application/x-git-upload-pack-result");
            }
        }
    }

    async fn send(&self, request: RequestBuilder, place: &Place, version: Version) -> Result<Response, SourceError> {
        let header = match self.sent(place) {
            Sent::Nothing => None,
            Sent::OfUrl => self.of_url.clone(),
            Sent::OfSecret => self.of_secret.clone(),
        };
        let request = match header {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        };
        let request = if version == Version::Two { request.header("git-protocol", "version=2") } else { request };
        request.send().await.map_err(|error| self.asked(place).of_request(&error))
    }

    /// Whether the server asks for the credentials in the URL, which then go along from now on.
    fn is_asked_now(&self, place: &Place, response: &Response) -> Result<bool, SourceError> {
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        if !self.is_own(&place.base) {
            let why = "which asks for credentials, and those of this URL are sent to no other server";
            return Err(self.asked(place).redirected(place.base.as_str(), why));
        }
        let mut schemes = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let basic =
            schemes.any(|scheme| scheme.as_bytes().to_ascii_lowercase().windows(5).any(|five| five == b"basic"));
        if basic && self.of_secret.is_none() && self.of_url.is_some() && !place.asked {
            self.place.lock().unwrap_or_else(PoisonError::into_inner).asked = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// An answer with this type, or why it is none.
    fn expect(&self, response: Response, place: &Place, content: &str) -> Result<Response, SourceError> {
        if response.status() != StatusCode::OK {
            return Err(self.asked(place).of_status(response.status(), response.headers(), Timestamp::now()));
        }
        let found = response.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let found = found.as_deref().unwrap_or("nothing that says what it is");
        if found.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(content)) {
            return Ok(response);
        }
        let detail = format!("it does not answer as a git server does, but with {found}");
        Err(self.asked(place).unreachable(&detail))
    }

    /// The address of the repository to which a request for one of its services is redirected.
    fn redirected(&self, place: &Place, from: &Url, response: &Response) -> Result<Url, SourceError> {
        let location = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let to = location.and_then(|location| from.join(&location).ok());
        let to = to.ok_or_else(|| self.asked(place).unreachable("it redirects to nothing that is an address"))?;
        let to = repository(plain(to));
        let is_safe = to.scheme() == "https" || to.scheme() == "http" && from.scheme() == "http";
        if is_safe {
            return Ok(to);
        }
        let to = PlainUrl::of(to.as_str()).to_string();
        Err(self.asked(place).redirected(&to, "which is less safe than the URL and is not followed"))
    }

    fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.origin
    }

    fn client(&self, url: &Url) -> Result<Client, SourceError> {
        if self.is_own(url) || !self.has_client {
            return Ok(self.own.clone());
        }
        if let Some(other) = self.other.get() {
            return Ok(other.clone());
        }
        let config = self.verifier.config(None);
        let client = config.and_then(|config| client_with(config).map_err(|error| error.without_url().to_string()));
        let client = client.map_err(|detail| self.asked(&self.place()).unreachable(&detail))?;
        Ok(self.other.get_or_init(|| client).clone())
    }

    /// The credentials that go along.
    fn sent(&self, place: &Place) -> Sent {
        match self.is_own(&place.base) {
            true if self.of_secret.is_some() => Sent::OfSecret,
            true if self.of_url.is_some() && place.asked => Sent::OfUrl,
            _ => Sent::Nothing,
        }
    }

    /// For errors.
    fn asked(&self, place: &Place) -> Asked<'_> {
        let base = &place.base;
        let port = base.port_or_known_default().unwrap_or_default();
        let uri = base.as_str().parse::<http::Uri>().ok();
        let proxy = uri.and_then(|uri| self.proxies.intercept(&uri));
        // Its credentials are not in there.
        let proxy = proxy.map(|proxy| proxy.uri().to_string().trim_end_matches('/').to_owned());
        Asked {
            scrub: &self.settings.scrub,
            server: format!("{}:{port}", base.host_str().unwrap_or_default()),
            elsewhere: (!self.is_own(base)).then(|| PlainUrl::of(base.as_str()).to_string()),
            sent: self.sent(place),
            has_client: self.has_client && self.is_own(base),
            wants_client: self.verifier.wants_client(),
            proxy,
            untrusted: self.verifier.untrusted(),
        }
    }

    /// For errors of what is read.
    pub fn asked_last(&self) -> Asked<'_> {
        self.asked(&self.place())
    }

    /// Blocks this thread, until the call is given up.
    pub fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> Result<T, SourceError> {
        let settings = &self.settings;
        let cancelled =
            || SourceError::Cancelled { url: settings.scrub.display_url().to_owned(), action: settings.action };
        let runtime = self.runtime.as_ref().ok_or_else(cancelled)?;
        let work = async {
            let mut work = pin!(work);
            while !settings.cancel.load(Ordering::Relaxed) {
                if let Ok(done) = timeout(TICK, &mut work).await {
                    return Ok(done);
                }
            }
            Err(cancelled())
        };
        if Handle::try_current().is_err() {
            return runtime.block_on(work);
        }
        // A thread that is in a runtime already cannot enter another one.
        thread::scope(|scope| {
            let waiting = thread::Builder::new().spawn_scoped(scope, || runtime.block_on(work));
            let waiting = waiting.map_err(|error| self.asked_last().unreachable(&error.to_string()))?;
            waiting.join().unwrap_or_else(|panicked| resume_unwind(panicked))
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without waiting for the resolution of a name, which nobody can end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Resolves names as the system does, and keeps why it could not.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
            match found {
                Ok(found) => Ok(Box::new(found.into_iter()) as Addrs),
                Err(cause) => Err(Unresolved { name: name.as_str().to_owned(), cause }.into()),
            }
        })
    }
}

fn client_with(config: rustls::ClientConfig) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .tls_backend_preconfigured(config)
        .dns_resolver(Arc::new(Names))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(USER_AGENT);
    builder.redirect(Policy::none()).referer(false).build()
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    secret(format!("Basic {encoded}"))
}

fn secret(header: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(header).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_credentials_is_marked() {
        let header = basic("ada", "x").unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("Basic"));
        assert_eq!(header.to_str().unwrap(), "Basic YWRhOng=");
        assert!(secret("Bearer a\nb".to_owned()).is_none());
    }
}
