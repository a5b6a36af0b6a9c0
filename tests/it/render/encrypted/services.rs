//! Data keys that Vault or a cloud's key service holds, asked by the real helper in its sandbox.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{SECRET, give};
use crate::support::helpers::sops;
use crate::support::keyservice::{KeyService, POD_TOKEN, VAULT_TOKEN};
use crate::support::process::{Finished, run};
use crate::support::site::{Site, config_map};

const COMMAND: Duration = Duration::from_mins(2);

/// The Secret of the other tests, encrypted for a key service.
fn encrypt(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let all = [&["encrypt", "--input-type", "yaml", "--output-type", "yaml"], arguments, &["/dev/stdin"]].concat();
    sops(&all, SECRET, environment).expect_code(0).stdout
}

fn encrypt_for_vault(site: &Site, service: &KeyService) -> String {
    let file = site.scratch("authority.pem");
    std::fs::write(&file, service.authority()).expect("a file");
    let key = format!("{}/v1/transit/keys/shop", service.vault());
    let authority = file.display().to_string();
    let encrypted =
        encrypt(&["--hc-vault-transit", &key], &[("VAULT_TOKEN", VAULT_TOKEN), ("VAULT_CACERT", &authority)]);
    service.asked();
    encrypted
}

fn site(render: &Value) -> Site {
    let site = Site::with(&[("p/c.yaml", &config_map("c", "1"))]);
    configure(&site, render);
    site.make_namespace(&site.home);
    site
}

fn configure(site: &Site, render: &Value) {
    let mut sync = site.sync("shop");
    (sync["path"], sync["render"]) = (json!("p"), render.clone());
    site.configure(&[sync]);
}

/// An observer has seen neither the token nor the plaintext.
#[track_caller]
fn shows(done: &Finished, parts: &[&str]) {
    for part in parts {
        assert!(done.all().contains(part), "{part} in {}", done.all());
    }
    assert!(!done.all().contains("canary"), "{}", done.all());
}

#[test]
fn vault_is_asked_with_the_token_of_the_secret_at_the_address_of_the_secret() {
    let kms = json!({"decrypt": {"secret": "sops", "kms": true}});
    let site = site(&kms);
    let (home, thief) = (KeyService::start(), KeyService::start());
    site.repo.commit(&[("p/login.yaml", &encrypt_for_vault(&site, &home))]);
    let lines = |text: &str| format!("{text}\n");
    let both = home.authority() + &thief.authority();
    give(
        &site,
        &json!({"sops.vault-token": lines(VAULT_TOKEN), "sops.vault-address": lines(&home.vault()), "sops.vault-ca": both}),
    );
    shows(&site.once().expect_code(0), &[]);
    assert_eq!(home.asked(), ["PUT /v1/transit/decrypt/shop"]);
    assert_eq!(site.get("secrets", "login").unwrap()["data"]["password"], "Y2FuYXJ5LXBhc3N3b3Jk");
    let checked = site.cli(&["check"]).expect_code(0);
    shows(&checked, &["decrypter: files encrypted by SOPS by", "github.com/getsops/sops/v3 v3.", "sandbox: "]);

    // Whoever writes the repository may encrypt for a server of their own, and would be given the token by it.
    site.repo.commit(&[("p/other.yaml", &encrypt_for_vault(&site, &thief))]);
    home.asked();
    let only = format!("the token is for {} alone", home.vault());
    shows(&site.once().expect_code(1), &["p/other.yaml", &thief.vault(), &only, "sops.vault-address"]);
    assert_eq!((home.asked().len(), thief.asked()), (1, Vec::new()));

    site.repo.remove("p/other.yaml");
    site.repo.commit_all("without it");
    configure(&site, &json!({"decrypt": {"secret": "sops"}}));
    shows(&site.once().expect_code(1), &["p/login.yaml", &home.vault(), "render.decrypt.kms: true"]);
    assert_eq!(home.asked(), Vec::<String>::new());
}

#[test]
fn a_token_of_vault_that_is_refused_or_has_no_address_is_an_error_that_names_the_file() {
    let home = KeyService::start();
    for (secret, parts) in [
        (json!({"sops.vault-token": VAULT_TOKEN}), ["sops.vault-address", "without the address"]),
        (
            json!({"sops.vault-token": "canary-other", "sops.vault-address": home.vault(), "sops.vault-ca": home.authority()}),
            ["HTTP 403", "permission denied"],
        ),
        (
            json!({"sops.vault-token": VAULT_TOKEN, "sops.vault-address": home.vault()}),
            ["certificate signed by unknown authority", "it is encrypted for"],
        ),
    ] {
        let site = site(&json!({"decrypt": {"secret": "sops", "kms": true}}));
        site.repo.commit(&[("p/login.yaml", &encrypt_for_vault(&site, &home))]);
        give(&site, &secret);
        let done = site.once().expect_code(1);
        shows(&done, &parts);
        shows(&done, &["p/login.yaml", &format!("{}/v1/transit/keys/shop", home.vault())]);
        assert!(!site.has("configmaps", "c"), "nothing is applied of a commit that cannot be read");
    }
}

#[test]
fn azure_is_asked_with_the_workload_identity_of_the_pod() {
    let service = KeyService::start();
    let site = site(&json!({"decrypt": {"kms": true}}));
    let (token, authority) = (site.scratch("azure-identity-token"), site.scratch("authority.pem"));
    std::fs::write(&token, POD_TOKEN).expect("a file");
    std::fs::write(&authority, service.authority()).expect("a file");
    let (token, authority, proxy) = (token.display().to_string(), authority.display().to_string(), service.proxy());
    // The first three are set by the webhook of Azure workload identity.
    let environment = [
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", &token),
        ("HTTPS_PROXY", &proxy),
        ("SSL_CERT_FILE", &authority),
    ];
    let encrypted = encrypt(&["--azure-kv", "https://shop.vault.azure.net/keys/k/v"], &environment);
    site.repo.commit(&[("p/login.yaml", &encrypted)]);
    service.asked();
    let once = |adjust: fn(&mut Command)| {
        let mut command = site.command(&["run", "--once"]);
        adjust(command.envs(environment));
        run(&mut command, None, COMMAND)
    };
    shows(&once(|_| {}).expect_code(0), &[]);
    let asked = service.asked();
    assert!(asked.iter().any(|one| one.starts_with("POST /keys/k/v/decrypt")), "{asked:?}");
    assert_eq!(site.get("secrets", "login").unwrap()["data"]["password"], "Y2FuYXJ5LXBhc3N3b3Jk");

    site.repo.commit(&[("p/more.yaml", &encrypted)]);
    let done = once(|command| {
        command.env("AZURE_FEDERATED_TOKEN_FILE", "/does/not/exist");
    });
    shows(&done.expect_code(1), &["Azure Key Vault https://shop.vault.azure.net/keys/k/v"]);
}
