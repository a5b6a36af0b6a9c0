//! A chart, and a site that renders it.

use serde_json::{Value, json};

use crate::support::site::Site;

pub(super) const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.2.3\n";
pub(super) const VALUES: &str = "replicas: 1\nmessage: hello\n";
pub(super) const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-config'}\ndata:\n  message: \
                      {{ .Values.message | quote }}\n  version: {{ .Capabilities.KubeVersion.Version | quote }}\n  \
                      crds: {{ .Capabilities.APIVersions.Has \"apiextensions.k8s.io/v1/CustomResourceDefinition\" | quote }}\n";
pub(super) const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '{{ .Release.Name }}-web'}\nspec:\n  \
                          replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: web}}\n  template:\n    \
                          metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";

/// A chart with these templates beside the two above.
pub(super) fn chart<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut files = vec![
        ("chart/Chart.yaml", CHART),
        ("chart/values.yaml", VALUES),
        ("chart/templates/config.yaml", CONFIG),
        ("chart/templates/web.yaml", DEPLOYMENT),
    ];
    files.extend(more);
    files
}

pub(super) fn site(files: &[(&str, &str)], render: &Value) -> Site {
    let site = Site::with(files);
    site.configure(&[sync(&site, render)]);
    site
}

pub(super) fn sync(site: &Site, render: &Value) -> Value {
    let mut sync = site.sync("shop");
    sync["path"] = json!("chart");
    sync["render"] = render.clone();
    sync
}
