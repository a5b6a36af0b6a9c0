//! Encrypted files, and values that are kept in the cluster.

use serde_json::{Value, json};

use super::fixture::{SECRET, create, give};
use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::helpers::sops;
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

/// For this test alone: an identity and its recipient.
const IDENTITY: &str = "AGE-SECRET-KEY-1P7ZKL7YEULHG8VXFJFUKDNYRSGKDG6MPEQQ74GZSCQQGQW0TD8NQL4LZYZ";
const RECIPIENT: &str = "age15t7t66sklt7mnak6d2fg64nftdcs84c4yuu7jl6qehalw0u99dnsm7e98f";
/// Another identity.
const OTHER: &str = "AGE-SECRET-KEY-167ZXNVT7HF9VC978PDCMZVHPAMM7J29TPKUYG42HJ3TLSXGS8Y5S6ZLVWM";

fn encrypt(text: &str, kind: &str, more: &[&str]) -> String {
    let mut arguments = vec!["encrypt", "--age", RECIPIENT, "--input-type", kind, "--output-type", kind];
    arguments.extend(more);
    arguments.push("/dev/stdin");
    sops(&arguments, text, &[]).expect_code(0).stdout
}

fn site(files: &[(&str, &str)], at: &str, render: &Value) -> Site {
    let site = Site::with(files);
    let mut sync = site.sync("shop");
    (sync["path"], sync["render"]) = (json!(at), render.clone());
    site.configure(&[sync]);
    site.make_namespace(&site.home);
    site
}

fn give_key(site: &Site, identity: &str) {
    let text = format!("# created: 2026-01-01\n# public key: {RECIPIENT}\n{identity}\n");
    give(site, &json!({"shop.agekey": text}));
}

#[test]
fn encrypted_manifests_and_generators_are_applied_and_shown_nowhere() {
    let secret = encrypt(SECRET, "yaml", &["--encrypted-regex", "^(data|stringData)$"]);
    let map = encrypt(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n    name: settings\ndata:\n    open: shop\n    token: canary-token\n",
        "yaml",
        &["--encrypted-regex", "^token$"],
    );
    let env = encrypt("A=canary-env\n", "dotenv", &[]);
    let decrypt = json!({"decrypt": {"secret": "sops"}});
    let overlay = "resources: [../plain/login.yaml]\nnamePrefix: o-\nsecretGenerator: [{name: env, envs: [secret.env]}]\nconfigMapGenerator: [{name: leak, envs: [secret.env]}]\n";
    let files = [
        ("plain/login.yaml", secret.as_str()),
        ("plain/settings.yaml", &map),
        ("overlay/kustomization.yaml", overlay),
        ("overlay/secret.env", &env),
        ("elsewhere/for-another-key.yaml", &secret),
    ];
    let site = site(&files, "plain", &decrypt);
    let mut overlay = site.sync("overlay");
    (overlay["path"], overlay["render"]) = (json!("overlay"), decrypt.clone());
    let mut plain = site.sync("shop");
    (plain["path"], plain["render"]) = (json!("plain"), decrypt);
    site.configure(&[plain, overlay]);
    give_key(&site, IDENTITY);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.eventually_synced("overlay", &site.repo.head());
    assert_eq!(site.get("secrets", "login").unwrap()["data"]["password"], "Y2FuYXJ5LXBhc3N3b3Jk");
    assert!(site.get("secrets", "login").unwrap().get("sops").is_none());
    assert_eq!(site.get("configmaps", "settings").unwrap()["data"]["token"], "canary-token");
    assert!(site.has("secrets", "o-login"));
    let leaked = site.config_maps().into_iter().find(|name| name.starts_with("o-leak-")).expect("the generated map");
    assert_eq!(site.get("configmaps", &leaked).unwrap()["data"]["A"], "canary-env");

    site.edit("configmaps", "settings", "kubectl-edit", &json!({"data": {"token": "canary-edit"}}));
    eventually("it is healed", || {
        let token = site.get("configmaps", "settings").unwrap()["data"]["token"].clone();
        check(token == "canary-token", token)
    });
    let object = site.get("configmaps", "settings").unwrap();
    assert_eq!(object["metadata"]["annotations"]["driftless.dev/sensitive"], "true");
    for text in [
        agent.log().join("\n"),
        agent.http("/status").1,
        agent.metrics(),
        site.cli(&["plan"]).all(),
        site.cli(&["render"]).all(),
        site.cli(&["status"]).all(),
        site.cli(&["explain", "configmap/settings"]).all(),
        cluster().get(&path("configmaps", Some(&site.home), "")).unwrap_or_default().to_string(),
        cluster()
            .get(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", site.home))
            .unwrap_or_default()
            .to_string(),
    ] {
        assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
    }
    site.repo.commit(&[(
        "plain/more.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cut}\ndata: {a: 'ENC[AES256_GCM,data:x,type:str]'}\n",
    )]);
    let failing = agent.eventually_is("shop", "Failing").to_string();
    assert!(failing.contains("plain/more.yaml") && failing.contains("encrypt it again"), "{failing}");
}

#[test]
fn a_wrong_key_and_none_are_errors_that_name_the_file_and_its_recipients() {
    let secret = encrypt(SECRET, "yaml", &[]);
    for (render, identity, parts) in [
        (json!({}), None, vec!["p/login.yaml", "render.decrypt.secret"]),
        (json!({"decrypt": {"secret": "sops"}}), None, vec!["Secret", "sops", "render.decrypt.secret"]),
        (json!({"decrypt": {"secret": "sops"}}), Some(OTHER), vec!["p/login.yaml", RECIPIENT]),
    ] {
        let site =
            site(&[("p/login.yaml", &secret), ("p/c.yaml", &crate::support::site::config_map("c", "1"))], "p", &render);
        if let Some(identity) = identity {
            give_key(&site, identity);
        }
        let done = site.once().expect_code(1);
        for part in parts {
            assert!(done.all().contains(part), "{part} in {}", done.all());
        }
        assert!(!done.all().contains("canary") && !done.all().contains("SECRET-KEY"), "{}", done.all());
        assert!(!site.has("configmaps", "c"), "nothing is applied of a commit that cannot be read");
    }
}

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.0.0\n";
const URL: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: url}\ndata:\n  url: 'postgres://{{ .Values.user }}:{{ .Values.password }}@db'\n  size: '{{ .Values.size }}'\n";

#[test]
fn values_in_an_encrypted_file_are_secret_in_the_diff_of_a_chart() {
    let values = |password: &str| {
        encrypt(&format!("user: shop\npassword: {password}\n"), "yaml", &["--encrypted-regex", "^password$"])
    };
    let files = [
        ("chart/Chart.yaml", CHART),
        ("chart/values.yaml", "size: small\n"),
        ("chart/templates/url.yaml", URL),
        (
            "chart/templates/plain.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {size: '{{ .Values.size }}'}\n",
        ),
        ("prod/secret.yaml", &values("canary-one")),
        ("elsewhere/for-another-key.yaml", &values("canary-other")),
    ];
    let render = json!({"decrypt": {"secret": "sops"}, "helm": {"valuesFiles": ["prod/secret.yaml"]}});
    let site = site(&files, "chart", &render);
    give_key(&site, IDENTITY);
    site.once().expect_code(0);
    assert_eq!(site.get("configmaps", "url").unwrap()["data"]["url"], "postgres://shop:canary-one@db");

    site.repo.commit(&[("prod/secret.yaml", &values("canary-two")), ("chart/values.yaml", "size: large\n")]);
    for format in ["text", "json", "markdown"] {
        let plan = site.cli(&["plan", "-o", format]).expect_code(2).all();
        assert!(plan.contains("url") && !plan.contains("canary"), "{format}: {plan}");
        // The object that holds the secret is hidden as a whole, the one beside it is shown as ever.
        assert!(plan.contains("large"), "{format}: {plan}");
    }
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert_eq!(plan.matches("large").count(), 1, "{plan}");
    site.once().expect_code(0);
    assert_eq!(site.get("configmaps", "url").unwrap()["data"]["url"], "postgres://shop:canary-two@db");
    let rendered = site.cli(&["render"]).expect_code(0).all();
    assert!(rendered.contains("size: large") && !rendered.contains("canary"), "{rendered}");
}

#[test]
fn values_and_keys_that_are_missing_or_no_text_are_errors_that_name_where_they_should_be() {
    let files = [("chart/Chart.yaml", CHART), ("chart/templates/url.yaml", URL)];
    let from = |kind: &str| json!({"helm": {"valuesFrom": [{"kind": kind, "name": "prod", "key": "web.yaml"}]}});
    // In base64: no text in UTF-8.
    let bytes = "/2NhbmFyeQ==";
    for (render, kind, data, parts) in [
        (
            from("Secret"),
            "Secret",
            json!({"data": {"a.yaml": "YTogYg==", "b.yaml": bytes}}),
            vec!["the Secret prod", "render.helm.valuesFrom", "has no key web.yaml", "its keys are: a.yaml, b.yaml"],
        ),
        (
            from("ConfigMap"),
            "ConfigMap",
            json!({"data": {"values.yaml": "a: canary"}}),
            vec!["the ConfigMap prod", "has no key web.yaml", "values.yaml"],
        ),
        (
            from("Secret"),
            "Secret",
            json!({"data": {"web.yaml": bytes}}),
            vec!["the key web.yaml of the Secret prod", "render.helm.valuesFrom", "no text in UTF-8"],
        ),
        (
            from("ConfigMap"),
            "ConfigMap",
            json!({"binaryData": {"web.yaml": bytes}}),
            vec!["the key web.yaml of the ConfigMap prod", "no text in UTF-8"],
        ),
        (
            json!({"substituteFrom": [{"kind": "Secret", "name": "prod"}]}),
            "Secret",
            json!({"data": {"A": bytes}}),
            vec!["the key A of the Secret prod", "render.substituteFrom", "no text in UTF-8"],
        ),
    ] {
        let site = site(&files, "chart", &render);
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "prod"}});
        object.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        create(&site, if kind == "Secret" { "secrets" } else { "configmaps" }, &object);
        let done = site.once().expect_code(1);
        for part in parts {
            assert!(done.all().contains(part), "{part} in {}", done.all());
        }
        assert!(!done.all().contains("canary") && !done.all().contains(bytes), "{}", done.all());
        assert!(!site.has("configmaps", "url"));
    }

    let secret = encrypt(SECRET, "yaml", &[]);
    for (data, part) in [
        (
            json!({"shop.agekey": bytes}),
            "the key \"shop.agekey\" of the Secret sops, which render.decrypt.secret names, is no text",
        ),
        (json!({"shop.txt": bytes}), "the Secret sops, which render.decrypt.secret names, holds no keys"),
    ] {
        let site = site(&[("p/login.yaml", &secret)], "p", &json!({"decrypt": {"secret": "sops"}}));
        create(
            &site,
            "secrets",
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops"}, "data": data}),
        );
        let done = site.once().expect_code(1);
        assert!(done.all().contains(part) && !done.all().contains(bytes), "{}", done.all());
    }
}
