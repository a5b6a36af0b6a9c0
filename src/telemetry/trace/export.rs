//! Where traces go: to an OpenTelemetry collector by OTLP over HTTP, as the standard environment
//! variables say (OpenTelemetry specification, "Environment Variable Specification" and "OTLP
//! Exporter"). Without them there is no exporter, no thread and no connection.

use std::env;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use thiserror::Error as ThisError;
use tokio::runtime::Handle;
use url::Url;

use super::Traces;
use crate::event::Event;
use crate::telemetry::write;

/// How long one request may take where no variable says so: the default of the specification.
const SEND: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read; it is empty or one sentence.
const ANSWER: usize = 64 << 10;
/// Trouble that lasts is reported again after this.
const REMINDER: Duration = Duration::from_hours(1);
const SERVICE: &str = "driftless";

/// Why no traces are sent. Names the variable which cannot be used, and never its value.
#[derive(Debug, ThisError)]
pub enum TracesError {
    /// `OTEL_TRACES_EXPORTER` names another exporter.
    #[error("OTEL_TRACES_EXPORTER is otlp or none")]
    Exporter,
    /// Holds the variable that names another protocol.
    #[error("{0} is http/protobuf here, usually on port 4318")]
    Protocol(String),
    /// Holds the variable that names another compression.
    #[error("{0} is none or gzip")]
    Compression(String),
    /// Holds the variable that names the endpoint.
    #[error("{0} is no URL that begins with http:// or https:// and names a host")]
    Endpoint(String),
    /// The URL is none for HTTP.
    #[error("the endpoint of traces is no URL")]
    NoUri,
    /// The certificates of the system cannot be used.
    #[error("traces cannot be sent by TLS: {0}")]
    Tls(#[source] kube::Error),
    /// The exporter does not take them; its words may repeat values.
    #[error("the OTEL_EXPORTER_OTLP_ variables do not fit together")]
    Variables,
}

impl Traces {
    /// What the environment asks for; `None`: nothing. Must be called in a tokio runtime, on which the
    /// requests are sent.
    ///
    /// # Errors
    /// A variable cannot be used, or TLS cannot.
    pub fn from_env() -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = wanted()? else { return Ok(None) };
        let target = shown(&endpoint);
        let cause = Arc::default();
        let client = Sender::new(&endpoint, Arc::clone(&cause))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(client).with_endpoint(endpoint.as_str());
        let exporter = exporter.build().map_err(|_| TracesError::Variables)?;
        let reporting = Reporting { exporter, target: target.clone(), cause, reported: Mutex::default() };
        let provider = SdkTracerProvider::builder().with_batch_exporter(reporting).with_resource(resource()).build();
        Ok(Some(Self::new(provider, target)))
    }
}

/// A variable that says something; empty is as good as none (specification, "Parsing empty value").
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// What is asked for traces in particular goes before what is asked for everything.
fn either(name: &str) -> Option<(String, String)> {
    let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
    names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
}

/// The URL that spans go to; `None` when nobody wants any.
fn wanted() -> Result<Option<Url>, TracesError> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let exporter = variable("OTEL_TRACES_EXPORTER");
    let endpoint = either("ENDPOINT");
    match exporter.as_deref() {
        Some("none") => return Ok(None),
        None if endpoint.is_none() => return Ok(None),
        None | Some("otlp") => {}
        Some(_) => return Err(TracesError::Exporter),
    }
    if let Some((name, protocol)) = either("PROTOCOL")
        && protocol != "http/protobuf"
    {
        return Err(TracesError::Protocol(name));
    }
    if let Some((name, compression)) = either("COMPRESSION")
        && !["none", "gzip"].contains(&compression.as_str())
    {
        return Err(TracesError::Compression(name));
    }
    let (name, text) =
        endpoint.unwrap_or_else(|| ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "http://localhost:4318".into()));
    let url = Url::parse(&text).ok();
    let names_host = |url: &Url| url.host_str().is_some_and(|host| !host.is_empty());
    let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && names_host(url));
    let Some(mut url) = url else { return Err(TracesError::Endpoint(name)) };
    if !name.contains("_TRACES_") {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(Some(url))
}

/// A URL for people: no user, no password, no query.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn resource() -> Resource {
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| {
            list.split(',').any(|pair| pair.split_once('=').is_some_and(|(key, _)| key.trim() == "service.name"))
        });
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

/// Sends requests over the connections and with the TLS that the API server is reached with, and on
/// the same runtime: the exporter's own thread has none.
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    timeout: Duration,
    cause: Cause,
}

/// Why the last request got no answer, which the exporter does not pass on.
type Cause = Arc<Mutex<Option<String>>>;

impl fmt::Debug for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sender").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Sender {
    fn new(endpoint: &Url, cause: Cause) -> Result<Self, TracesError> {
        let uri = shown(endpoint).parse().map_err(|_| TracesError::NoUri)?;
        let connector = kube::Config::new(uri).rustls_https_connector().map_err(TracesError::Tls)?;
        let milliseconds = either("TIMEOUT").and_then(|(_, value)| value.parse().ok());
        let timeout = milliseconds.map_or(SEND, Duration::from_millis).min(SEND * 6);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime: Handle::current(), timeout, cause })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        // All of it on the runtime, which connections and timers need.
        let exchange = self.runtime.spawn(async move {
            let exchange = async {
                let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(parts, body))
            };
            tokio::time::timeout(timeout, exchange).await
        });
        let within = || HttpError::from(format!("no answer within {} s", timeout.as_secs_f64()));
        let answered = exchange.await?.unwrap_or_else(|_| Err(within()));
        let cause = answered.as_ref().err().map(|error| with_causes(&**error));
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
        answered
    }
}

fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Reports when spans are not taken, once.
#[derive(Debug)]
struct Reporting {
    exporter: SpanExporter,
    target: String,
    cause: Cause,
    /// When it was reported last that they are not.
    reported: Mutex<Option<Instant>>,
}

impl opentelemetry_sdk::trace::SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let target = &self.target;
        match (&outcome, *reported) {
            (Ok(()), Some(_)) => {
                *reported = None;
                write(&Event::Note { message: format!("traces are taken by {target} again") });
            }
            (Err(error), before) if before.is_none_or(|before| before.elapsed() > REMINDER) => {
                *reported = Some(Instant::now());
                let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).take();
                let error = cause.unwrap_or_else(|| error.to_string());
                let message =
                    format!("traces are not taken by {target} and are lost until they are; syncs go on: {error}");
                write(&Event::Warning { message });
            }
            _ => {}
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_credentials() {
        let url = Url::parse("https://me:secret@collector.example.com:4318/v1/traces?key=secret").unwrap();
        assert_eq!(shown(&url), "https://collector.example.com:4318/v1/traces");
    }
}
