//! An admission webhook over TLS, with a certificate authority of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::cluster::cluster;
use super::site::Site;
use super::tls::Authority;

/// Where requests wait for a test.
#[derive(Default)]
struct Gate {
    /// Requests of a name that are answered at once before others wait; `None`: nobody waits.
    admits: Mutex<(Option<usize>, usize)>,
    moved: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.admits.lock().expect("no test panics with it");
        match &mut state.0 {
            None => return,
            Some(0) => state.1 += 1,
            Some(left) => {
                *left -= 1;
                return;
            }
        }
        self.moved.notify_all();
        drop(self.moved.wait_while(state, |state| state.0.is_some()));
    }
}

/// Refuses everything, until it is made to let it through. Ends with the tests.
pub struct Webhook {
    port: u16,
    authority: String,
    open: Arc<AtomicBool>,
    gate: Arc<Gate>,
}

impl Webhook {
    /// Answers what it refuses with this message.
    pub fn refusing(message: &str) -> Self {
        Self::answering(json!({"code": 403, "message": message}))
    }

    /// Answers as the API server itself does of a field that is invalid, which webhooks may.
    pub fn invalid(field: &str, message: &str) -> Self {
        let causes = [json!({"reason": "FieldValueInvalid", "message": message, "field": field})];
        Self::answering(json!({"code": 422, "reason": "Invalid", "message": format!("{field}: {message}"),
            "details": {"causes": causes}}))
    }

    /// Refuses with this `metav1.Status`.
    fn answering(status: Value) -> Self {
        let authority = Authority::new();
        let config = authority.server("127.0.0.1");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(Gate::default());
        let (lets, status, passes) = (Arc::clone(&open), Arc::new(status), Arc::clone(&gate));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, lets, status) = (Arc::clone(&config), Arc::clone(&lets), Arc::clone(&status));
                let passes = Arc::clone(&passes);
                // A client that breaks off is no matter of ours.
                thread::spawn(move || drop(answer(stream, config, &passes, &lets, &status)));
            }
        });
        Self { port, authority: authority.pem(), open, gate }
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Keeps requests waiting, after so many more.
    pub fn hold_after(&self, requests: usize) {
        self.gate.admits.lock().expect("no test panics with it").0 = Some(requests);
    }

    /// How many requests were kept waiting so far.
    pub fn held(&self) -> usize {
        self.gate.admits.lock().expect("no test panics with it").1
    }

    /// Answers what waits, and everything from now on.
    pub fn release(&self) {
        self.gate.admits.lock().expect("no test panics with it").0 = None;
        self.gate.moved.notify_all();
    }

    /// As a `ValidatingWebhookConfiguration` names it.
    pub fn client_config(&self) -> Value {
        let url = format!("https://127.0.0.1:{}/validate", self.port);
        json!({"url": url, "caBundle": STANDARD.encode(&self.authority)})
    }
}

/// Has the API server ask a webhook, given by its `rules`, its `clientConfig` and what else differs from the defaults here,
/// about objects in the namespace of a site. Gives the path of the configuration, which is deleted with the site.
pub fn install(site: &Site, webhook: &Value) -> String {
    let name = format!("hook-{}", site.id);
    let mut whole = json!({"name": format!("{name}.example.com"), "failurePolicy": "Fail", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}});
    let fields = webhook.as_object().expect("the fields of a webhook").clone();
    whole.as_object_mut().expect("an object").extend(fields);
    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [whole]});
    let live = site.cluster_scoped("validatingwebhookconfigurations.admissionregistration.k8s.io", &name);
    cluster().create("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", &hook);
    live
}

fn answer(
    stream: std::net::TcpStream,
    config: Arc<ServerConfig>,
    gate: &Gate,
    open: &AtomicBool,
    status: &Value,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let review: Value = serde_json::from_slice(&body)?;
    gate.pass();
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"],
        "allowed": open.load(Ordering::Relaxed),
        "status": status}})
    .to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
