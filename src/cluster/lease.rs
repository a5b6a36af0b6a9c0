//! The requests about the Lease by which one replica leads (`coordination.k8s.io/v1`): reading it, and writing it only
//! as long as nobody else has since. What to do about it is decided by `election`.

use std::time::Duration;

use http::Method;
use tokio::time::timeout;

use super::client::Call;
use super::observe::JSON;
use super::{ApiError, Cluster, Resource, version_of};
use crate::election::Record;
use crate::object::{ObjectId, names};

/// The name of the Lease, in the agent's namespace.
pub const LEASE_NAME: &str = names::LEASE;
/// One request may take this long: half of the time in which a renewal must succeed (client-go).
const REQUEST: Duration = Duration::from_secs(5);

/// Where Leases are.
#[must_use]
pub fn leases() -> Resource {
    Resource { group: "coordination.k8s.io".into(), version: "v1".into(), ..Resource::core("leases", true) }
}

impl Cluster {
    /// Reads the Lease; `None` when there is none.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn read_lease(&self, namespace: &str) -> Result<Option<Record>, ApiError> {
        let id = ObjectId::new("coordination.k8s.io", "Lease", Some(namespace), LEASE_NAME);
        let read = timeout(REQUEST, self.read_own(&id, &leases())).await;
        Ok(read.unwrap_or(Err(ApiError::Timeout(REQUEST)))?.map(|live| Record::from_live(&live)))
    }

    /// Creates the Lease, or updates it if it still has the record's version.
    ///
    /// # Errors
    /// The request fails, or is refused; somebody else was faster (409).
    pub async fn write_lease(&self, namespace: &str, record: &Record) -> Result<Record, ApiError> {
        let body = Some((JSON, record.to_object(namespace, LEASE_NAME).to_string().into_bytes()));
        let id = ObjectId::new("coordination.k8s.io", "Lease", Some(namespace), LEASE_NAME);
        let (verb, method, path) = if record.version.is_empty() {
            ("create", Method::POST, leases().collection(Some(namespace)))
        } else {
            ("update", Method::PUT, leases().path(&id))
        };
        let path = format!("{path}?fieldManager={}", names::FIELD_MANAGER);
        let call = Call { verb, method, path, accept: JSON, body };
        let resource = leases();
        let write = self.remembering(&id, &resource, self.call(&call), version_of);
        let written = timeout(REQUEST, write).await;
        Ok(Record::from_live(&written.unwrap_or(Err(ApiError::Timeout(REQUEST)))?))
    }
}
