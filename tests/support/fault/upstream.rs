//! The way to the real API server, with the credentials of the devcluster.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::Service;

use super::answer::{Answer, Broken};
use crate::support::cluster::cluster;

#[derive(Clone)]
pub struct Upstream(Client);

impl Upstream {
    pub async fn connect() -> Self {
        let file = Kubeconfig::read_from(&cluster().kubeconfig).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.expect("a usable kubeconfig");
        // What the agent sends is sent once.
        config.default_retry = false;
        Self(Client::try_from(config).expect("a client"))
    }
}

impl Service<Request<Bytes>> for Upstream {
    type Response = Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Response<Answer>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let sent = client.send(request.map(Body::from)).await;
            let answer = sent.map_err(|error| Broken(format!("the API server: {error}")))?;
            Ok(answer.map(|body| body.map_err(|error| Broken(error.to_string())).boxed_unsync()))
        })
    }
}
