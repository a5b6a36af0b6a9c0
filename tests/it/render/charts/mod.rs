//! Helm charts, rendered as the official helm renders them, and kept in the cluster like anything else.

mod errors;
mod fixture;
mod helm;
mod lookups;
mod secret_values;
