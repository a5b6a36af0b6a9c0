//! The names that driftless shares with the API server and with other tools.

/// Field manager of every write (KEP-555, server-side apply).
pub const FIELD_MANAGER: &str = "driftless";
/// Field manager that holds the fields of [`IGNORE_FIELDS`] from their creation until somebody changes them.
pub const INITIAL_MANAGER: &str = "driftless-initial";
/// Annotation on every applied object: the digest of the manifest that was applied.
pub const DIGEST: &str = "driftless.dev/digest";
/// Opt-in on an object: delete and create it again when an immutable field changed.
pub const REPLACE: &str = "driftless.dev/replace";
/// Opt-in on an object: paths of fields that are set at its creation and then left to others.
pub const IGNORE_FIELDS: &str = "driftless.dev/ignore-fields";
/// `"true"` on an object: its values are shown nowhere, as those of a Secret. Set by the agent on whatever it put the
/// value of a secret into.
pub const SENSITIVE: &str = "driftless.dev/sensitive";
/// `disabled` on an object: references to variables in it are text.
pub const SUBSTITUTE: &str = "driftless.dev/substitute";
/// The same in Flux (kustomize-controller).
pub const FLUX_SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";
/// `"true"` on a workload: it rolls out anew when a `ConfigMap` or Secret that its pods use has changed.
pub const RESTART_ON_CHANGE: &str = "driftless.dev/restart-on-change";
/// Annotation of a pod template: a keyed digest of the `ConfigMap`s and Secrets that its pods use.
pub const USED_DIGEST: &str = "driftless.dev/used-config-digest";
/// `keep` on an object: Helm never deletes it.
pub const HELM_POLICY: &str = "helm.sh/resource-policy";
/// The value of [`HELM_POLICY`] that keeps an object.
pub const KEEP: &str = "keep";
/// Opt-in on a `ConfigMap` or Secret: the key of it that holds a configuration of an agent.
pub const CONFIGURATION: &str = "driftless.dev/configuration";
/// Annotation on a parent: the prune that a person approved, `COMMIT/DIGEST/TIME`.
pub const APPROVE: &str = "driftless.dev/approve";
/// Annotation on a parent: poll the branch now. The value is a time, so that asking twice is two requests.
pub const SYNC_REQUESTED: &str = "driftless.dev/sync-requested-at";
/// Annotation on a parent: a webhook has come to a replica that does not lead. The value is its time.
pub const HINTED: &str = "driftless.dev/hinted-at";
/// Annotation on a parent: `"true"` stops the sync until it is resumed.
pub const SUSPEND: &str = "driftless.dev/suspend";
/// The Lease of the agent, in its namespace.
pub const LEASE: &str = "driftless";
/// The Secret in the agent's namespace with the key under which Secrets are digested.
pub const DIGEST_KEY: &str = "driftless-digest-key";
/// Before the name of a sync: the name of its parent, a `ConfigMap` in the agent's namespace.
pub const PARENT_PREFIX: &str = "driftless-";
/// Between the name of a parent and the hash of a shard of its inventory. The name of a sync has no
/// dot, so no parent is ever called so.
pub const SHARD_INFIX: &str = ".observed-";
/// Label on every parent, which finds them all.
pub const SYNC_LABEL: &str = "driftless.dev/sync";
/// Label on the further `ConfigMap`s of a large inventory: the sync whose objects they describe.
pub const OBSERVED_OF: &str = "driftless.dev/observed-of";
/// Label by which `kubectl` and dashboards find what a tool manages (recommended labels of Kubernetes).
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Member label of an `ApplySet` (KEP-3659).
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// Parent label of an `ApplySet` (KEP-3659).
pub const APPLYSET_ID: &str = "applyset.kubernetes.io/id";
/// Parent annotation: which tool, in which version, owns the set (KEP-3659).
pub const APPLYSET_TOOLING: &str = "applyset.kubernetes.io/tooling";
/// Parent annotation: comma-separated `Kind.group` of all members (KEP-3659).
pub const APPLYSET_GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// Parent annotation: comma-separated namespaces of members beside the parent's own (KEP-3659).
pub const APPLYSET_NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// Objects to be applied, and healthy, before this one (kpt, cli-utils).
pub const DEPENDS_ON: &str = "config.kubernetes.io/depends-on";
/// `"true"`: for tools on a person's machine only, never applied (kustomize, kpt).
pub const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";
/// `detach`: never delete this object (cli-utils).
pub const DELETION: &str = "client.lifecycle.config.k8s.io/deletion";
/// The value of [`DELETION`] that keeps an object.
pub const DETACH: &str = "detach";
/// `ignore`: create the object when it is missing, and never change it afterwards (Config Sync).
pub const MUTATION: &str = "client.lifecycle.config.k8s.io/mutation";
/// The value of [`MUTATION`] that leaves an object as it is.
pub const IGNORE: &str = "ignore";

/// Owns, as the server has it, everything that an object held at its first apply when nobody's
/// ownership was recorded: it is older than server-side apply, was restored without its
/// `managedFields`, or somebody reset them. So what controllers wrote is among it.
pub const UNRECORDED: &str = "before-first-apply";

/// Managers whose fields become ours when an object is adopted: those by which a person kept it equal
/// to a file before, what nobody recorded, and the other agents and Helm, which kept it equal to the
/// same manifests (docs/adr/0017). Of an object that is ours, what any person adds is drift.
const TAKEN_OVER: [&str; 15] = [
    UNRECORDED,
    "kubectl",
    "kubectl-client-side-apply",
    "kubectl-create",
    "kubectl-edit",
    "kubectl-expose",
    "kubectl-last-applied",
    "kubectl-patch",
    "kubectl-replace",
    "kubectl-set",
    "argocd-application-controller",
    "argocd-controller",
    "helm",
    "helm-controller",
    "kustomize-controller",
];

/// Whether an object's annotations say that it is never to be deleted, in the words of cli-utils or of Helm.
pub fn is_kept<'a>(annotation: &impl Fn(&str) -> Option<&'a str>) -> bool {
    annotation(DELETION) == Some(DETACH)
        || annotation(HELM_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case(KEEP))
}

/// Whether the values of an object are shown nowhere: those of a Secret, and of what says that it is [`SENSITIVE`].
#[must_use]
pub fn is_secret(gk: &super::GroupKind, object: &serde_json::Value) -> bool {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let sensitive = annotations.and_then(|annotations| annotations.get(SENSITIVE));
    gk.is("", "Secret") || sensitive.is_some_and(|value| value == "true")
}

/// Whether a live object is in no `ApplySet` yet, so that to apply it is to adopt it.
#[must_use]
pub fn is_in_no_set(live: &serde_json::Value) -> bool {
    live.pointer("/metadata/labels").is_none_or(|labels| labels.get(PART_OF).is_none())
}

/// Whether an entry of `managedFields` is one that is taken over whole when an object is adopted.
#[must_use]
pub fn is_taken_over(entry: &serde_json::Value) -> bool {
    let text = |field: &str| entry.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
    TAKEN_OVER.contains(&text("manager")) && text("subresource").is_empty()
}

/// Whether an entry of `managedFields` holds what [`IGNORE_FIELDS`] named.
#[must_use]
pub fn is_initial(entry: &serde_json::Value) -> bool {
    entry.get("manager").and_then(serde_json::Value::as_str) == Some(INITIAL_MANAGER)
}

/// Fields of `metadata` that only the API server writes. Manifests exported with `kubectl get -o yaml` carry these,
/// and an apply would be refused for some of them (`managedFields`) or conflict (`resourceVersion`). The source is
/// `ObjectMeta` of apimachinery (`meta/v1/types.go`): the fields documented as "populated by the system, read-only",
/// and `managedFields`.
const SERVER_METADATA: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Whether a field of `metadata` is the API server's alone.
#[must_use]
pub fn is_server_metadata(field: &str) -> bool {
    SERVER_METADATA.contains(&field)
}

/// Removes from `metadata` what only the API server writes.
pub fn remove_server_metadata(metadata: &mut serde_json::Map<String, serde_json::Value>) {
    metadata.retain(|field, _| !is_server_metadata(field));
}
