use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::task::spawn_blocking;

use super::*;
use crate::config::parse;
use crate::hook::Secrets;

const SECRET: &str = "correct-horse-battery";
const BODY: &str = r#"{"repository": {"clone_url": "https://git.example.com/shop.git"}}"#;

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    said: Arc<Mutex<Vec<String>>>,
    _running: JoinHandle<io::Result<()>>,
    _thread: Apart,
}

/// A receiver for one sync.
async fn start() -> Server {
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&said);
    let emit: EventSink = Arc::new(move |event: &Event| {
        if let Event::Note { message } | Event::Warning { message } | Event::Trouble { message } = event {
            into.lock().unwrap().push(message.clone());
        }
    });
    let hints = Arc::new(Hints::new(Arc::clone(&emit)));
    let syncs = "syncs: [{name: shop, source: {url: 'https://git.example.com/shop', branch: main}}]";
    hints.configure(&parse(syncs, "c.yaml").unwrap().syncs);
    let secrets = BTreeMap::from([("github".to_owned(), SECRET.as_bytes().to_vec())]);
    let metrics = Metrics::new().unwrap();
    let site = Site::new(hints, Keys::fixed(Secrets::of(&secrets)), metrics.clone(), emit);
    let (running, address, thread) = open("127.0.0.1:0".parse().unwrap(), site).await.unwrap();
    Server { address, metrics, said, _running: running, _thread: thread }
}

fn signature(key: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A push of GitHub, signed with this key.
fn push(key: &str, delivery: &str) -> String {
    format!(
        "POST /hooks/github HTTP/1.1\r\nHost: a\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: {delivery}\r\n\
         X-Hub-Signature-256: sha256={}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        signature(key, BODY),
        BODY.len()
    )
}

impl Server {
    /// The status, and the whole answer.
    async fn send(&self, request: impl Into<Vec<u8>>) -> (u16, String) {
        let (address, request) = (self.address, request.into());
        let exchange = move || {
            let mut stream = TcpStream::connect(address)?;
            // It may be answered before all of it is there.
            let _ = stream.write_all(&request);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = spawn_blocking(exchange).await.unwrap().unwrap();
        (answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default(), answer)
    }

    #[track_caller]
    fn counted(&self, result: &str) -> usize {
        let name = format!("driftless_hook_requests_total{{result=\"{result}\"}} ");
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    }
}

#[tokio::test]
async fn what_is_signed_is_passed_on_once_and_said_in_one_line() {
    let server = start().await;
    let (status, answer) = server.send(push(SECRET, "1")).await;
    assert!(status == 202 && answer.ends_with("syncs that poll: 1\n"), "{answer}");
    let (status, answer) = server.send(push(SECRET, "1")).await;
    assert!(status == 202 && answer.contains("received before"), "{answer}");
    let ping = push(SECRET, "2").replace("Event: push", "Event: ping");
    assert_eq!(server.send(ping).await.0, 200);
    assert_eq!((server.counted("accepted"), server.counted("ignored")), (1, 2));
    let said = server.said.lock().unwrap().clone();
    assert_eq!(said, ["webhook from GitHub: git.example.com/shop has changed, so it is polled now for shop"]);
}

#[tokio::test]
async fn what_does_not_fit_gets_one_answer_and_is_logged_once_in_a_while_without_its_content() {
    let server = start().await;
    let mut answers = std::collections::BTreeSet::new();
    for request in [
        push("other", "1"),
        push(SECRET, "1").replace("shop.git", "shop.gut"),
        push(SECRET, "1").replace("X-Hub-Signature-256", "X-Other"),
        // No secret is known for these.
        push(SECRET, "1").replace("/hooks/github", "/hooks/gitea"),
        push(SECRET, "1").replace("/hooks/github", "/hooks/azure"),
    ] {
        let (status, answer) = server.send(request).await;
        assert_eq!(status, 403, "{answer}");
        let without_date = answer.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect::<Vec<_>>();
        answers.insert(without_date.join("\n"));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((server.counted("unauthorized"), server.counted("accepted")), (5, 0));
    let said = server.said.lock().unwrap().clone();
    assert!(said.len() == 1 && said[0].contains("key `github`") && !said[0].contains("shop"), "{said:?}");
}

#[tokio::test]
async fn other_paths_methods_and_bodies_are_refused() {
    let server = start().await;
    for (request, status) in [
        ("POST / HTTP/1.0\r\n\r\n".to_owned(), 404),
        ("POST /hooks/GITHUB HTTP/1.0\r\n\r\n".to_owned(), 404),
        ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), 404),
        ("GET /hooks/github HTTP/1.0\r\n\r\n".to_owned(), 405),
        ("PUT /hooks/github HTTP/1.0\r\n\r\n".to_owned(), 405),
        (format!("POST /hooks/github HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", (1 << 20) + 1), 413),
        (push(SECRET, "1").replace(BODY, "{}"), 0),
    ] {
        let (found, answer) = server.send(request.clone()).await;
        assert!(found == status || status == 0, "{request}: {answer}");
    }
    // One that does not say beforehand how large it is.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(17)
    );
    let (status, answer) = server.send(chunked).await;
    assert!(status == 413 || answer.is_empty(), "{answer}");
    let signed =
        |body: &str| push(SECRET, "1").replace(BODY, body).replace(&signature(SECRET, BODY), &signature(SECRET, body));
    let (status, answer) = server.send(signed(&format!("{:<1$}", "[]", BODY.len()))).await;
    assert!(status == 400 && answer.contains("no JSON object"), "{answer}");
    assert!(server.counted("invalid") >= 7 && server.said.lock().unwrap().len() <= 1);
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = start().await;
    let (status, _) = server.send(format!("POST /hooks/github HTTP/1.1\r\nX-A: {}\r\n\r\n", "a".repeat(40_000))).await;
    assert!(matches!(status, 0 | 431), "{status}");
    assert_eq!(server.send(push(SECRET, "1")).await.0, 202);
}

#[tokio::test]
async fn a_flood_is_limited_and_costs_one_hint_now() {
    let server = start().await;
    let address = server.address;
    let flood = move || {
        for number in 0..150 {
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let _ = stream.write_all(push(SECRET, &number.to_string()).as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
    };
    spawn_blocking(flood).await.unwrap();
    let (limited, accepted) = (server.counted("limited"), server.counted("accepted"));
    assert!(limited > 0 && accepted >= 40 && limited + accepted <= 150, "{limited} {accepted}");
    assert_eq!(server.said.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn however_many_connections_rest_a_further_one_is_answered() {
    let server = start().await;
    let address = server.address;
    let connect = move || -> io::Result<Vec<TcpStream>> {
        let resting = |number: usize| {
            let mut stream = TcpStream::connect(address)?;
            let part = "POST /hooks/github HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
            stream.write_all(&part.as_bytes()[..if number.is_multiple_of(2) { 10 } else { part.len() }])?;
            Ok(stream)
        };
        (0..40).map(resting).collect()
    };
    let resting = spawn_blocking(connect).await.unwrap().unwrap();
    let send = async {
        // Those that rest may have used up the burst.
        loop {
            let (status, answer) = server.send(push(SECRET, "1")).await;
            if !matches!(status, 0 | 429) {
                return (status, answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (status, answer) = timeout(Duration::from_secs(20), send).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    drop(resting);
}
