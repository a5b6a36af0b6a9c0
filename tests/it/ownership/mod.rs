//! Who owns an object and its fields: syncs among each other, other agents, and people.

mod adoption;
mod between_syncs;
mod failed_takeovers;
mod migration;
mod reset;
