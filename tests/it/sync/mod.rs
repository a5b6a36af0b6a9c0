//! What a sync does with a commit: roll it out, in order, wait for health, and report errors.

mod commits;
mod depends_on;
mod errors;
mod example_shop;
mod health;
mod order;
mod prerequisites;
mod refused_objects;
mod suspend_and_resume;
