//! What a request asks of the API server, read from its method, path and query.

use std::fmt;

use http::Method;
use http::request::Parts;
use hyper::body::Bytes;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its place among the requests that are no watches, from 1; for a watch, that of the last one before it.
    pub number: usize,
    /// `get`, `list`, `watch`, `create`, `update`, `apply`, `patch`, `delete`, `deletecollection`,
    /// and `discover` for what is no resource.
    pub verb: &'static str,
    pub group: String,
    pub version: String,
    /// The plural; empty where there is no resource.
    pub resource: String,
    pub subresource: String,
    /// Empty where there is none.
    pub namespace: String,
    pub name: String,
    /// A dry run changes nothing.
    pub dry_run: bool,
    /// A LIST's page after the first one.
    pub later_page: bool,
    pub path_and_query: String,
    pub body: Bytes,
}

impl Ask {
    pub fn new(parts: &Parts, body: Bytes) -> Self {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let has = |name: &str, values: &[&str]| query.iter().any(|(n, v)| n == name && values.contains(&v.as_str()));
        let mut ask = Self {
            number: 0,
            verb: "discover",
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            dry_run: has("dryRun", &["All"]),
            later_page: query.iter().any(|(name, value)| name == "continue" && !value.is_empty()),
            path_and_query: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            body,
        };
        ask.place(parts.uri.path());
        if ask.resource.is_empty() {
            return ask;
        }
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ask.verb = match (&parts.method, ask.name.is_empty()) {
            (&Method::GET, true) if has("watch", &["1", "true"]) => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) if kind.starts_with("application/apply-patch") => "apply",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "other",
        };
        ask
    }

    /// `/api/v1/namespaces/shop/configmaps/a`, `/apis/apps/v1/deployments`, `/api/v1/namespaces/shop`.
    fn place(&mut self, path: &str) {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(ToOwned::to_owned).peekable();
        let root = segments.next().unwrap_or_default();
        match &*root {
            "apis" => self.group = segments.next().unwrap_or_default(),
            "api" => {}
            _ => return,
        }
        self.version = segments.next().unwrap_or_default();
        let rest: Vec<String> = segments.collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", _, "status" | "finalize"] => ("", &rest[..]),
            ["namespaces", namespace, of, ..] if !of.is_empty() => (*namespace, &rest[2..]),
            _ => ("", &rest[..]),
        };
        namespace.clone_into(&mut self.namespace);
        let fields = [&mut self.resource, &mut self.name, &mut self.subresource];
        for (field, segment) in fields.into_iter().zip(rest) {
            (*segment).clone_into(field);
        }
    }

    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// Whether it may change something. A Kubernetes Event only reports what was done.
    pub fn is_write(&self) -> bool {
        let changes = ["create", "update", "apply", "patch", "delete", "deletecollection"].contains(&self.verb);
        changes && !self.dry_run && !self.resource.ends_with("reviews") && self.group != "events.k8s.io"
    }

    /// What is sent, as JSON; null when there is nothing.
    pub fn object(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// `apply deployments.apps shop/web`.
impl fmt::Display for Ask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resource.is_empty() {
            return write!(out, "{} {}", self.verb, self.path_and_query);
        }
        let dry = if self.dry_run { "dry-run " } else { "" };
        write!(out, "{dry}{} {}", self.verb, self.resource)?;
        for (sign, part) in [('.', &self.group), ('/', &self.subresource)] {
            if !part.is_empty() {
                write!(out, "{sign}{part}")?;
            }
        }
        write!(out, " {}/{}", self.namespace, self.name)
    }
}
