use super::*;
use crate::object::managers::ManagerPattern;

fn gk(group: &str, kind: &str) -> GroupKind {
    GroupKind { group: group.into(), kind: kind.into() }
}

fn deployment() -> GroupKind {
    gk("apps", "Deployment")
}

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn live(entries: &[Value]) -> Value {
    json!({"metadata": {"managedFields": entries}})
}

fn found(gk: &GroupKind, live: &Value) -> Vec<String> {
    let additions = additions(gk, live, &Managers::default(), None);
    additions.iter().map(|one| format!("{}: {}", one.manager, one.path)).collect()
}

fn is_seen(gk: &GroupKind, live: &Value) -> Foreign {
    foreign(gk, &live["metadata"], &Managers::default())
}

fn pod(spec: &Value) -> Value {
    json!({"f:spec": {"f:template": {"f:spec": spec}}})
}

const WEB: &str = r#"k:{"name":"web"}"#;

fn ours() -> Value {
    let containers = json!({WEB: {".": {}, "f:name": {}, "f:image": {}}});
    entry("driftless", "Apply", &pod(&json!({"f:containers": containers})))
}

#[test]
fn what_people_add_is_found_with_its_path_and_its_manager() {
    let env = json!({".": {}, r#"k:{"name":"A"}"#: {".": {}, "f:name": {}, "f:value": {}}});
    let side = json!({".": {}, "f:name": {}, "f:image": {}, "f:resources": {}});
    let live = live(&[
        entry("kubectl-set", "Update", &pod(&json!({"f:containers": {WEB: {"f:env": env}}}))),
        entry(
            "kubectl-patch",
            "Update",
            &pod(&json!({"f:hostNetwork": {}, "f:containers": {r#"k:{"name":"side"}"#: side}})),
        ),
        ours(),
    ]);
    assert_eq!(
        found(&deployment(), &live),
        [
            "kubectl-set: spec.template.spec.containers[name=web].env[name=A]",
            "kubectl-patch: spec.template.spec.containers[name=side]",
            "kubectl-patch: spec.template.spec.hostNetwork",
        ]
    );
    assert!(is_seen(&deployment(), &live).added.is_some());
}

#[test]
fn what_is_left_alone_is_no_addition() {
    let template = json!({"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}, "f:labels": {"f:x": {}}}});
    let metadata = json!({"f:labels": {"f:team": {}}, "f:annotations": {".": {}, "f:note": {}}, "f:finalizers": {".": {}, "v:\"x/y\"": {}}});
    let mut scaled = entry("kubectl", "Update", &json!({"f:spec": {"f:replicas": {}}}));
    scaled["subresource"] = json!("scale");
    let live = live(&[
        ours(),
        entry("kubectl-rollout", "Update", &json!({"f:spec": {"f:template": template}})),
        entry("kubectl-label", "Update", &json!({"f:metadata": metadata})),
        entry("kubectl-patch", "Update", &json!({"f:spec": {"f:replicas": {}}, "f:status": {"f:x": {}}})),
        scaled,
        entry("kube-controller-manager", "Update", &json!({"f:spec": {"f:paused": {}}})),
    ]);
    assert_eq!(found(&deployment(), &live), [""; 0]);
    assert_eq!(is_seen(&deployment(), &live), Foreign::default());
    let claim = self::live(&[entry("kubectl-edit", "Update", &json!({"f:spec": {"f:volumeName": {}}}))]);
    assert_eq!(found(&gk("", "PersistentVolumeClaim"), &claim), [""; 0]);
}

#[test]
fn a_field_that_is_ours_or_a_controllers_as_well_is_no_addition() {
    let data = |keys: &[&str]| json!({"f:data": keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect::<serde_json::Map<_, _>>()});
    let live = live(&[
        entry("driftless", "Apply", &data(&["a"])),
        entry("my-operator", "Apply", &data(&["b"])),
        entry("kubectl", "Apply", &data(&["a", "b", "c"])),
    ]);
    assert_eq!(found(&gk("", "ConfigMap"), &live), ["kubectl: data.c"]);
    assert!(is_seen(&gk("", "ConfigMap"), &live).shared);
}

#[test]
fn what_somebody_changed_of_the_item_of_another_is_left_to_them() {
    let side = r#"k:{"name":"side"}"#;
    let live = live(&[
        ours(),
        entry("injector-webhook", "Update", &pod(&json!({"f:containers": {side: {".": {}, "f:name": {}}}}))),
        entry("kubectl-edit", "Update", &pod(&json!({"f:initContainers": {side: {"f:image": {}}}}))),
    ]);
    assert_eq!(found(&deployment(), &live), [""; 0]);
}

#[test]
fn ignored_fields_are_no_additions_and_declared_ones_neither() {
    let fields = pod(&json!({"f:hostNetwork": {}, "f:containers": {WEB: {"f:image": {}, "f:tty": {}}}}));
    let mut says = ours();
    says["fieldsV1"]["f:metadata"] = json!({"f:annotations": {format!("f:{}", names::IGNORE_FIELDS): {}}});
    let somebodys = live(&[entry("kubectl-edit", "Update", &fields), ours()]);
    let mut live = live(&[entry("kubectl-edit", "Update", &fields), says]);
    live["metadata"]["annotations"] =
        json!({names::IGNORE_FIELDS: "spec.template.spec.containers[name=web].tty, spec.template.spec.hostNetwork"});
    assert_eq!(found(&deployment(), &live), [""; 0], "the image is ours as well");
    let mut theirs = somebodys;
    theirs["metadata"]["annotations"] = live["metadata"]["annotations"].clone();
    assert_eq!(found(&deployment(), &theirs).len(), 2, "an annotation that is not ours says nothing");
    live["metadata"]["annotations"] = json!({});
    let declared = json!({"spec": {"template": {"spec": {"hostNetwork": false, "containers": [{"name": "web"}]}}}});
    let left = additions(&deployment(), &live, &Managers::default(), Some(&declared));
    assert_eq!(
        left.iter().map(|one| one.path.to_string()).collect::<Vec<_>>(),
        ["spec.template.spec.containers[name=web].tty"]
    );
}

#[test]
fn an_addition_is_the_same_whenever_and_in_which_order_it_was_written() {
    let config_map = gk("", "ConfigMap");
    let one = entry("kubectl-edit", "Update", &json!({"f:data": {"f:a": {}}}));
    let other = entry("curl", "Update", &json!({"f:data": {"f:b": {}}}));
    let mut later = one.clone();
    later["time"] = json!("2026-01-01T00:00:00Z");
    let first = is_seen(&config_map, &live(&[one.clone(), other.clone()]));
    assert_eq!(first, is_seen(&config_map, &live(&[other, later])));
    assert_ne!(first, is_seen(&config_map, &live(&[one])));
}

#[test]
fn who_is_on_neither_list_is_named_and_adds_nothing_that_counts() {
    let config_map = gk("", "ConfigMap");
    let by_tuner = live(&[entry("tuner", "Update", &json!({"f:data": {"f:a": {}}}))]);
    let seen = is_seen(&config_map, &by_tuner);
    assert_eq!((seen.added, &*seen.unknown), (None, &["tuner".into()][..]));
    let managers = Managers { people: vec![ManagerPattern::parse("tun*").unwrap()], ..Managers::default() };
    let seen = foreign(&config_map, &by_tuner["metadata"], &managers);
    assert!(seen.added.is_some() && seen.unknown.is_empty());
}

#[test]
fn an_apply_takes_what_was_added_and_what_is_shared_and_leaves_labels() {
    let theirs = json!({"f:metadata": {"f:labels": {"f:team": {}, "f:app": {}}}, "f:data": {"f:a": {}, "f:b": {}}});
    let ours = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {"f:a": {}}});
    let live = live(&[entry("driftless", "Apply", &ours), entry("kubectl-edit", "Update", &theirs)]);
    let take = |additions| {
        let entry = &live["metadata"]["managedFields"][1];
        let mut fields = FieldSet::from_json(&entry["fieldsV1"]);
        let managers = Managers::default();
        let released = Released::new(&gk("", "ConfigMap"), &live["metadata"], &managers, additions);
        (released.take(entry, &mut fields).to_json(), fields.to_json())
    };
    let labels = json!({"f:labels": {"f:team": {}}});
    let (taken, left) = take(true);
    assert_eq!(taken["f:data"], json!({"f:a": {}, "f:b": {}}));
    assert_eq!(left, json!({"f:metadata": labels}));
    let (taken, left) = take(false);
    assert_eq!(taken, ours);
    assert_eq!(left, json!({"f:metadata": labels, "f:data": {"f:b": {}}}));
}

#[test]
fn authorities_and_what_fills_an_empty_secret_are_left_to_whoever_put_them_there() {
    let hook = r#"k:{"name":"a"}"#;
    let webhooks = json!({"f:webhooks": {hook: {"f:clientConfig": {"f:caBundle": {}}}}});
    let declared = json!({"f:webhooks": {hook: {".": {}, "f:name": {}}}});
    let of = |ours: &Value, theirs: &Value| {
        live(&[entry("driftless", "Apply", ours), entry("kubectl-patch", "Update", theirs)])
    };
    let kind = gk("admissionregistration.k8s.io", "ValidatingWebhookConfiguration");
    assert_eq!(found(&kind, &of(&declared, &webhooks)), [""; 0]);
    let key = json!({"f:data": {".": {}, "f:unseal": {}}});
    let (empty, filled) = (json!({"f:metadata": {"f:labels": {}}}), json!({"f:data": {"f:a": {}}}));
    for kind in ["Secret", "ConfigMap"] {
        assert_eq!(found(&gk("", kind), &of(&empty, &key)), [""; 0], "git declares it for others to fill");
        assert_eq!(found(&gk("", kind), &of(&filled, &key)), ["kubectl-patch: data.unseal"]);
    }
}
