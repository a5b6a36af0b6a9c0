//! Against a server that speaks HTTP by hand, so that the order of things is certain.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::{ApiError, Applied, Cluster, Connect, DryRun, Leadership, NotLeader, Resource};
use crate::object::ObjectId;

const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";

struct Server {
    listener: TcpListener,
    cluster: Cluster,
    leadership: Leadership,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let leadership = Leadership::to_be_won();
        let connect = Connect {
            kubeconfig: Some(kubeconfig),
            tries: Some(3),
            leadership: Some(leadership.clone()),
            ..Connect::default()
        };
        let cluster = Cluster::connect(&connect).await.unwrap();
        Self { listener, cluster, leadership, _directory: directory }
    }

    fn apply(&self, dry_run: DryRun) -> JoinHandle<Result<Applied, ApiError>> {
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            let id = ObjectId::new("", "ConfigMap", Some("shop"), "a");
            cluster.apply(&id, &Resource::core("configmaps", true), &object(), dry_run).await
        })
    }

    /// The next connection, and the head of its request.
    fn head(&self) -> (TcpStream, String) {
        let (mut connection, _) = self.listener.accept().unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (connection, String::from_utf8(head).unwrap())
    }
}

fn object() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop", "uid": "u"}})
}

fn answer(code: u16, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {code} It\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// What comes of the body within a moment.
fn body_of(connection: &mut TcpStream) -> Vec<u8> {
    let mut body = vec![0; object().to_string().len()];
    let read = connection.read(&mut body).unwrap_or_default();
    body[..read].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_sends_its_body_when_the_server_has_answered_to_its_head() {
    let server = Server::start().await;
    server.leadership.renewed(server.leadership.now());
    let applied = server.apply(DryRun::No);
    let (mut connection, head) = server.head();
    assert!(head.to_lowercase().contains("expect: 100-continue"), "{head}");
    let timeout = head.split("timeout=").nth(1).and_then(|rest| rest.split("ms").next()).expect("a timeout");
    let timeout: u64 = timeout.parse().unwrap();
    assert!((12_000..=13_000).contains(&timeout), "14 s are sure, less one for the head: {timeout}");
    assert!(body_of(&mut connection).is_empty(), "nothing follows yet");
    connection.write_all(GO_ON.as_bytes()).unwrap();
    assert_eq!(body_of(&mut connection), object().to_string().as_bytes());
    connection.write_all(answer(200, &object()).as_bytes()).unwrap();
    assert_eq!(&*applied.await.unwrap().unwrap().live.uid, "u");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_given_up_may_be_carried_out_and_one_with_an_answer_was() {
    let server = Server::start().await;
    server.leadership.renewed(server.leadership.now());
    for (code, given_up) in [(200, false), (409, false), (200, true)] {
        let applied = server.apply(DryRun::No);
        let (mut connection, _) = server.head();
        connection.write_all(GO_ON.as_bytes()).unwrap();
        assert!(!body_of(&mut connection).is_empty());
        assert!(server.leadership.has_unanswered_write(), "it is under way");
        if given_up {
            applied.abort();
            assert!(applied.await.is_err_and(|error| error.is_cancelled()));
        } else {
            connection.write_all(answer(code, &object()).as_bytes()).unwrap();
            let _ = applied.await.unwrap();
        }
        // Until then the Lease is not given up.
        assert_eq!(server.leadership.has_unanswered_write(), given_up, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_write_stays_here_when_leadership_was_lost_meanwhile() {
    let server = Server::start().await;
    server.leadership.renewed(server.leadership.now());
    let applied = server.apply(DryRun::No);
    let (mut connection, _) = server.head();
    server.leadership.give_up();
    let error = applied.await.unwrap().unwrap_err();
    assert!(matches!(error, ApiError::NotLeader(NotLeader::GivenUp)), "{error}");
    // What held the connection back lets go.
    let _ = connection.write_all(GO_ON.as_bytes());
    assert!(body_of(&mut connection).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_waits_for_a_renewal_when_the_head_took_long() {
    let server = Server::start().await;
    server.leadership.renewed(server.leadership.now());
    let applied = server.apply(DryRun::No);
    let (mut connection, _) = server.head();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    connection.write_all(GO_ON.as_bytes()).unwrap();
    assert!(body_of(&mut connection).is_empty(), "the server's patience would outlast what is sure");
    server.leadership.renewed(server.leadership.now());
    assert!(!body_of(&mut connection).is_empty());
    connection.write_all(answer(200, &object()).as_bytes()).unwrap();
    assert!(applied.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_lead_reads_and_asks_and_writes_nothing() {
    let server = Server::start().await;
    let refused = server.apply(DryRun::No).await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "this agent does not lead, so nothing was changed");
    assert!(!refused.is_transient());
    let asked = server.apply(DryRun::Yes);
    let (mut connection, head) = server.head();
    assert!(head.starts_with("PATCH") && head.contains("dryRun=All") && !head.contains("timeout="), "{head}");
    connection.write_all(answer(200, &object()).as_bytes()).unwrap();
    assert!(asked.await.unwrap().is_ok());
    let cluster = server.cluster.clone();
    let id = ObjectId::new("", "ConfigMap", Some("shop"), "a");
    let read = tokio::spawn(async move { cluster.read(&id, &Resource::core("configmaps", true)).await });
    let (mut connection, head) = server.head();
    assert!(head.starts_with("GET"), "{head}");
    connection.write_all(answer(200, &object()).as_bytes()).unwrap();
    assert_eq!(read.await.unwrap().unwrap(), Some(object()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_does_not_wait_for_the_body_is_received() {
    let server = Server::start().await;
    server.leadership.renewed(server.leadership.now());
    let applied = server.apply(DryRun::No);
    let (mut connection, _) = server.head();
    let status = json!({"kind": "Status", "reason": "Forbidden", "message": "may not"});
    connection.write_all(answer(403, &status).as_bytes()).unwrap();
    assert_eq!(applied.await.unwrap().unwrap_err().to_string(), "may not");
}
