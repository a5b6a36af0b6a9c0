//! An OpenTelemetry collector as far as an exporter sees it: OTLP over HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /v1/traces HTTP/1.1`
    pub line: String,
    /// Lines, with names in lower case.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Received>,
    /// What is answered.
    status: u16,
}

pub struct Collector {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::new(Log { status: 200, ..Log::default() }));
        let into = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                into.lock().expect("a list").connections += 1;
                let into = Arc::clone(&into);
                thread::spawn(move || serve(stream, &into));
            }
        });
        Self { address, log }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has a command send its traces here, and soon.
    pub fn receive_from(&self, command: &mut Command) {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", self.url()).env("OTEL_BSP_SCHEDULE_DELAY", "50");
    }

    pub fn answer(&self, status: u16) {
        self.log.lock().expect("a list").status = status;
    }

    pub fn connections(&self) -> usize {
        self.log.lock().expect("a list").connections
    }

    pub fn requests(&self) -> Vec<Received> {
        self.log.lock().expect("a list").requests.clone()
    }

    /// The attributes of the program that sent the last request.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let requests = self.requests();
        let last = decode(requests.last().expect("a request"));
        attributes(&last.resource_spans[0].resource.as_ref().expect("a resource").attributes)
    }

    /// All spans so far, the roots apart from those that have a parent.
    pub fn spans(&self) -> (Vec<Span>, Vec<Span>) {
        let requests = self.requests();
        let resources = requests.iter().flat_map(|request| decode(request).resource_spans);
        let spans = resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        spans.partition(|span| span.parent_span_id.is_empty())
    }
}

fn decode(request: &Received) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(&*request.body).expect("a request of the protocol")
}

/// Attributes as text.
pub fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match &value.value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    list.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map(text).unwrap_or_default())).collect()
}

fn serve(stream: TcpStream, log: &Mutex<Log>) {
    let mut writer = stream.try_clone().expect("a stream");
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let status = {
            let mut log = log.lock().expect("a list");
            log.requests.push(request);
            log.status
        };
        if write!(writer, "HTTP/1.1 {status} said\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
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
        headers.push(format!("{}:{value}", name.to_lowercase()));
    }
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { line, headers, body })
}
