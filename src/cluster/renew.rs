//! A client whose credentials are read anew when the server does not take them any more. Certificates,
//! authorities and whole kubeconfigs are replaced on disk while the agent runs; kube by itself reads
//! only token files again, and decides when by the wall clock, which may jump.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header::USER_AGENT};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::Service;

use super::error::with_causes;
use super::{ApiError, Connect};

/// Between two readings lies at least this: what a server refuses may be refused for good.
const REST: Duration = Duration::from_secs(5);

/// Where to read how to connect.
#[derive(Clone)]
struct ConnectionSource {
    /// Without the impersonation that a kubeconfig may ask for.
    plain: bool,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl ConnectionSource {
    async fn config(&self) -> Result<Config, ApiError> {
        let choice = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
                Config::from_custom_kubeconfig(file, &choice).await.map_err(|error| failed(&error))?
            }
            None if self.context.is_some() => Config::from_kubeconfig(&choice).await.map_err(|error| failed(&error))?,
            None => Config::infer().await.map_err(|error| failed(&error))?,
        };
        if self.plain {
            config.auth_info.impersonate = None;
            config.auth_info.impersonate_groups = None;
        }
        config.connect_timeout = Some(Duration::from_secs(10));
        // Repeating is done by `Cluster`, where the server's Retry-After and a bound are known.
        config.default_retry = false;
        config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("driftless/", env!("CARGO_PKG_VERSION")))));
        Ok(config)
    }

    /// Reads everything and makes a client, which may run a program that gives credentials.
    async fn client(&self) -> Result<Client, ApiError> {
        built(self.config().await?).await
    }
}

async fn built(config: Config) -> Result<Client, ApiError> {
    let built = tokio::task::spawn_blocking(|| ClientBuilder::try_from(config).map(ClientBuilder::build));
    built.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> ApiError {
    ApiError::Configuration(with_causes(error))
}

/// What [`connected`] gives.
pub(super) struct Connected {
    pub client: Client,
    /// One that impersonates nobody, where the kubeconfig asks for that.
    pub plain: Option<Client>,
}

/// Clients as the options say.
///
/// # Errors
/// There is nothing to connect with, or it cannot be used.
pub(super) async fn connected(options: &Connect) -> Result<Connected, ApiError> {
    let origin =
        ConnectionSource { plain: false, kubeconfig: options.kubeconfig.clone(), context: options.context.clone() };
    let config = origin.config().await?;
    let auth = &config.auth_info;
    let plain = if auth.impersonate.is_some() || auth.impersonate_groups.is_some() {
        let origin = ConnectionSource { plain: true, ..origin.clone() };
        let config = origin.config().await?;
        Some(renewing(origin, config).await?)
    } else {
        None
    };
    Ok(Connected { client: renewing(origin, config).await?, plain })
}

async fn renewing(origin: ConnectionSource, config: Config) -> Result<Client, ApiError> {
    let namespace = config.default_namespace.clone();
    let state = Mutex::new(ClientState { client: built(config).await?, read: None });
    Ok(Client::new(Renewing { shared: Arc::new(SharedClient { origin, state }) }, namespace))
}

/// Sends through the newest client, and makes a new one when that one is refused or reaches nobody.
#[derive(Clone)]
struct Renewing {
    shared: Arc<SharedClient>,
}

struct SharedClient {
    origin: ConnectionSource,
    state: Mutex<ClientState>,
}

struct ClientState {
    client: Client,
    /// When it was read last after the first time.
    read: Option<Instant>,
}

impl SharedClient {
    fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever comes first reads; the others go on, and find the new client when they try again.
    async fn renew(&self) {
        {
            let mut state = self.state();
            if state.read.is_some_and(|read| read.elapsed() < REST) {
                return;
            }
            state.read = Some(Instant::now());
        }
        match self.origin.client().await {
            Ok(client) => self.state().client = client,
            // Half written, perhaps. What there was stays, and it is read again.
            Err(error) => tracing::debug!(%error, "the credentials for the API server cannot be read again"),
        }
    }
}

impl Service<Request<Body>> for Renewing {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    /// Each client has a queue of its own.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let client = shared.state().client.clone();
            let answer = client.send(request).await;
            let suspected = answer.as_ref().map_or(true, |answer| answer.status() == StatusCode::UNAUTHORIZED);
            if suspected {
                shared.renew().await;
            }
            answer
        })
    }
}
