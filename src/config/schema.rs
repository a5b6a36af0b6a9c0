//! The JSON Schema of the file, for editors: made from the very types that read it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::RawConfig;

/// The JSON Schema (draft 2020-12) of the configuration file, as `driftless config schema` prints it
/// (with `{:#}` and a line break at the end).
#[must_use]
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawConfig>().to_value()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
