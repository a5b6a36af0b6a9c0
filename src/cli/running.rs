//! What a running agent says at its `listen` address, where it can be reached from here: in its pod, on the same
//! machine, or by `kubectl port-forward`. It knows at once what is written to the cluster every 30 s at most.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::plan::SyncStatus;

/// For all of it; without an answer what is stored has to do.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any agent says.
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, Deserialize)]
struct Status {
    syncs: Vec<SyncStatus>,
}

/// The syncs of the agent that listens there; `None` where none answers as one.
pub(super) async fn ask(listen: SocketAddr) -> Option<Vec<SyncStatus>> {
    tokio::time::timeout(PATIENCE, answer(reachable(listen))).await.ok()?
}

/// An agent that listens on all addresses listens on that of the machine itself, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()) } else { listen }
}

async fn answer(address: SocketAddr) -> Option<Vec<SyncStatus>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("http://{address}/status").parse().ok()?).await.ok()?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.ok()?.to_bytes();
    parse(code, &body)
}

fn parse(code: StatusCode, body: &[u8]) -> Option<Vec<SyncStatus>> {
    let status: Status = serde_json::from_slice(body).ok().filter(|_| code.is_success())?;
    Some(status.syncs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_otherwise_is_no_agent() {
        let good = "{\"syncs\": [{\"sync\": \"shop\"}]}";
        assert_eq!(parse(StatusCode::OK, good.as_bytes()).unwrap()[0].sync, "shop");
        assert!(parse(StatusCode::NOT_FOUND, good.as_bytes()).is_none());
        for bad in ["", "<html>", "{}", "\u{0}"] {
            assert!(parse(StatusCode::OK, bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn all_addresses_are_reached_on_the_machine_itself() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(of("[::]:8080"), "127.0.0.1:8080");
        assert_eq!(of("10.1.2.3:80"), "10.1.2.3:80");
    }
}
