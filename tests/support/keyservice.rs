//! Key services as a client of SOPS sees them: Vault's transit engine over TLS, and Azure Key Vault with its login, which
//! a client can only be led to by a proxy. What they give out as encrypted is the plaintext, in another form.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::tls::{Authority, in_front_of, pass_on};

const LOGIN: &str = "https://login.microsoftonline.com/tenant";
const ACCESS: &str = "Bearer canary-access-token";

/// What stands for a token of Vault, and what for the pod's own.
pub const VAULT_TOKEN: &str = "canary-vault-token";
pub const POD_TOKEN: &str = "canary-pod-token";

/// Serves until the tests end.
pub struct KeyService {
    authority: Arc<Authority>,
    address: SocketAddr,
    /// Where Vault is reached by TLS.
    vault: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Request {
    /// `POST /v1/transit/decrypt/shop HTTP/1.1`
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl KeyService {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let authority = Arc::new(Authority::new());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (issuer, log) = (Arc::clone(&authority), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (issuer, log) = (Arc::clone(&issuer), Arc::clone(&log));
                // A client that breaks off is no matter of ours.
                thread::spawn(move || drop(serve(stream, address, &issuer, &log)));
            }
        });
        let vault = in_front_of(address, authority.server("127.0.0.1"));
        Self { authority, address, vault, asked }
    }

    pub fn vault(&self) -> String {
        format!("https://127.0.0.1:{}", self.vault)
    }

    /// As a proxy for HTTPS.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// What was asked of the services since the last time: method and path.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(stream: TcpStream, own: SocketAddr, issuer: &Authority, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let mut parts = request.line.split(' ');
        let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if method == "CONNECT" {
            writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let name = target.split(':').next().unwrap_or_default();
            if name.ends_with(".azure.net") || name.ends_with(".microsoftonline.com") {
                return pass_on(writer, own, issuer.server(name));
            }
            // The API server of a test.
            let (mut there, mut back) = (TcpStream::connect(target)?, writer.try_clone()?);
            let mut from_there = there.try_clone()?;
            thread::spawn(move || std::io::copy(&mut from_there, &mut back));
            return std::io::copy(&mut reader, &mut there).map(drop);
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        let (status, header, body) = answer(&request, target);
        let body = body.to_string();
        write!(
            writer,
            "HTTP/1.1 {status} said\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

fn answer(request: &Request, target: &str) -> (u16, String, Value) {
    let header = |name: &str| request.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value);
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let fine = |body: Value| (200, String::new(), body);
    if header("host").ends_with(".vault.azure.net") {
        if header("authorization") != ACCESS {
            let challenge =
                format!("www-authenticate: Bearer authorization=\"{LOGIN}\", resource=\"https://vault.azure.net\"\r\n");
            return (401, challenge, json!({}));
        }
        return fine(json!({"kid": "https://shop.vault.azure.net/keys/k/v", "value": body["value"]}));
    }
    if path.ends_with("/discovery/instance") {
        let hosts = json!({"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net", "aliases": ["login.microsoftonline.com"]});
        return fine(
            json!({"tenant_discovery_endpoint": format!("{LOGIN}/v2.0/.well-known/openid-configuration"), "metadata": [hosts]}),
        );
    }
    if path.ends_with("/openid-configuration") {
        return fine(json!({
            "token_endpoint": format!("{LOGIN}/oauth2/v2.0/token"), "issuer": format!("{LOGIN}/v2.0"),
            "authorization_endpoint": format!("{LOGIN}/oauth2/v2.0/authorize"),
        }));
    }
    if path.ends_with("/oauth2/v2.0/token") {
        if request.body.contains(&format!("client_assertion={POD_TOKEN}")) {
            let token = ACCESS.trim_start_matches("Bearer ");
            return fine(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}));
        }
        return (401, String::new(), json!({"error": "invalid_client"}));
    }
    if !path.starts_with("/v1/transit/") {
        return (404, String::new(), json!({"errors": ["no handler"]}));
    }
    if header("x-vault-token") != VAULT_TOKEN {
        return (403, String::new(), json!({"errors": ["permission denied"]}));
    }
    match (body["plaintext"].as_str(), body["ciphertext"].as_str()) {
        (Some(plaintext), _) => fine(json!({"data": {"ciphertext": format!("vault:v1:{plaintext}")}})),
        (_, Some(ciphertext)) => fine(json!({"data": {"plaintext": ciphertext.trim_start_matches("vault:v1:")}})),
        _ => (400, String::new(), json!({"errors": ["neither"]})),
    }
}

/// `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut next = || {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let line = next()?;
    let mut headers = Vec::new();
    loop {
        let header = next()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, text)| text.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
