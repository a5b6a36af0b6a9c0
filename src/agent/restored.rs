//! What follows when etcd was restored to an older state while the agent runs. The cluster is then as
//! an agent that had crashed back then would find it, the inventories included, so all syncs begin anew as
//! after a crash: from the stored inventory, a poll of git, and a LIST of each kind.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::{Cluster, WentBack};

/// Between two searches for proof lies at least this.
const REST: Duration = Duration::from_secs(10);

/// Is notified when history went back, and seeks proof where watches suspect it.
pub(super) struct Restored {
    proofs: watch::Receiver<Option<WentBack>>,
    _search: AbortOnDropHandle<()>,
}

impl Restored {
    pub fn of(cluster: &Cluster) -> Self {
        let search = tokio::spawn(search(cluster.clone()));
        Self { proofs: cluster.history().proofs(), _search: AbortOnDropHandle::new(search) }
    }

    /// The next proof. Dropping the future loses none.
    pub async fn proven(&mut self) -> WentBack {
        loop {
            if self.proofs.changed().await.is_err() {
                // The cluster that the sender is in lives as long as the search.
                std::future::pending::<()>().await;
            }
            if let Some(went_back) = self.proofs.borrow_and_update().clone() {
                return went_back;
            }
        }
    }
}

async fn search(cluster: Cluster) {
    let mut suspicions = cluster.history().suspicions();
    while suspicions.changed().await.is_ok() {
        cluster.seek_proof().await;
        sleep(REST.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}
