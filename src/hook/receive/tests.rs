use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const SECRET: &str = "correct-horse-battery";
const NOW: Duration = Duration::from_secs(1_700_000_000);

fn tag(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(key: &str, text: &[u8]) -> String {
    tag(key.as_bytes(), text).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn secrets(sender: Sender, value: &str) -> Secrets {
    Secrets::of(&BTreeMap::from([(sender.key().to_owned(), value.as_bytes().to_vec())]))
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) { (name.parse().unwrap(), value.parse().unwrap()) };
    headers.iter().map(pair).collect()
}

/// What becomes of a request to a receiver that knows [`SECRET`].
fn ask(sender: Sender, headers: &[(&str, &str)], body: &[u8]) -> Result<Received, Refused> {
    ask_with(sender, headers, body, &secrets(sender, SECRET))
}

fn ask_with(sender: Sender, headers: &[(&str, &str)], body: &[u8], secrets: &Secrets) -> Result<Received, Refused> {
    receive(&Request { sender, headers: &map(headers), body, now: NOW }, secrets)
}

/// The locations in an answer, as text.
#[track_caller]
fn pushed(answer: &Result<Received, Refused>) -> Vec<String> {
    match answer {
        Ok(Received::Pushed { what, .. }) => what.iter().map(|(_, at)| at.to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[test]
fn github_signs_the_body() {
    let body = text(&json!({
        "ref": "refs/heads/main",
        "repository": {
            "full_name": "acme/shop", "html_url": "https://github.com/acme/shop", "url": "https://github.com/acme/shop",
            "clone_url": "https://github.com/acme/shop.git", "ssh_url": "git@github.com:acme/shop.git",
        },
    }));
    let signature = format!("sha256={}", hex(SECRET, &body));
    let headers =
        |event| [("x-github-event", event), ("x-hub-signature-256", &*signature), ("x-github-delivery", "d-1")];
    let answer = ask(Sender::Github, &headers("push"), &body);
    assert_eq!(pushed(&answer), ["github.com/acme/shop"]);
    assert!(matches!(answer, Ok(Received::Pushed { delivery: Some(id), .. }) if id == "github/d-1"));
    assert_eq!(ask(Sender::Github, &headers("ping"), &body), Ok(Received::Ping));
    assert_eq!(ask(Sender::Github, &headers("issues"), &body), Ok(Received::Unrelated));
    // SHA-1 is not taken, whatever else is there.
    let old = [("x-github-event", "push"), ("x-hub-signature", "sha1=00")];
    assert_eq!(ask(Sender::Github, &old, &body), Err(Refused::Unproven));
}

#[test]
fn a_form_is_signed_as_it_is_and_holds_the_payload() {
    let payload = json!({"repository": {"clone_url": "https://github.com/acme/shop.git"}}).to_string();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let body = form.append_pair("payload", &payload).finish().into_bytes();
    let signature = format!("sha256={}", hex(SECRET, &body));
    let headers = [
        ("x-github-event", "push"),
        ("x-hub-signature-256", &*signature),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(pushed(&ask(Sender::Github, &headers, &body)), ["github.com/acme/shop"]);
}

#[test]
fn gitea_and_forgejo_sign_without_a_prefix() {
    let body = text(&json!({"repository": {
        "clone_url": "http://git.example.com:3000/acme/shop.git", "ssh_url": "ssh://git@git.example.com:2222/acme/shop.git",
    }}));
    let signature = hex(SECRET, &body);
    for name in ["gitea", "forgejo"] {
        let [event, sign, id] = ["event", "signature", "delivery"].map(|part| format!("x-{name}-{part}"));
        let headers = [(&*event, "push"), (&*sign, &*signature), (&*id, "d-1")];
        let answer = ask(Sender::Gitea, &headers, &body);
        assert_eq!(pushed(&answer), ["git.example.com/acme/shop"]);
        assert!(matches!(answer, Ok(Received::Pushed { delivery: Some(id), .. }) if id == "gitea/d-1"));
    }
    // A bad signature is not mended by another one.
    let headers = [("x-forgejo-event", "push"), ("x-forgejo-signature", "00"), ("x-gitea-signature", &*signature)];
    assert_eq!(ask(Sender::Gitea, &headers, &body), Err(Refused::Unproven));
}

#[test]
fn gitlab_sends_a_token_or_signs() {
    let body = text(&json!({
        "object_kind": "push", "event_name": "push",
        "project": {
            "web_url": "https://gitlab.com/acme/shop", "git_http_url": "https://gitlab.com/acme/shop.git",
            "git_ssh_url": "git@gitlab.com:acme/shop.git",
        },
    }));
    let headers = |event, token| [("x-gitlab-event", event), ("x-gitlab-token", token)];
    for event in ["Push Hook", "Tag Push Hook", "System Hook"] {
        assert_eq!(pushed(&ask(Sender::Gitlab, &headers(event, SECRET), &body)), ["gitlab.com/acme/shop"]);
    }
    assert_eq!(ask(Sender::Gitlab, &headers("Issue Hook", SECRET), &body), Ok(Received::Unrelated));
    for wrong in ["", "correct-horse", "correct-horse-battery-"] {
        assert_eq!(ask(Sender::Gitlab, &headers("Push Hook", wrong), &body), Err(Refused::Unproven));
    }

    let key = b"a key that is 24 bytes..";
    let known = secrets(Sender::Gitlab, &format!("whsec_{}", STANDARD.encode(key)));
    let sign = |time: u64| {
        let signed = [format!("id-1.{time}.").as_bytes(), &body].concat();
        format!("v1,{} v1,{}", STANDARD.encode("other"), STANDARD.encode(tag(key, &signed)))
    };
    for (time, fits) in [(NOW.as_secs(), true), (NOW.as_secs() - 299, true), (NOW.as_secs() - 301, false)] {
        let (signature, time) = (sign(time), time.to_string());
        let headers = [
            ("x-gitlab-event", "Push Hook"),
            ("webhook-id", "id-1"),
            ("webhook-timestamp", &*time),
            ("webhook-signature", &*signature),
        ];
        let answer = ask_with(Sender::Gitlab, &headers, &body, &known);
        assert_eq!(answer.is_ok(), fits, "{answer:?}");
        assert!(fits || answer == Err(Refused::Stale));
    }
    let token = headers("Push Hook", "whsec_");
    assert_eq!(ask_with(Sender::Gitlab, &token, &body, &known), Err(Refused::Unproven), "no token beside a signature");
}

#[test]
fn bitbucket_signs_in_the_cloud_and_at_home() {
    let cloud = json!({"repository": {"full_name": "acme/shop", "links": {"html": {"href": "https://bitbucket.org/acme/shop"}}}});
    let home = json!({"repository": {"slug": "web", "links": {
        "clone": [{"name": "ssh", "href": "ssh://git@bb.example.com:7999/shop/web.git"}],
        "self": [{"href": "https://bb.example.com/projects/SHOP/repos/web/browse"}],
    }}});
    for (event, body, location) in
        [("repo:push", cloud, "bitbucket.org/acme/shop"), ("repo:refs_changed", home, "bb.example.com/shop/web")]
    {
        let body = text(&body);
        let signature = format!("sha256={}", hex(SECRET, &body));
        let headers = |event| [("x-event-key", event), ("x-hub-signature", &*signature)];
        assert_eq!(pushed(&ask(Sender::Bitbucket, &headers(event), &body)), [location]);
        assert_eq!(ask(Sender::Bitbucket, &headers("diagnostics:ping"), &body), Ok(Received::Ping));
        assert_eq!(ask(Sender::Bitbucket, &headers("pullrequest:created"), &body), Ok(Received::Unrelated));
    }
}

#[test]
fn azure_devops_logs_in() {
    let body = text(&json!({
        "eventType": "git.push",
        "resource": {"repository": {"name": "shop", "remoteUrl": "https://org@dev.azure.com/org/team/_git/shop"}},
    }));
    let known = secrets(Sender::Azure, "driftless:s3cret");
    let login = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let with = |login: &str| ask_with(Sender::Azure, &[("authorization", login)], &body, &known);
    assert_eq!(pushed(&with(&login("driftless:s3cret"))), ["dev.azure.com/org/team/_git/shop"]);
    for wrong in [&*login("driftless:other"), &login("s3cret"), "Bearer driftless:s3cret", "Basic ???", "Basic"] {
        assert_eq!(with(wrong), Err(Refused::Unproven), "{wrong}");
    }
    let other = text(&json!({"eventType": "build.complete", "resource": {}}));
    let headers = [("authorization", &*login("driftless:s3cret"))];
    assert_eq!(ask_with(Sender::Azure, &headers, &other, &known), Ok(Received::Unrelated));
}

#[test]
fn registries_send_what_they_were_given() {
    let notification = text(&json!({"events": [
        {"action": "pull", "target": {"repository": "charts/other", "url": "https://reg.example.com:5000/v2/charts/other/x"}},
        {"action": "push", "target": {"repository": "charts/shop", "url": "https://reg.example.com:5000/v2/charts/shop/x"}},
        {"action": "push", "target": {"repository": "charts/web"}, "request": {"host": "reg.example.com:5000"}},
    ]}));
    let harbor = text(&json!({"type": "PUSH_ARTIFACT", "event_data": {"resources": [
        {"tag": "1.2", "resource_url": "reg.example.com:5000/charts/shop:1.2"},
        {"resource_url": "reg.example.com/charts/web@sha256:00"},
    ]}}));
    let basic = format!("Basic {}", STANDARD.encode(SECRET));
    for body in [&notification, &harbor] {
        for login in [&*format!("Bearer {SECRET}"), &basic, SECRET] {
            let answer = ask(Sender::Registry, &[("authorization", login)], body);
            assert_eq!(pushed(&answer), ["reg.example.com/charts/shop", "reg.example.com/charts/web"]);
            let Ok(Received::Pushed { what, .. }) = answer else { panic!() };
            assert!(what.iter().all(|(of, _)| *of == Of::Chart));
        }
    }
    let pulled = text(&json!({"events": [{"action": "pull"}]}));
    assert_eq!(ask(Sender::Registry, &[("authorization", SECRET)], &pulled), Ok(Received::Unrelated));
    assert_eq!(ask(Sender::Registry, &[("authorization", "Bearer x")], &pulled), Err(Refused::Unproven));
}

#[test]
fn others_sign_time_and_body() {
    let body = text(&json!({"repositories": ["https://git.example.com/shop.git", "git@git.example.com:web"]}));
    let at = |time: &str, signature: &str| {
        let signature = format!("sha256={signature}");
        ask(Sender::Hmac, &[("x-driftless-timestamp", time), ("x-driftless-signature", &*signature)], &body)
    };
    let sign = |time: &str| hex(SECRET, &[time.as_bytes(), b".", &body].concat());
    let now = NOW.as_secs().to_string();
    let answer = at(&now, &sign(&now));
    assert_eq!(pushed(&answer), ["git.example.com/shop", "git.example.com/web"]);
    assert!(matches!(answer, Ok(Received::Pushed { delivery: Some(_), .. })), "once");
    for off in [-301, 301] {
        let time = NOW.as_secs().saturating_add_signed(off).to_string();
        assert_eq!(at(&time, &sign(&time)), Err(Refused::Stale));
        assert_eq!(at(&now, &sign(&time)), Err(Refused::Unproven), "the time is signed, too");
    }
    assert_eq!(at("soon", &sign("soon")), Err(Refused::Unproven));
    assert_eq!(at(&now, &hex(SECRET, &body)), Err(Refused::Unproven));
    let one = text(&json!({"repository": "https://git.example.com/shop.git"}));
    let signature = format!("sha256={}", hex(SECRET, &[now.as_bytes(), b".", &one].concat()));
    let headers = [("x-driftless-timestamp", &*now), ("x-driftless-signature", &*signature)];
    assert_eq!(pushed(&ask(Sender::Hmac, &headers, &one)), ["git.example.com/shop"]);
}

#[test]
fn a_secret_is_replaced_by_way_of_a_second_line() {
    let body = text(&json!({"repository": {"clone_url": "https://github.com/acme/shop.git"}}));
    let with = |key: &str| {
        let signature = format!("sha256={}", hex(key, &body));
        let known = secrets(Sender::Github, "old\r\n\n  new  \n");
        ask_with(Sender::Github, &[("x-github-event", "push"), ("x-hub-signature-256", &*signature)], &body, &known)
    };
    assert!(with("old").is_ok() && with("new").is_ok());
    for wrong in ["", "old\nnew", "other"] {
        assert_eq!(with(wrong), Err(Refused::Unproven), "{wrong:?}");
    }
}

#[test]
fn a_sender_without_a_secret_is_refused_like_one_with_another() {
    let body = b"{}";
    let signature = format!("sha256={}", hex("no secret is known", body));
    let login = format!("Basic {}", STANDARD.encode("no secret is known"));
    let now = NOW.as_secs().to_string();
    let headers = [
        ("x-hub-signature-256", &*signature),
        ("x-hub-signature", &*signature),
        ("x-gitlab-token", "no secret is known"),
        ("authorization", &*login),
        ("x-driftless-timestamp", &*now),
        ("x-driftless-signature", &*signature),
    ];
    for sender in Sender::ALL {
        for known in [Secrets::default(), secrets(sender, ""), secrets(sender, " \n"), secrets(sender, SECRET)] {
            assert_eq!(ask_with(sender, &headers, body, &known), Err(Refused::Unproven), "{sender}");
            assert_eq!(ask_with(sender, &[], body, &known), Err(Refused::Unproven), "{sender}");
        }
    }
    // Each key is for its own path alone.
    let signature = format!("sha256={}", hex(SECRET, body));
    let other =
        ask_with(Sender::Github, &[("x-hub-signature-256", &*signature)], body, &secrets(Sender::Gitea, SECRET));
    assert_eq!(other, Err(Refused::Unproven));
}

#[test]
fn what_is_proven_and_makes_no_sense_is_refused_with_a_reason() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let deep = format!("{{\"repository\": {deep}}}");
    for body in
        ["", "[]", "not json", "{}", r#"{"repository": {"clone_url": 7}}"#, r#"{"repository": {"url": "shop"}}"#, &deep]
    {
        let signature = format!("sha256={}", hex(SECRET, body.as_bytes()));
        let headers = [("x-github-event", "push"), ("x-hub-signature-256", &*signature)];
        let answer = ask(Sender::Github, &headers, body.as_bytes());
        assert!(matches!(answer, Err(Refused::Invalid(_))), "{answer:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", secrets(Sender::Github, SECRET));
    assert!(shown.contains("Github") && !shown.contains(SECRET), "{shown}");
    assert_eq!(secrets(Sender::Github, SECRET).senders().collect::<Vec<_>>(), [Sender::Github]);
}

#[test]
fn each_sender_has_a_path() {
    for sender in Sender::ALL {
        assert_eq!(Sender::of_path(&format!("/hooks/{}", sender.key())), Some(sender));
    }
    for path in ["/", "/hooks", "/hooks/", "/hooks/github/", "/hooks/GitHub", "/github", "/hooks/gitHub"] {
        assert_eq!(Sender::of_path(path), None, "{path}");
    }
}
