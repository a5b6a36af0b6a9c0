use proptest::prelude::*;

use super::*;

const MINIMAL: &str = "
syncs:
  - name: shop
    source:
      url: https://git.example.com/shop.git
      branch: main
";

/// The errors of a file that is broken, as a person reads them.
fn errors(text: &str) -> String {
    parse(text, "c.yaml").unwrap_err().to_string()
}

/// [`MINIMAL`] with more lines in the sync, the first of them line 7.
fn with_keys(keys: &str) -> String {
    keys.lines().fold(MINIMAL.to_owned(), |text, line| text + "    " + line + "\n")
}

fn only_sync(text: &str) -> Arc<SyncConfig> {
    parse(text, "c.yaml").unwrap().syncs[0].clone()
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(MINIMAL, "c.yaml").unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.namespace, None);
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/driftless"));
    assert!(config.leader_election);
    let sync = &config.syncs[0];
    assert_eq!(sync.source.reference, Reference::Branch("main".into()));
    assert_eq!(sync.path.to_string(), ".");
    assert_eq!((sync.interval, sync.timeout), (Duration::from_mins(1), Duration::from_mins(5)));
    assert_eq!(sync.prune, PrunePolicy::default());
    assert_eq!(sync.drift, DriftPolicy::Heal);
    assert_eq!((sync.atomic, sync.wait, sync.suspend), (false, true, false));
    assert_eq!((sync.service_account.clone(), sync.target_namespace.clone()), (None, None));
    assert!(sync.depends_on.is_empty());
}

#[test]
fn a_key_without_a_value_has_its_default_too() {
    let keys = "path:\ninterval: ~\nprune: null\ndependsOn:\n";
    assert_eq!(only_sync(&with_keys(keys)), only_sync(MINIMAL));
}

#[test]
fn an_agent_may_have_nothing_to_do() {
    assert!(parse("syncs: []", "c.yaml").unwrap().syncs.is_empty());
}

#[test]
fn everything_that_is_written_is_read() {
    let text = "
listen: :9090
namespace: gitops
dataDir: ./data
leaderElection: {enabled: false}
audit: {period: 30m, maxPerSecond: 3}
syncs:
  - name: infra
    source: {url: 'git@github.com:acme/infra.git', tag: v1.0.0}
  - name: shop
    source: {url: 'file:///srv/shop.git', semver: '>=1.0 <2.0'}
    path: ./clusters/prod/
    interval: 1h30m
    prune: {enabled: false, maxPercent: 100, include: [Namespace, CustomResourceDefinition, Widget.example.com]}
    drift: off
    atomic: true
    wait: false
    timeout: 90s
    dependsOn: [infra]
    suspend: true
    serviceAccount: shop/deployer
    targetNamespace: shop
  - name: pinned
    source: {url: 'ssh://git@host/x', commit: 0123456789ABCDEF0123456789abcdef01234567}
";
    let config = parse(text, "c.yaml").unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9090");
    assert_eq!(config.namespace.as_deref(), Some("gitops"));
    assert!(!config.leader_election);
    let shop = &config.syncs[1];
    assert_eq!((shop.audit.period, shop.audit.max_per_second), (Duration::from_mins(30), 3));
    assert_eq!(shop.source.reference.to_string(), "semver >=1.0, <2.0");
    assert_eq!(shop.path.as_str(), "clusters/prod");
    assert_eq!((shop.interval, shop.timeout), (Duration::from_mins(90), Duration::from_secs(90)));
    assert_eq!((shop.prune.enabled, shop.prune.max_percent), (false, 100));
    let include: Vec<String> = shop.prune.include.iter().map(ToString::to_string).collect();
    assert_eq!(include, ["Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "Widget.example.com"]);
    assert_eq!(shop.drift, DriftPolicy::Off);
    assert_eq!((shop.atomic, shop.wait, shop.suspend), (true, false, true));
    assert_eq!(shop.depends_on, [SyncName::parse("infra").unwrap()]);
    assert_eq!(shop.service_account, Some(ServiceAccount { namespace: "shop".into(), name: "deployer".into() }));
    assert_eq!(shop.target_namespace.as_deref(), Some("shop"));
    let commit = Reference::Commit("0123456789abcdef0123456789abcdef01234567".into());
    assert_eq!(config.syncs[2].source.reference, commit);
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_to_do() {
    for (keys, error) in [
        (
            "interval: 60",
            "7:15: `60` is no duration: a duration needs a unit after every number, as in 90s, 5m or 1h30m",
        ),
        ("interval: 100ms", "7:15: `100ms` is out of bounds; from 1s to 24h"),
        ("timeout: 25h", "7:14: `25h` is out of bounds; from 1s to 24h"),
        (
            "timeout: 5 minutes",
            "7:14: `5 minutes` is no duration: ` minutes` is no unit of time; the units are h, m, s, ms, us and ns",
        ),
        ("drift: fix", "7:12: `fix` is no drift policy; write heal, report or off"),
        ("drift: false", "7:12: `false` is no drift policy; write \"off\" in quotes"),
        (
            "path: ../x",
            "7:11: `../x` is no path inside a repository; it is relative, with / between its parts and without ..",
        ),
        ("prune:\n  maxPercent: 101", "8:19: maxPercent is 101; it is a share in percent, 0 to 100"),
        ("prune:\n  maxPercent: -1", "8:19: maxPercent is -1; it is a share in percent, 0 to 100"),
        ("prune:\n  maxPercent: 20%", "8:19: expected a whole number"),
        (
            "prune: {include: [namespace]}",
            "7:23: `namespace` is no kind to list here; write Namespace, PersistentVolumeClaim, CustomResourceDefinition or Kind.group",
        ),
        ("prune: {include: [Namespace, Namespace]}", "7:34: `Namespace` is listed twice"),
        ("dependsOn: [infra]", "7:17: no sync has the name `infra`; there are shop"),
        ("dependsOn: [shop]", "7:17: these syncs wait for each other: shop -> shop; take one of them out of dependsOn"),
        (
            "serviceAccount: deployer",
            "7:21: `deployer` is no service account; write namespace/name, such as shop/deployer",
        ),
        (
            "targetNamespace: Shop",
            "7:22: `Shop` is no name of a namespace; it has lower-case letters, digits and dashes inside, at most 63 in all",
        ),
        ("wait: yes", "7:11: expected true or false"),
        ("wait: [true]", "7:11: expected a single value"),
        ("interval: {every: 5m}", "7:15: expected a single value"),
        ("dependsOn: infra", "7:16: expected a list; an empty one is written []"),
        (
            "intervall: 5m",
            "7:5: unknown key `intervall`; the keys here are name, source, path, interval, prune, drift, atomic, wait, timeout, dependsOn, suspend, serviceAccount, targetNamespace, render",
        ),
        ("wait: true\nwait: true", "8:5: the key `wait` is given twice"),
    ] {
        assert_eq!(errors(&with_keys(keys)), format!("c.yaml:{error}"), "{keys}");
    }
}

#[test]
fn a_wrong_file_is_named_with_its_place() {
    for (text, error) in [
        ("", "1:1: the file ends too early; a configuration has at least `syncs: []`"),
        ("# nothing\n", "2:1: the file ends too early; a configuration has at least `syncs: []`"),
        ("listen: :80\n", "1:1: the key `syncs` is missing"),
        ("syncs: [~]\n", "1:9: "),
        ("syncs:\n", "1:6: expected a list; an empty one is written []"),
        ("syncs: {}\n", "1:8: expected a list; an empty one is written []"),
        ("- name: shop\n", "1:1: expected a mapping of keys to values"),
        (
            "syncs: []\n---\nsyncs: []\n",
            "3:1: a second document begins; a configuration is one document, so remove the `---` above",
        ),
        (
            "listen: localhost:80\nsyncs: []",
            "1:9: `localhost:80` is no address to listen on; write an IP address and a port, such as 127.0.0.1:8080, [::]:8080 or :8080",
        ),
        (
            "namespace: a.b\nsyncs: []",
            "1:12: `a.b` is no name of a namespace; it has lower-case letters, digits and dashes inside, at most 63 in all",
        ),
        ("dataDir: ''\nsyncs: []", "1:10: dataDir is empty; leave the key out or name a directory"),
        ("syncs:\n- name: a\n", "2:3: the key `source` is missing"),
        ("syncs:\n- source: {url: x}\n", "2:3: the key `name` is missing"),
        (
            "syncs:\n- name: a\n  source: {url: 'https://h/x'}\n",
            "3:11: set one of branch, tag, semver and commit; nothing is followed by default",
        ),
        (
            "syncs:\n- name: a\n  source: {url: 'https://h/x', tag: x, branch: y}\n",
            "3:48: tag and branch are both set; keep one of them",
        ),
        (
            "syncs:\n- name: a\n  source: {url: 'https://h/x', branch: refs/heads/x}\n",
            "3:40: write the short name of the branch, without refs/heads/ or refs/tags/",
        ),
        (
            "syncs:\n- name: a\n  source: {url: 'https://h/x', commit: abc}\n",
            "3:40: `abc` is no full commit id of 40 hexadecimal digits",
        ),
        ("syncs: [\n", "1:8: "),
        ("syncs: *gone\n", "1:8: "),
    ] {
        let found = errors(text);
        let expected = format!("c.yaml:{error}");
        assert!(
            if error.ends_with(": ") { found.starts_with(&expected) } else { found == expected },
            "{text}: {found}"
        );
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn everything_wrong_is_reported_at_once_in_the_order_of_the_file() {
    let text = "
listen: nowhere
syncs:
  - name: Shop
    source: {url: 'ftp://host/x', branch: main}
    interval: 5
  - name: infra
    source: {url: 'https://host/x', branch: a..b}
    dependsOn: [db, infra]
  - name: infra
    source: {url: 'https://host/x', branch: main}
";
    let places: Vec<(u32, u32)> =
        parse(text, "c.yaml").unwrap_err().problems().iter().map(|at| (at.line, at.column)).collect();
    assert_eq!(places, [(2, 9), (4, 11), (5, 19), (6, 15), (8, 45), (9, 17), (9, 21), (10, 11)]);
    let last = errors(text);
    let last = last.lines().last().unwrap();
    assert_eq!(last, "c.yaml:10:11: the name `infra` is taken by the sync on line 7, column 11; names are unique");
}

#[test]
fn circles_of_dependencies_are_spelled_out() {
    let sync = |name: &str, on: &str| {
        format!("- name: {name}\n  source: {{url: 'https://h/x', branch: main}}\n  dependsOn: [{on}]\n")
    };
    let text = format!("syncs:\n{}{}{}", sync("c", "a"), sync("a", "b"), sync("b", "a"));
    assert_eq!(
        errors(&text),
        "c.yaml:7:15: these syncs wait for each other: a -> b -> a; take one of them out of dependsOn"
    );
}

#[test]
fn aliases_and_merges_are_read_and_located_where_they_are_used() {
    let text = "
syncs:
  - &base
    name: a
    source: &source {url: 'https://h/x', branch: main}
    interval: 2m
  - <<: *base
    name: b
  - name: c
    source: *source
";
    let config = parse(text, "c.yaml").unwrap();
    assert_eq!(config.syncs[1].interval, Duration::from_mins(2));
    assert_eq!(config.syncs[2].source, config.syncs[0].source);
    let found = errors(
        "
syncs:
  - name: a
    source: {url: 'https://h/x', branch: main}
    path: &bad ../x
    targetNamespace: *bad
",
    );
    assert!(found.contains("c.yaml:5:16: ") && found.contains("c.yaml:6:22: "), "{found}");
}

#[test]
fn credentials_are_read_and_not_shown() {
    let text = MINIMAL.replace("https://", "https://bob:s3cret@");
    let sync = only_sync(&text);
    assert_eq!(&*sync.source.url, "https://bob:s3cret@git.example.com/shop.git");
    assert!(!format!("{sync:?}").contains("s3cret"));
}

proptest! {
    /// A URL with a password put in the place of any value or key, in any form, is never shown.
    #[test]
    fn no_error_repeats_a_credential(
        line in 0..12_usize,
        scheme in prop::sample::select(vec!["https://", "ftp://", "ssh://", "", "ext::", "git@"]),
        form in prop::sample::select(vec!["URL", "'URL'", "\"URL\"", "[URL]", "{URL: 1}", "{'URL': 1}", "!URL x", "&URL x", "*URL", "|\n          URL", "URL: 1", "'URL", "\"URL", "- URL", "? URL", "%URL"]),
        host in prop::sample::select(vec!["@host/x", "@host:x y", "@", "@host:99999/x", "@ho st", "/@x"]),
    ) {
        let url = format!("{scheme}bob:s3cret{host}");
        let text = "listen: V\nnamespace: V\ndataDir: V\nsyncs:\n- name: V\n  source:\n    url: V\n    branch: V\n  path: V\n  drift: V\n  dependsOn: V\n  prune: V\n";
        let mut seen = 0;
        let lines: Vec<String> = text.lines().map(|each| {
            if !each.contains('V') { return each.to_owned(); }
            seen += 1;
            match (seen - 1 == line, each.trim().split(':').next()) {
                (true, _) => each.replace('V', &form.replace("URL", &url)),
                (false, Some("listen")) => String::new(),
                (false, Some("dataDir" | "path")) => each.replace('V', "x"),
                (false, Some("drift")) => each.replace('V', "heal"),
                (false, Some("dependsOn")) => each.replace('V', "[]"),
                (false, Some("prune")) => each.replace('V', "{}"),
                (false, Some("url")) => each.replace('V', "https://host/x"),
                (false, _) => each.replace('V', "shop"),
            }
        }).collect();
        if let Err(error) = parse(&lines.join("\n"), "c.yaml") {
            prop_assert!(!error.to_string().contains("s3cret"), "{}", error);
            prop_assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn no_text_is_too_odd_to_be_refused(text in "(syncs|name|source|url|: |\n|- |  |\\[|\\]|\\{|\\}|&a |\\*a|<<|'|\"|\\||#|!|,|x|\t|~){0,40}") {
        if let Err(error) = parse(&text, "c.yaml") {
            prop_assert!(error.problems().iter().all(|at| at.line > 0 && at.column > 0 && !at.message.is_empty()));
        }
    }
}

#[test]
fn what_is_quoted_of_a_broken_file_is_short_and_steers_no_terminal() {
    for text in ["syncs:\n- !a%00%1b[2J%e2%80%ae x\n".to_owned(), format!("syncs: !{} []\n", "x".repeat(10_000))] {
        let errors = errors(&text);
        assert!(!errors.chars().any(crate::object::is_deceptive) && errors.len() < 1_000, "{errors:?}");
    }
}

#[test]
fn a_file_that_nests_deeply_is_an_error() {
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
        let text = errors(&format!("syncs: {deep}"));
        assert!(text.len() < 1000, "{}", text.len());
        errors(&deep);
    }
}
