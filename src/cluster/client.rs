//! Requests to the API server: every one has a time limit, and those that it was too busy for
//! are repeated with a growing, jittered delay.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::access::name_the_account;
use super::error::with_causes;
use super::fence::fenced;
use super::leadership::NotLeader;
use super::renew::{Connected, connected};
use super::{ApiError, History, Leadership};
use crate::config::ServiceAccount;
use crate::limit::Limiter;
use crate::object::Managers;

/// Called after every answered or failed request: verb, HTTP status (`None`: no answer), time.
pub type RequestHook = Arc<dyn Fn(&'static str, Option<u16>, Duration) + Send + Sync>;

/// Which cluster, and who listens to the requests.
#[derive(Clone, Default)]
pub struct Connect {
    /// `None`: `$KUBECONFIG`, else `~/.kube/config`, else the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; `None`: its current one. With a context, the pod's service account is not tried.
    pub context: Option<String>,
    /// Called after every request; `None`: nobody counts them.
    pub hook: Option<RequestHook>,
    /// How often a request is sent at most while the server is not there; `None`: 6 times, over
    /// some 8 seconds.
    pub tries: Option<u32>,
    /// What could change something is sent only while this is held; `None`: always.
    pub leadership: Option<Leadership>,
    /// Shared by all connections to one API server.
    pub history: History,
}

/// One request may take this long.
const REQUEST: Duration = Duration::from_secs(30);
/// LISTs of many objects take longer.
const LIST: Duration = Duration::from_secs(90);
/// A request is sent at most this often.
const TRIES: u32 = 6;
/// The pause that the server asks for is honoured up to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 512 << 20;
/// The largest refusal of a watch that is read, in bytes.
const LARGEST_REFUSAL: usize = 1 << 20;

/// LISTs at once, of all syncs together, and those of one resource: each page of them is in memory whole.
const LISTS: usize = 24;
const LISTS_OF_ONE: usize = 8;
/// An answer from this size on, in bytes, is parsed on a thread where nobody waits for anything else.
const LARGE_ANSWER: usize = 256 << 10;

/// Why there is no answer, and how long the server asks to be left alone.
pub(super) type Unanswered = (ApiError, Option<Duration>);

/// A connection to one API server. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// The same without the user that the kubeconfig itself impersonates (`as`, `as-groups`).
    plain: Client,
    hook: Option<RequestHook>,
    impersonate: Option<Impersonated>,
    tries: u32,
    /// Once cancelled, no request is repeated.
    given_up: Option<CancellationToken>,
    history: History,
    /// Clones share it, whoever they impersonate.
    lists: Limiter,
    /// Who of those that write objects are people.
    managers: Arc<Managers>,
}

/// As whom requests are made, other than as whoever the kubeconfig says.
#[derive(Clone)]
struct Impersonated {
    account: ServiceAccount,
    user: HeaderValue,
}

/// One request, without what all have in common.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub verb: &'static str,
    pub method: Method,
    pub path: String,
    pub accept: &'static str,
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Cluster {
    /// Reads the kubeconfig or the pod's service account. Sends nothing yet.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub async fn connect(options: &Connect) -> Result<Self, ApiError> {
        let Connected { client, plain } = connected(options).await?;
        let fence = |client: Client| match &options.leadership {
            Some(leadership) => fenced(client, leadership.clone()),
            None => client,
        };
        let client = fence(client);
        let plain = plain.map_or_else(|| client.clone(), fence);
        Ok(Self {
            client,
            plain,
            hook: options.hook.clone(),
            impersonate: None,
            tries: options.tries.unwrap_or(TRIES),
            given_up: None,
            history: options.history.clone(),
            lists: Limiter::new(LISTS, LISTS_OF_ONE),
            managers: Arc::default(),
        })
    }

    /// The same for a sync that distinguishes people and controllers by these lists.
    #[must_use]
    pub fn knowing(&self, managers: &Arc<Managers>) -> Self {
        Self { managers: Arc::clone(managers), ..self.clone() }
    }

    /// Who of those that write objects are people.
    #[must_use]
    pub fn managers(&self) -> &Managers {
        &self.managers
    }

    /// The same server as another user: requests of a sync that names a service account. The API
    /// server knows one impersonation a request, so a user whom the kubeconfig impersonates is
    /// replaced by it: that user's groups must not be lent to the account. The account's own groups are
    /// added by the server.
    ///
    /// # Errors
    /// The name cannot be written in a header.
    pub fn impersonating(&self, account: Option<&ServiceAccount>) -> Result<Self, ApiError> {
        let Some(account) = account else { return Ok(self.clone()) };
        let user = HeaderValue::from_str(&account.user())
            .map_err(|_| ApiError::Request("serviceAccount has characters that no name can have".into()))?;
        let impersonate = Some(Impersonated { account: account.clone(), user });
        Ok(Self { client: self.plain.clone(), impersonate, ..self.clone() })
    }

    /// The same server, with each request sent at most so often.
    #[must_use]
    pub fn trying(&self, tries: u32) -> Self {
        Self { tries, ..self.clone() }
    }

    /// The same server, with no request repeated once `given_up` is cancelled: what was decided by then
    /// does not reach it later.
    #[must_use]
    pub fn repeating_until(&self, given_up: &CancellationToken) -> Self {
        Self { given_up: Some(given_up.clone()), ..self.clone() }
    }

    /// The kube client itself, for watches.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Who listens to the requests.
    #[must_use]
    pub fn hook(&self) -> Option<RequestHook> {
        self.hook.clone()
    }

    /// Whether the API server's history went back.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Sends a request until it is answered, or was tried often enough.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, ApiError> {
        let mut tried = 0;
        loop {
            let place = match call.verb {
                "list" => Some(self.lists.place(call.resource()).await),
                _ => None,
            };
            let began = Instant::now();
            let outcome = self.once(call).await;
            drop(place);
            tried += 1;
            if let Some(hook) = &self.hook {
                let code = match &outcome {
                    Ok(_) => Some(200),
                    Err((error, _)) => error.code(),
                };
                hook(call.verb, code, began.elapsed());
            }
            match outcome {
                Ok(value) => return Ok(value),
                Err((error, retry_after))
                    if error.is_transient() && error.code() != Some(500) && tried < self.tries =>
                {
                    if !self.rests(pause(tried, retry_after)).await {
                        return Err(error);
                    }
                }
                // The credentials have been read anew since.
                Err((error, _)) if error.code() == Some(401) && tried < 2.min(self.tries) => {
                    if !self.rests(pause(tried, None)).await {
                        return Err(error);
                    }
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// A pause before a request is repeated; `false`: it is not to be.
    async fn rests(&self, pause: Duration) -> bool {
        let Some(given_up) = &self.given_up else {
            tokio::time::sleep(pause).await;
            return true;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => !given_up.is_cancelled(),
            () = given_up.cancelled() => false,
        }
    }

    async fn once(&self, call: &Call) -> Result<Value, Unanswered> {
        let limit = if call.verb == "list" { LIST } else { REQUEST };
        match timeout(limit, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err((ApiError::Timeout(limit), None)),
        }
    }

    /// Sends a request once and gives the answer's body as it comes. `limit` is for the headers, and
    /// so is the time given to the hook.
    ///
    /// # Errors
    /// What went wrong, and for how long the server asks to be left alone.
    pub(super) async fn open(&self, call: &Call, limit: Duration) -> Result<Body, Unanswered> {
        let began = Instant::now();
        let opened = async {
            let (parts, body) = self.send(call).await?.into_parts();
            if parts.status.is_success() {
                return Ok(body);
            }
            let body = read(body, LARGEST_REFUSAL).await?;
            Err((self.refusal(parts.status.as_u16(), &body), retry_after(&parts.headers)))
        };
        let outcome = timeout(limit, opened).await.unwrap_or(Err((ApiError::Timeout(limit), None)));
        if let Some(hook) = &self.hook {
            let code = match &outcome {
                Ok(_) => Some(200),
                Err((error, _)) => error.code(),
            };
            hook(call.verb, code, began.elapsed());
        }
        outcome
    }

    async fn send(&self, call: &Call) -> Result<Response<Body>, Unanswered> {
        let plain = |error: ApiError| (error, None);
        let mut request = Request::builder().method(call.method.clone()).uri(&call.path).header(ACCEPT, call.accept);
        if let Some(other) = &self.impersonate {
            request = request.header(HeaderName::from_static("impersonate-user"), &other.user);
        }
        if call.verb == "watch" {
            // Newer servers make every event a gzip member of its own, and our decoder ends with the
            // first one (tower-rs/tower-http#737); kube does the same for its watches.
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        let mut bytes = Vec::new();
        if let Some((kind, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *kind);
            bytes.clone_from(body);
        }
        let request = request
            .body(Body::from(bytes))
            .map_err(|error| plain(ApiError::Request(format!("{}: {error}", call.path))))?;
        self.client.send(request).await.map_err(|error| {
            plain(refusal(&error).map_or_else(|| ApiError::Unreachable(with_causes(&error)), ApiError::NotLeader))
        })
    }

    fn refusal(&self, code: u16, body: &[u8]) -> ApiError {
        let error = ApiError::from_answer(code, body);
        match &self.impersonate {
            Some(Impersonated { account, .. }) if code == 403 => {
                error.map_messages(|message| name_the_account(message, &account.namespace, &account.name))
            }
            _ => error,
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Value, Unanswered> {
        let (parts, body) = self.send(call).await?.into_parts();
        let body = read(body, LARGEST_ANSWER).await?;
        if !parts.status.is_success() {
            return Err((self.refusal(parts.status.as_u16(), &body), retry_after(&parts.headers)));
        }
        // The position in the answer is reported, its text never: it may be a Secret.
        let garbled = |error: serde_json::Error| {
            let place = format!("no JSON at line {}, column {}", error.line(), error.column());
            (ApiError::Garbled(place), None)
        };
        if body.len() < LARGE_ANSWER {
            return serde_json::from_slice(&body).map_err(garbled);
        }
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&body)).await;
        parsed.map_err(|error| (ApiError::Garbled(with_causes(&error)), None))?.map_err(garbled)
    }
}

impl Call {
    /// The last part of the path: for a LIST, the plural of what is listed.
    fn resource(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

/// That a request was stopped by the fence, if that is what an error comes from.
fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<NotLeader> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<NotLeader>() {
            return Some(*refusal);
        }
        cause = error.source();
    }
    None
}

/// Reads an answer of at most so many bytes.
async fn read(body: Body, most: usize) -> Result<Vec<u8>, Unanswered> {
    let body = http_body_util::Limited::new(body, most).collect().await;
    body.map(|body| body.to_bytes().into()).map_err(|error| (ApiError::Garbled(with_causes(&*error)), None))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// 0.2 s, 0.4 s, 0.8 s, … or what the server asked for, each with up to half as much on top,
/// so that many clients do not come back at once.
fn pause(tried: u32, retry_after: Option<Duration>) -> Duration {
    let base = retry_after.unwrap_or_else(|| Duration::from_millis(100 << tried.min(8))).min(LONGEST_PAUSE);
    base.mul_f64(1.0 + fastrand::f64() / 2.0)
}

/// Percent-encodes a value for a query or as one segment of a path (RFC 3986).
pub(super) fn query(value: &str) -> String {
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    // In a path a plus sign stands for itself.
    form.replace('+', "%20")
}
