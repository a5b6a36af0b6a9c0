//! Charts that cannot be rendered.

use serde_json::json;

use super::fixture::{CHART, chart, site, sync};
use crate::support::agent::Agent;
use crate::support::site::Site;

#[test]
fn errors_of_charts_keep_their_place() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("chart/templates/bad.yaml", "a: {{ .Values.x.y.z }}\n", &["chart/templates/bad.yaml:1"]),
        ("chart/templates/bad.yaml", "\n{{ fail \"no luck\" }}\n", &["chart/templates/bad.yaml:2", "no luck"]),
        ("chart/templates/bad.yaml", "{{ if }}\n", &["chart/templates/bad.yaml:1"]),
        (
            "chart/values.schema.json",
            "{\"properties\": {\"replicas\": {\"type\": \"string\"}}}",
            &["replicas", "chart/values"],
        ),
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.x, repository: 'https://example.com'}]\n",
            &["chart/Chart.yaml", "db", "helm dependency"],
        ),
        (
            "chart/templates/bad.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: {{ .Values.replicas }}}\n",
            &["chart/templates/bad.yaml", "data.a"],
        ),
    ];
    for (file, text, parts) in cases {
        let site = site(&chart(&[(file, text)]), &json!({}));
        let done = site.once().expect_code(1);
        for part in parts {
            assert!(done.all().contains(part), "{file}: {part} in {}", done.all());
        }
        assert!(
            !site.has("configmaps", "shop-config") || file == "chart/templates/bad.yaml" && text.contains("data: {a")
        );
    }
}

#[test]
fn a_chart_that_never_ends_stops_itself_alone() {
    let endless = "{{ define \"x\" }}{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}{{ end }}{{ include \"x\" . }}\n";
    let site = Site::with(&chart(&[("bad/Chart.yaml", CHART), ("bad/templates/x.yaml", endless)]));
    let mut bad = sync(&site, &json!({"timeout": "3s"}));
    (bad["name"], bad["path"]) = (json!("bad"), json!("bad"));
    site.configure(&[sync(&site, &json!({})), bad]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let failing = agent.eventually_is("bad", "Failing");
    assert!(failing.to_string().contains("did not end within 3 s"), "{failing}");
    let commit = site.repo.commit(&[("chart/values.yaml", "replicas: 2\nmessage: hello\n")]);
    agent.eventually_synced("shop", &commit);
}
