//! The image: what is in it, and that the binaries do their work there as the image's user, with
//! nothing but the image's files. Needs a static binary, which `make test-image` builds.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::dns::Dns;
use crate::support::githttp::GitHttp;
use crate::support::image::{Image, Pod, Target, forbidden, inside, strings};
use crate::support::process::run;
use crate::support::rights::{every, least_agent};
use crate::support::site::{Site, config_map};
use crate::support::tls::{Authority, in_front_of};
use crate::support::wait::eventually;

/// What a pod calls a git server in another namespace, and what that stands for.
const SHORT: &str = "git.tools.svc";
const FULL: &str = "git.tools.svc.cluster.test";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Beside driftless, where it searches for them.
const HELPERS: [&str; 2] = ["driftless-renderer", "driftless-decrypt"];

/// Mode, owner and name of everything in it, sorted.
fn files(image: &Image) -> Vec<String> {
    let described = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    let mut files: Vec<String> = image.listing.lines().map(described).collect();
    files.sort();
    files.dedup();
    files
}

#[test]
#[ignore = "needs the static binary: make test-image"]
fn the_image_holds_the_programs_certificates_and_little_else() {
    let (image, slim) = (Image::build(Target::Full), Image::build(Target::Slim));
    let expected = [
        "-rw-r--r-- 0/0 LICENSE",
        "-rw-r--r-- 0/0 etc/group",
        "-rw-r--r-- 0/0 etc/passwd",
        "-rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt",
        "-rwxr-xr-x 0/0 driftless",
        "drwxr-xr-x 0/0 etc/",
        "drwxr-xr-x 0/0 etc/ssl/",
        "drwxr-xr-x 0/0 etc/ssl/certs/",
        "drwxr-xr-x 0/0 home/",
        "drwxr-xr-x 0/0 home/driftless/",
        "drwxr-xr-x 0/0 var/",
        "drwxr-xr-x 0/0 var/lib/",
        "drwxr-xr-x 65532/65532 var/lib/driftless/",
        "drwxrwxrwt 0/0 tmp/",
    ];
    assert_eq!(files(&slim), expected, "{}", slim.listing);
    // No etc/sops among them: SOPS itself would read an audit.yaml there.
    let mut expected: Vec<String> = expected.map(str::to_owned).into();
    expected.extend(HELPERS.map(|helper| format!("-rwxr-xr-x 0/0 {helper}")));
    expected.sort();
    assert_eq!(files(&image), expected, "{}", image.listing);
    for image in [&image, &slim] {
        println!("the image, packed: {} KiB\n{}", image.packed / 1024, image.listing);
        assert_eq!(image.user(), (65532, 65532));
        assert_eq!(
            (strings(&image.config["Entrypoint"]), strings(&image.config["Cmd"])),
            (vec!["/driftless"], vec!["run"])
        );
        let label = |name: &str| image.config["Labels"][format!("org.opencontainers.image.{name}")].clone();
        assert_eq!((label("version"), label("revision")), (json!("v1.2.3"), json!("abc")));
        assert_eq!(label("licenses"), "Apache-2.0");
    }
}

#[test]
#[ignore = "needs the static binary: make test-image"]
fn in_the_image_the_helpers_start_as_its_user_and_need_no_other_file() {
    let image = Image::build(Target::Full);
    for helper in HELPERS {
        assert!(is_static(&std::fs::read(image.file(helper)).expect("a helper")), "{helper} needs a loader");
    }
    if let Some(why) = forbidden() {
        return println!("skipped: {why}");
    }
    let pod = Pod { data: image.volume("data"), ..Pod::default() };
    for helper in HELPERS {
        let mut command = image.confined(&pod);
        let version = run(command.arg(format!("/{helper}")).arg("--version"), None, Duration::from_secs(30));
        let version: Value = serde_json::from_str(&version.expect_code(0).stdout).expect("JSON");
        assert_eq!(version["version"], 1, "{helper} speaks the protocol that driftless does");
    }
}

/// Whether an ELF file of 64 bits, little-endian, names no program that loads it (`PT_INTERP`, elf(5)).
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number =
        |at: usize, bytes: usize| elf[at..at + bytes].iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    let place = |at: usize, bytes: usize| usize::try_from(number(at, bytes)).expect("a place in the file");
    assert_eq!(&elf[..4], b"\x7fELF");
    let (headers, size, count) = (place(32, 8), place(54, 2), place(56, 2));
    (0..count).all(|index| number(headers + index * size, 4) != PT_INTERP)
}

/// A git server that only DNS and its own authority know, and a pod that follows it.
struct Scene {
    site: Site,
    authority: Authority,
    dns: Option<Dns>,
    pod: Pod,
    _git: GitHttp,
}

fn scene(image: &Image) -> Scene {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let authority = Authority::new();
    let git = GitHttp::start(site.repo.root());
    let address = git.url().split('/').nth(2).expect("an address").parse().expect("an address");
    let port = in_front_of(address, authority.server(SHORT));
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(format!("https://{SHORT}:{port}/repo.git"));
    site.configure_with(&[sync], |config| config["dataDir"] = json!("/var/lib/driftless"));

    let account = least_agent(&site, &[]);
    account.may(&site.namespace, "shop", &json!([every("", &["configmaps"])]));
    let (server, ca) = api_server();
    let mounted = site.scratch("account");
    std::fs::create_dir(&mounted).expect("a directory");
    for (name, content) in [("token", account.token()), ("namespace", site.home.clone()), ("ca.crt", ca)] {
        std::fs::write(mounted.join(name), content).expect("a file");
    }
    // As the kubelet writes it, and what the runtime writes when DNS cannot be had.
    let dns = Dns::of(FULL).inspect_err(|error| println!("names by /etc/hosts alone, no DNS: {error}")).ok();
    let resolv = dns.as_ref().map_or_else(String::new, |dns| format!("nameserver {}\n", dns.address()))
        + "search shop.svc.cluster.test svc.cluster.test cluster.test\noptions ndots:5\n";
    let hosts = "127.0.0.1 localhost\n".to_owned()
        + &if dns.is_some() { String::new() } else { format!("127.0.0.1 {SHORT}\n") };
    let file = |name: &str, content: &str| {
        std::fs::write(site.scratch(name), content).expect("a file");
        site.scratch(name)
    };
    let pod = Pod {
        mounts: vec![
            (site.config_file().parent().expect("a directory").to_owned(), "/etc/driftless"),
            (mounted, ACCOUNT),
            (file("resolv.conf", &resolv), "/etc/resolv.conf"),
            (file("hosts", &hosts), "/etc/hosts"),
        ],
        environment: vec![
            ("KUBERNETES_SERVICE_HOST", server.host_str().expect("a host").to_owned()),
            ("KUBERNETES_SERVICE_PORT", server.port_or_known_default().expect("a port").to_string()),
        ],
        data: image.volume(&format!("data-{}", site.id)),
    };
    for readable in [site.directory(), &site.scratch("config")] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(readable, mode).expect("permissions");
    }
    Scene { site, authority, dns, pod, _git: git }
}

/// Where the API server is, and its authority.
fn api_server() -> (url::Url, String) {
    let text = std::fs::read_to_string(&cluster().kubeconfig).expect("a kubeconfig");
    let config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
    let config = &config["clusters"][0]["cluster"];
    let server = config["server"].as_str().expect("a server").parse().expect("a URL");
    let ca = config["certificate-authority-data"].as_str().map_or_else(
        || std::fs::read(config["certificate-authority"].as_str().expect("an authority")).expect("a certificate"),
        |data| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).expect("base64"),
    );
    (server, String::from_utf8(ca).expect("PEM"))
}

#[test]
#[ignore = "needs the static binary: make test-image"]
fn in_the_image_the_agent_syncs_over_https_from_a_name_in_the_clusters_dns_as_its_user_on_a_read_only_root() {
    if let Some(why) = forbidden() {
        return println!("skipped: {why}");
    }
    let image = Image::build(Target::Full);
    let mut scene = scene(&image);
    // In the place of the image's own, which no variable announces.
    let bundle = scene.site.scratch("bundle.crt");
    std::fs::write(&bundle, scene.authority.pem()).expect("a file");
    scene.pod.mounts.push((bundle, CERTIFICATES));
    let agent = Agent::spawn(&scene.site, image.command(&scene.pod, &[]));
    agent.eventually_synced("shop", &scene.site.repo.head());
    let commit = scene.site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(scene.site.value_of("a").as_deref(), Some("2"));
    if let Some(dns) = &scene.dns {
        let asked = dns.asked();
        assert!(asked.iter().any(|name| name == FULL), "{asked:?}");
        assert!(
            asked.iter().any(|name| name.starts_with(SHORT) && name.ends_with(".shop.svc.cluster.test")),
            "{asked:?}"
        );
    }

    let process = inside(agent.pid()).expect("the process in the image");
    let proc = Path::new("/proc").join(process.to_string());
    let status = std::fs::read_to_string(proc.join("status")).expect("a process");
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("NSpid:").ends_with("\t1"), "it is the first process there: {}", line("NSpid:"));
    assert_eq!(line("CapEff:").split_whitespace().nth(1), Some("0000000000000000"));
    let users = std::fs::read_to_string(proc.join("uid_map")).expect("users");
    assert_eq!(users.split_whitespace().next(), Some("65532"), "the only user that there is");
    let mounts = std::fs::read_to_string(proc.join("mountinfo")).expect("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
    assert!(root.split(' ').nth(5).is_some_and(|options| options.split(',').any(|one| one == "ro")), "{root}");

    // As the kubelet ends it.
    assert!(std::process::Command::new("kill").args(["-TERM", &process.to_string()]).status().expect("kill").success());
    let mut agent = agent;
    eventually("it ends", || if agent.has_ended() { Ok(()) } else { Err("it runs") });
    assert!(agent.logged(&["stopping: no further object"]).is_some());
}

#[test]
#[ignore = "needs the static binary: make test-image"]
fn in_the_image_an_unknown_authority_is_refused_until_ssl_cert_file_names_it() {
    if let Some(why) = forbidden() {
        return println!("skipped: {why}");
    }
    let image = Image::build(Target::Full);
    let mut scene = scene(&image);
    let agent = Agent::spawn(&scene.site, image.command(&scene.pod, &["run"]));
    let status = agent.eventually_is("shop", "Failing");
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("certificate"), "{message}");
    agent.kill();
    assert!(!scene.site.has("configmaps", "a"));

    let own = scene.site.scratch("own.crt");
    std::fs::write(&own, scene.authority.pem()).expect("a file");
    scene.pod.mounts.push((own, "/etc/own.crt"));
    scene.pod.environment.push(("SSL_CERT_FILE", "/etc/own.crt".into()));
    let agent = Agent::spawn(&scene.site, image.command(&scene.pod, &["run"]));
    agent.eventually_synced("shop", &scene.site.repo.head());
    assert!(scene.site.has("configmaps", "a"));
}

/// `.dockerignore` lets through what the compiler reads, and nothing that it does not.
#[test]
#[ignore = "needs the static binary: make test-image"]
fn the_build_context_is_what_the_build_reads() {
    let binary = std::env::var("DRIFTLESS_IMAGE_BINARY").expect("DRIFTLESS_IMAGE_BINARY: run make test-image");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = std::fs::read_to_string(format!("{binary}.d")).expect("what the compiler read");
    let (_, read) = read.split_once(": ").expect("a list of files");
    let read: Vec<String> = read
        .split_whitespace()
        .filter_map(|file| Path::new(file).strip_prefix(root).ok())
        .map(|file| file.display().to_string())
        .filter(|file| !file.starts_with("target/"))
        .collect();
    assert!(read.len() > 100, "{read:?}");
    let context = Image::context();
    let more = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "LICENSE", "deploy/image/build"];
    let go: Vec<String> = ["renderer", "decrypter"].into_iter().flat_map(go_sources).collect();
    let read: Vec<&str> = read.iter().chain(&go).map(String::as_str).chain(more).collect();
    for file in &read {
        assert!(context.iter().any(|one| one == file), "{file} is not in the build context: {context:?}");
    }
    let strange: Vec<_> =
        context.iter().filter(|file| !read.contains(&file.as_str()) && !file.starts_with("src/")).collect();
    assert!(strange.is_empty(), "in the build context for nothing: {strange:?}");
}

/// What a helper is built from; the tests are none of it.
fn go_sources(helper: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(helper);
    let names =
        std::fs::read_dir(root).expect("a helper").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let sources = names.filter(|name| {
        let stem = name.strip_suffix(".go");
        ["build", "go.mod", "go.sum"].contains(&name.as_str()) || stem.is_some_and(|stem| !stem.ends_with("_test"))
    });
    sources.map(|name| format!("{helper}/{name}")).collect()
}
