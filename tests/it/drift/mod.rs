//! Drift: what others change in the cluster, how it is found, healed, reported or left to them.

mod additions;
mod admission_rewrites;
mod audit;
mod edits;
mod ignore_fields;
mod ignore_fields_modes;
mod metadata;
mod policy;
mod seen_by_watches;
mod watches;
mod whole_kinds;
mod workloads;
