//! Replacing an object that cannot be changed in place: the proof that it can be created again, and the
//! deletion and creation that a plan decided on. What is against a replacement, `plan` knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Applied, Cluster, Deletion, Resource, reduce};
use crate::object::{GroupKind, Observed};
use crate::plan::{Desired, Reason, Replaceable, Step, may_still_replace};
use crate::retry::Pauses;

use super::body;
use super::error::ApplyError;
use super::send::send_apply;
use super::shown::shown;

/// How long a replaced object may take to be gone.
const GONE: Duration = Duration::from_mins(1);
/// How long its creation is tried again at once. Quotas count what is deleted a moment later.
const AGAIN: Duration = Duration::from_secs(15);

/// Proves that an object of which `fields` cannot be changed could be created as git declares it, by a
/// dry run under its own name: the server checks for an object of that name last, so that the answer
/// «it exists» is the one to an object which passes validation, policies, webhooks, quotas and the
/// agent's own permissions. Gives the live object with it.
pub(super) async fn prove(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    fields: Vec<String>,
) -> Result<(Replaceable, Observed), ApplyError> {
    let id = &desired.manifest.id;
    let Some(live) = cluster.read(id, resource).await? else { return Err(ApplyError::Changed) };
    let now =
        reduce(&id.gk, resource.namespaced, &live, cluster.managers(), Timestamp::now()).ok_or(ApplyError::Changed)?;
    let object = without_own_addresses(&id.gk, body(desired, set_id, None), &live);
    match cluster.try_create(resource, id.namespace.as_deref(), &object).await {
        Err(error) if error.is_already_exists() => {
            let (uid, digest) = (Arc::clone(&now.uid), desired.digest);
            let takes_claims = takes_claims(&live);
            Ok((Replaceable { uid, digest, fields: fields.into(), takes_claims }, now))
        }
        // Somebody deleted it since.
        Ok(_) => Err(ApplyError::Changed),
        Err(error) if error.code().is_none() => Err(error.into()),
        Err(error) => Err(ApplyError::NotAgain { fields, error: shown(error, desired) }),
    }
}

/// Whether the claims of a `StatefulSet` (or of what has its policy) go with it.
pub(super) fn takes_claims(live: &Value) -> bool {
    let policy = live.pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted");
    policy.and_then(Value::as_str) == Some("Delete")
}

/// Takes out of a Service the addresses and ports that the live one has: they are taken as long as that
/// is there, and by nobody else.
fn without_own_addresses(gk: &GroupKind, mut object: Value, live: &Value) -> Value {
    if !gk.is("", "Service") {
        return object;
    }
    let ports = live.pointer("/spec/ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let own: Vec<&Value> = ports.iter().filter_map(|port| port.get("nodePort")).collect();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return object };
    for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        if spec.get(field).is_some_and(|value| *value != "None" && live["spec"].get(field) == Some(value)) {
            spec.remove(field);
        }
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut().filter(|port| port.get("nodePort").is_some_and(|it| own.contains(&it)))
        {
            port.remove("nodePort");
        }
    }
    object
}

/// Deletes the object that was planned for and no other, and creates it as git declares it. All that
/// the plan rests on is proved once more before.
pub(super) async fn replace(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    cancelled: &CancellationToken,
) -> Result<Applied, ApplyError> {
    let (Some(planned), Reason::Immutable { fields, takes_claims }) = (&step.live, &step.reason) else {
        return Err(ApplyError::Changed);
    };
    let (proof, now) = prove(cluster, desired, resource, set_id, fields.to_vec()).await?;
    if !may_still_replace(planned, &now, *takes_claims, proof.takes_claims) {
        return Err(ApplyError::Changed);
    }
    // The proof takes a while, and whoever approved or asked for this may have changed their mind.
    if cancelled.is_cancelled() {
        return Err(ApplyError::Stopped);
    }
    if cluster.delete(&step.id, resource, &planned.uid).await? == Deletion::AnotherUid {
        return Err(ApplyError::Changed);
    }
    await_gone(cluster, step, resource, &planned.uid).await?;
    create(cluster, desired, resource, set_id).await
}

/// Waits until an object with this UID is gone; whether it is may also be unknown for a while.
async fn await_gone(cluster: &Cluster, step: &Step, resource: &Resource, uid: &str) -> Result<(), ApplyError> {
    let until = Instant::now() + GONE;
    let mut pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let seen = cluster.read_one(&step.id, resource).await;
        let over = Instant::now() > until;
        match seen {
            Ok(now) if now.as_ref().is_none_or(|now| *now.uid != *uid) => return Ok(()),
            Ok(_) if over => return Err(ApplyError::NotGone(GONE)),
            Err(error) if over => return Err(ApplyError::Lost(Box::new(error.into()))),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(pauses.next_pause()).await;
    }
}

/// Creates the object, whatever keeps it from that for a moment: it is gone, and somebody may miss it.
async fn create(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<Applied, ApplyError> {
    let until = Instant::now() + AGAIN;
    let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        let error = match send_apply(cluster, desired, resource, set_id).await {
            Ok(applied) => return Ok(applied),
            Err(ApplyError::Api(error)) => ApplyError::Api(shown(error, desired)),
            Err(other) => other,
        };
        let pause = pauses.next_pause();
        if matches!(error.answer(), Some(ApiError::NotLeader(_))) || Instant::now() + pause > until {
            return Err(ApplyError::Lost(Box::new(error)));
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_tried_without_what_it_has_itself_and_with_what_it_is_to_get() {
        let gk = GroupKind::new("", "Service");
        let live = json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "healthCheckNodePort": 32000,
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 443, "nodePort": 30443}]}});
        let wanted = json!({"spec": {"clusterIP": "10.0.0.2", "healthCheckNodePort": 32000,
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 443, "nodePort": 30999}]}});
        let tried = json!({"spec": {"clusterIP": "10.0.0.2",
            "ports": [{"port": 80}, {"port": 443, "nodePort": 30999}]}});
        assert_eq!(without_own_addresses(&gk, wanted.clone(), &live), tried);
        let same = json!({"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
        assert_eq!(without_own_addresses(&gk, same, &live), json!({"spec": {"ports": [{"port": 80}]}}));
        let headless = json!({"spec": {"clusterIP": "None"}});
        assert_eq!(without_own_addresses(&gk, headless.clone(), &headless), headless);
        let other = GroupKind::new("example.com", "Service");
        assert_eq!(without_own_addresses(&other, wanted.clone(), &live), wanted);
    }

    #[test]
    fn what_becomes_of_claims_is_read_off_the_live_object() {
        let policy = |when: &str| json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": when}}});
        assert!(takes_claims(&policy("Delete")));
        assert!(!takes_claims(&policy("Retain")) && !takes_claims(&json!({"spec": {}})));
    }
}
