//! What a manifest means to the API server, by kind, by version and by field.

mod api_versions;
mod every_kind;
mod exclusive_fields;
mod keys_without_value;
mod left_out;
mod yaml_corpus;
