//! What a running agent says at its `listen` address, where it can be reached from here: in its pod, on the same
//! machine, or by `kubectl port-forward`. It knows at once what the cluster is told only every 30 s.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

use crate::plan::SyncStatus;

/// For all of it; without an answer what is stored has to do.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any agent says.
const MOST_BYTES: u64 = 64 << 20;

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
    tokio::task::spawn_blocking(move || exchange(address)).await.ok()?
}

fn exchange(address: SocketAddr) -> Option<Vec<SyncStatus>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

/// The body of an HTTP/1.0 answer, which ends with the connection.
fn parse(answer: &[u8]) -> Option<Vec<SyncStatus>> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1) != Some("200") {
        return None;
    }
    Some(serde_json::from_str::<Status>(body).ok()?.syncs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_otherwise_is_no_agent() {
        let good = "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"syncs\": [{\"sync\": \"shop\"}]}";
        assert_eq!(parse(good.as_bytes()).unwrap()[0].sync, "shop");
        for bad in ["", "HTTP/1.0 404 Not Found\r\n\r\n{\"syncs\": []}", "HTTP/1.0 200 OK\r\n\r\n<html>", "\u{0}"] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
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
