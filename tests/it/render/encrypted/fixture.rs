//! The Secret with the keys.

use serde_json::{Value, json};

use crate::support::cluster::{cluster, path};
use crate::support::site::Site;

/// A manifest that is encrypted as a whole.
pub(super) const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata:\n    name: login\nstringData:\n    password: canary-password\n";

/// Makes the Secret with the keys.
pub(super) fn give(site: &Site, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops"}, "stringData": data});
    create(site, "secrets", &object);
}

pub(super) fn create(site: &Site, plural: &str, object: &Value) {
    cluster().create(path(plural, Some(&site.home), "").trim_end_matches('/'), object);
}
