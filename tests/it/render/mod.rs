//! Files to manifests: charts, overlays, encrypted files, and what comes from other hosts.

mod charts;
mod encrypted;
mod overlays;
mod remotes;
