//! Writing behind the API server: into etcd, by its JSON gateway. Only custom resources are JSON there.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::cluster;

/// Changes a custom resource where it is stored, as a restored backup does: `managedFields`,
/// generation and all else stay as they are.
#[track_caller]
pub fn change(group: &str, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let key = STANDARD.encode(format!("/registry/{group}/{plural}/{namespace}/{name}"));
    let found = ask("range", &json!({"key": key}));
    let stored = found["kvs"][0]["value"].as_str().expect("it is stored");
    let stored = STANDARD.decode(stored).expect("base64");
    let mut object: Value = serde_json::from_slice(&stored).expect("a custom resource is stored as JSON");
    change(&mut object);
    ask("put", &json!({"key": key, "value": STANDARD.encode(object.to_string())}));
}

#[track_caller]
fn ask(what: &str, body: &Value) -> Value {
    let socket = cluster().etcd().expect("the devcluster's etcd");
    let mut stream = UnixStream::connect(socket).expect("etcd listens");
    let body = body.to_string();
    let length = body.len();
    write!(stream, "POST /v3/kv/{what} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(" 200 "), "{answer}");
    serde_json::from_str(body).expect("JSON")
}
