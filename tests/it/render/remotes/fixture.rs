//! A chart in a repository of charts, and a sync that renders it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::charts::pack;
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

pub(super) const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {version: '{{ .Chart.Version }}', from: '{{ .Values.from }}'}\n";

pub(super) fn web(site: &Site, version: &str) -> PathBuf {
    pack(site.directory(), "web", version, &[("templates/config.yaml", CONFIG), ("values.yaml", "from: chart\n")])
}

/// A sync with a chart out of a repository, compared with it as often as that can be said.
pub(super) fn sync(site: &Site, repository: &str, version: &str, more: &Value) -> Value {
    let mut sync = site.sync("shop");
    let mut helm =
        json!({"repository": repository, "chart": "web", "version": version, "valuesFiles": ["values.yaml"]});
    helm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sync["render"] = json!({"refresh": "1s", "helm": helm});
    sync
}

pub(super) fn site() -> Site {
    let site = Site::with(&[("values.yaml", "from: git\n")]);
    site.make_namespace(&site.home);
    site
}

pub(super) fn version(site: &Site) -> Option<String> {
    site.get("configmaps", "web").and_then(|map| map["data"]["version"].as_str().map(str::to_owned))
}

pub(super) fn eventually_is(site: &Site, wanted: &str) {
    eventually("the version of the chart", || {
        check(version(site).as_deref() == Some(wanted), format_args!("{:?}", version(site)))
    });
}
