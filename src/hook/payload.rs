//! What the body of a verified request says has changed.

use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::{Location, Of, Sender};

/// Names of one repository, or of those that a generic sender lists.
const MOST: usize = 64;

/// What happened.
pub(super) enum Happened {
    /// Nothing: somebody tries out the webhook.
    Ping,
    /// Something else than a push.
    Else,
    /// These have changed.
    Pushed(BTreeSet<(Of, Location)>),
}

/// # Errors
/// The body is not what it should be: says what it lacks.
pub(super) fn read(sender: Sender, headers: &HeaderMap, body: &[u8]) -> Result<Happened, &'static str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let event = match sender {
        Sender::Github => header("x-github-event"),
        Sender::Gitea => [header("x-forgejo-event"), header("x-gitea-event"), header("x-gogs-event")]
            .into_iter()
            .find(|event| !event.is_empty())
            .unwrap_or_default(),
        Sender::Gitlab => header("x-gitlab-event"),
        Sender::Bitbucket => header("x-event-key"),
        Sender::Azure | Sender::Registry | Sender::Hmac => "",
    };
    if matches!(event, "ping" | "diagnostics:ping") {
        return Ok(Happened::Ping);
    }
    let body = json(headers, body)?;
    let pushed = match sender {
        Sender::Github | Sender::Gitea => matches!(event, "push" | "create" | "delete"),
        Sender::Gitlab => match event {
            "Push Hook" | "Tag Push Hook" => true,
            "System Hook" => matches!(body["event_name"].as_str(), Some("push" | "tag_push" | "repository_update")),
            _ => false,
        },
        Sender::Bitbucket => matches!(event, "repo:push" | "repo:refs_changed" | "mirror:repo_synchronized"),
        Sender::Azure => body["eventType"] == "git.push",
        Sender::Registry => {
            let pushed = in_registry(&body);
            return Ok(if pushed.is_empty() { Happened::Else } else { Happened::Pushed(pushed) });
        }
        Sender::Hmac => true,
    };
    if !pushed {
        return Ok(Happened::Else);
    }
    let found: BTreeSet<_> =
        urls(&body).into_iter().filter_map(Location::of).map(|location| (Of::Git, location)).collect();
    if found.is_empty() { Err("the body names no repository") } else { Ok(Happened::Pushed(found)) }
}

/// The JSON of the body, which forges may send as the field `payload` of a form. Its depth is bounded by the parser.
fn json(headers: &HeaderMap, body: &[u8]) -> Result<Value, &'static str> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parsed = if content_type.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        let mut fields = url::form_urlencoded::parse(body);
        let (_, payload) = fields.find(|(name, _)| name == "payload").ok_or("the form has no field payload")?;
        serde_json::from_str(&payload)
    } else {
        serde_json::from_slice(body)
    };
    parsed.ok().filter(Value::is_object).ok_or("the body is no JSON object")
}

/// All that may be a URL of the repository, in any of the forms that senders have for it.
fn urls(body: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for about in [&body["repository"], &body["project"], &body["resource"]["repository"]] {
        found.extend(about.as_str());
        for name in [
            "clone_url",
            "ssh_url",
            "html_url",
            "git_url",
            "git_http_url",
            "git_ssh_url",
            "http_url",
            "web_url",
            "url",
            "homepage",
            "remoteUrl",
            "sshUrl",
            "webUrl",
        ] {
            found.extend(about[name].as_str());
        }
        for link in ["html", "self", "clone"] {
            let link = &about["links"][link];
            found.extend(link["href"].as_str());
            found.extend(list(link).iter().filter_map(|one| one["href"].as_str()));
        }
    }
    found.extend(list(&body["repositories"]).iter().filter_map(Value::as_str));
    found.truncate(MOST);
    found
}

/// What was pushed to a registry: by notifications of distribution, or by Harbor.
fn in_registry(body: &Value) -> BTreeSet<(Of, Location)> {
    let notified = list(&body["events"]).iter().filter(|event| event["action"] == "push").filter_map(|event| {
        let name = event["target"]["repository"].as_str()?;
        let host = event["target"]["url"].as_str().and_then(|url| url.split_once("://")?.1.split('/').next());
        Some(format!("{}/{name}", host.or_else(|| event["request"]["host"].as_str())?))
    });
    let by_harbor = body["type"] == "PUSH_ARTIFACT";
    let resources = list(&body["event_data"]["resources"]).iter().filter(|_| by_harbor);
    let resources = resources.filter_map(|resource| Some(without_tag(resource["resource_url"].as_str()?).to_owned()));
    let pushed = notified.chain(resources).take(MOST);
    pushed.filter_map(|at| Location::of(&format!("oci://{at}"))).map(|location| (Of::Chart, location)).collect()
}

/// `host:5000/project/name` of `host:5000/project/name:1.2@sha256:…`.
fn without_tag(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
