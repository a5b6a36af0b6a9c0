//! Files that SOPS has encrypted.

use serde_json::{Value, json};

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
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops"}, "stringData": {"shop.agekey": text}});
    cluster().create(path("secrets", Some(&site.home), "").trim_end_matches('/'), &object);
}

#[test]
fn encrypted_manifests_and_generators_are_applied_and_shown_nowhere() {
    let secret = encrypt(
        "apiVersion: v1\nkind: Secret\nmetadata:\n    name: login\nstringData:\n    password: canary-password\n",
        "yaml",
        &["--encrypted-regex", "^(data|stringData)$"],
    );
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
    let secret = encrypt(
        "apiVersion: v1\nkind: Secret\nmetadata:\n    name: login\nstringData:\n    password: canary\n",
        "yaml",
        &[],
    );
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
