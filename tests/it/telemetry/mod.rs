//! What the agent reports of itself: Events, traces, HTTP, metrics, dashboards and alerts.

mod endpoints;
mod events;
mod observability;
mod traces;
