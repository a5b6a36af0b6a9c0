//! The real programs of a control plane stopped, killed and given other certificates, under an agent
//! that is at work.

use std::fs;
use std::time::{Duration, Instant};

use http::Method;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::path;
use crate::support::plane::{API_SERVER, ETCD, Plane, plane};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// A site on the troubled cluster with a sync of some objects.
fn site_of(plane: &Plane, objects: usize) -> Site {
    let files: Vec<(String, String)> =
        (0..objects).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let site = Site::on(plane.cluster, &files);
    site.configure(&[site.sync("shop")]);
    site
}

fn edit(site: &Site, name: &str) {
    site.edit("configmaps", name, "tuner", &json!({"data": {"value": "by hand"}}));
}

#[track_caller]
fn eventually_healed(site: &Site, names: &[&str]) {
    eventually("drift is undone", || {
        let values: Vec<_> = names.iter().map(|name| site.value_of(name)).collect();
        check(values.iter().all(|value| value.as_deref() == Some("1")), format!("{values:?}"))
    });
}

fn attempts(agent: &Agent) -> f64 {
    agent.metric("driftless_kube_requests_total", &[]).unwrap_or_default()
}

/// What it has tried in some time stays below a rate, however much there is to do.
#[track_caller]
fn is_patient(agent: &Agent, during: Duration) {
    let before = attempts(agent);
    let until = Instant::now() + during;
    // The rate is over a time, so a time has to pass.
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let rate = (attempts(agent) - before) / during.as_secs_f64();
    assert!(rate < 60.0, "{rate} requests a second to a server that is away");
}

fn deletions(plane: &Plane, mark: u64, site: &Site) -> Vec<(String, String, u64)> {
    let mut requests = plane.requests_since(mark, &site.user());
    requests.retain(|(verb, ..)| verb.starts_with("delete"));
    requests
}

/// Scenario 32, with the real programs
#[test]
fn an_api_server_that_is_killed_under_load_loses_nothing_and_an_agent_started_meanwhile_waits_for_it() {
    let Some(mut plane) = plane() else { return };
    let (site, late) = (site_of(&plane, 300), site_of(&plane, 2));
    let mark = plane.mark();
    let agent = Agent::start(&site);
    eventually("it is in the middle of its work", || {
        let there = site.config_maps().len();
        check(there >= 40, there)
    });
    plane.kill(API_SERVER);
    let waiting = Agent::start(&late);
    assert_eq!((waiting.http("/healthz").0, waiting.http("/readyz").0), (200, 503));
    is_patient(&agent, Duration::from_secs(3));
    is_patient(&waiting, Duration::from_millis(500));
    waiting.eventually_logs(&["cannot start yet; next try in", "cannot be reached"]);
    assert_eq!(waiting.http("/readyz").0, 503);
    plane.start_again(API_SERVER);
    agent.eventually_synced("shop", &site.repo.head());
    waiting.eventually_synced("shop", &late.repo.head());
    assert_eq!(waiting.http("/readyz").0, 200);
    assert_eq!((site.config_maps().len(), late.config_maps().len()), (300, 2));
    assert_eq!(deletions(&plane, mark, &site), []);

    // All watches are cut at once, and what happens around that is not missed.
    agent.cycles("shop", 1);
    let mark = plane.mark();
    edit(&site, "c1");
    plane.kill(API_SERVER);
    plane.start_again(API_SERVER);
    edit(&site, "c2");
    site.delete("configmaps", "c3");
    eventually_healed(&site, &["c1", "c2", "c3"]);
    let commit = site.repo.commit(&[("4.yaml", &config_map("c4", "2"))]);
    agent.eventually_synced("shop", &commit);
    let requests = plane.requests_since(mark, &site.user());
    let writes: Vec<_> = requests
        .iter()
        .filter(|(verb, what, _)| matches!(&**verb, "patch" | "create" | "delete") && what == "configmaps")
        .collect();
    assert!(writes.len() < 25, "three drifts and a commit of one object, and the parent: {writes:#?}");
    assert!(requests.len() < 150, "{} requests for next to nothing: {requests:#?}", requests.len());
    assert_eq!(deletions(&plane, mark, &site), []);
}

#[test]
fn an_etcd_that_hangs_and_one_that_is_killed_cost_nothing_but_time() {
    let Some(mut plane) = plane() else { return };
    let site = site_of(&plane, 20);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let mark = plane.mark();
    for round in ["frozen", "killed"] {
        edit(&site, "c1");
        if round == "frozen" {
            plane.signal(ETCD, "-STOP");
        } else {
            plane.kill(ETCD);
        }
        let new = format!("{round}.yaml");
        let commit = site.repo.commit(&[("0.yaml", &config_map("c0", round)), (&*new, &config_map(round, "1"))]);
        is_patient(&agent, Duration::from_secs(4));
        plane.start_again(ETCD);
        plane.is_ready();
        eventually_healed(&site, &["c1"]);
        edit(&site, "c2");
        eventually_healed(&site, &["c2"]);
        agent.eventually_synced("shop", &commit);
        assert_eq!((site.value_of("c0").as_deref(), site.value_of(round).as_deref()), (Some(round), Some("1")));
    }
    assert_eq!(site.config_maps().len(), 22);
    assert_eq!(deletions(&plane, mark, &site), []);
}

/// A kubeconfig of this user for the site's agent.
fn write_kubeconfig(site: &Site, server: &Value, user: &Value) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    fs::write(site.kubeconfig(), config.to_string()).expect("a file");
}

/// The server's address and authority as the cluster's own kubeconfig has them.
fn server(plane: &Plane) -> Value {
    let text = fs::read_to_string(&plane.cluster.kubeconfig).expect("a kubeconfig");
    let config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
    config["clusters"][0]["cluster"].clone()
}

/// Drift of two objects and a commit: one is healed, and the other synced.
#[track_caller]
fn works(site: &Site, agent: &Agent, value: &str) {
    edit(site, "c1");
    eventually_healed(site, &["c1"]);
    let commit = site.repo.commit(&[("0.yaml", &config_map("c0", value))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.value_of("c0").as_deref(), Some(value));
}

#[test]
fn a_token_that_is_revoked_and_renewed_on_disk_is_read_again() {
    let Some(plane) = plane() else { return };
    let cluster = plane.cluster;
    let site = site_of(&plane, 5);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}});
    cluster.create(&path("serviceaccounts", Some(&site.namespace), ""), &account);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": site.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": site.namespace}]});
    cluster.create(&path("clusterrolebindings.rbac.authorization.k8s.io", None, ""), &binding);
    // A token lasts as long as the Secret that it is bound to.
    let token = |holder: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": holder}});
        cluster.create(&path("secrets", Some(&site.namespace), ""), &secret);
        let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": holder}}});
        let account = path("serviceaccounts", Some(&site.namespace), "agent");
        let made = cluster.create(&format!("{account}/token"), &wanted);
        made["status"]["token"].as_str().expect("a token").to_owned()
    };
    let file = site.scratch("token");
    fs::write(&file, token("first")).expect("a file");
    write_kubeconfig(&site, &server(&plane), &json!({"tokenFile": file}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    works(&site, &agent, "with the first token");

    site.delete("secrets", "first");
    let refused = || agent.metric("driftless_kube_requests_total", &["code=\"401\""]).unwrap_or_default();
    eventually("the first token is refused", || {
        edit(&site, "c2");
        check(refused() > 0.0, refused())
    });
    is_patient(&agent, Duration::from_secs(2));
    assert_eq!(site.value_of("c2").as_deref(), Some("by hand"), "nothing can be healed with it");
    fs::write(&file, token("second")).expect("a file");
    let renewed = Instant::now();
    eventually_healed(&site, &["c2"]);
    // kube by itself reads the file once a minute.
    assert!(renewed.elapsed() < Duration::from_secs(40), "{:?}", renewed.elapsed());
    works(&site, &agent, "with the second token");
    let log = agent.log().join("\n");
    assert!(!log.contains(fs::read_to_string(&file).expect("a token").trim()), "{log}");
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Certificate and key.
fn signed(mut params: CertificateParams, name: &str, by: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, by).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// Written beside and renamed, so that nobody reads half of it.
fn replace(file: &std::path::Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(new, file).expect("a file");
}

#[test]
fn certificates_of_the_client_of_the_server_and_of_its_authority_are_replaced_under_a_running_agent() {
    let Some(mut plane) = plane() else { return };
    let certs = plane.directory.join("certs");
    let clients = plane.client_authority();
    let site = site_of(&plane, 5);
    let client = |by: &CertifiedIssuer<'static, KeyPair>| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = signed(params, &site.user(), by);
        replace(&site.scratch("client.key"), &key);
        replace(&site.scratch("client.crt"), &certificate);
    };
    let first = authority("first-clients");
    replace(&clients, &first.pem());
    client(&first);
    if !plane.takes_certificates {
        plane.kill(API_SERVER);
        plane.start_again(API_SERVER);
    }
    let user = json!({"client-certificate": site.scratch("client.crt"), "client-key": site.scratch("client.key")});
    write_kubeconfig(&site, &server(&plane), &user);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    works(&site, &agent, "with the first certificate");

    // The server reads its files by itself.
    let second = authority("second-clients");
    replace(&clients, &second.pem());
    let refused = || agent.metric("driftless_kube_requests_total", &["code=\"401\""]).unwrap_or_default();
    let before = refused();
    eventually("the first certificate is refused", || {
        edit(&site, "c2");
        check(refused() > before, before)
    });
    client(&second);
    eventually_healed(&site, &["c2"]);
    works(&site, &agent, "with the second certificate");

    let authority = authority("another-authority");
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (certificate, key) = signed(params, "kube-apiserver", &authority);
    plane.kill(API_SERVER);
    fs::write(certs.join("apiserver.key"), key).expect("a file");
    fs::write(certs.join("apiserver.crt"), certificate).expect("a file");
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, authority.pem());
    let old = server(&plane)["certificate-authority-data"].as_str().expect("an authority").to_owned();
    let text = fs::read_to_string(&plane.cluster.kubeconfig).expect("a kubeconfig").replace(&old, &data);
    fs::write(&plane.cluster.kubeconfig, text).expect("a file");
    plane.cluster = Box::leak(Box::new(plane.cluster.anew()));
    plane.start_again(API_SERVER);
    let failed = || agent.metric("driftless_kube_requests_total", &["code=\"error\""]).unwrap_or_default();
    let before = failed();
    let commit = site.repo.commit(&[("0.yaml", &config_map("c0", "with another authority"))]);
    eventually("the agent does not trust the new authority", || check(failed() > before, before));
    write_kubeconfig(&site, &server(&plane), &user);
    // The site's own client still trusts the authority of before.
    let object = path("configmaps", Some(&site.namespace), "c3");
    plane.cluster.merge(&object, "tuner", &json!({"data": {"value": "by hand"}}));
    agent.eventually_synced("shop", &commit);
    eventually("drift is undone", || {
        let found = plane.cluster.ask(&Method::GET, &object, "", None).map(|live| live["data"]["value"].clone());
        check(found == Ok(json!("1")), format!("{found:?}"))
    });
}
