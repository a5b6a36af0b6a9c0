//! driftless keeps a Kubernetes cluster equal to a git repository.
//!
//! ```text
//!  git ──> source ──> render ──> plan ──> apply ──> API server
//!           Snapshot   Manifest    │ Plan            │
//!                                  └──── cluster <───┘ watch: Observed
//!  reconcile decides, per sync, what happens next; agent carries that out;
//!  telemetry receives every Event (log, metrics, traces, HTTP, Kubernetes Events)
//! ```
//!
//! Data goes one way. `object`, `plan`, `event`, `reconcile`, `election` and `hook` are pure: values in, values out, no I/O and
//! no clock, so that every decision that could delete something, and whether this agent may write at all, can be tested as
//! values. `agent` and `cli` alone know all rooms. `limit`, `retry`, `sandbox` and `serve` know none; whoever sends requests or starts
//! helpers may use them.
//!
//! | room | holds | may import |
//! | --- | --- | --- |
//! | [`object`] | identity, `Manifest`, `Observed`, canonical JSON, digests | |
//! | [`config`] | the configuration file, parsed and watched | object |
//! | [`source`] | git: which commit, and its files | object, config |
//! | [`fetch`] | charts and files from other hosts | object |
//! | [`render`] | files to manifests | object, config, source |
//! | [`plan`] | desired, observed and policy to a Plan | object, config |
//! | [`event`] | what happened, as the loop of a sync and whoever carries it out report it | object, plan |
//! | [`reconcile`] | the loop of one sync as a state machine; what the syncs of an agent know of each other | object, config, plan, event |
//! | [`election`] | who of several agents may write, and until when | object |
//! | [`cluster`] | the API server: requests, discovery, live state, health; the fence | object, config, election |
//! | [`inventory`] | what a sync remembers in the cluster: its parent and shards, read and written | object, config, plan, cluster |
//! | [`apply`] | carrying out a Plan | object, plan, cluster, config |
//! | [`hook`] | what a webhook says, and how much of that is passed on | config |
//! | [`telemetry`] | events as log, metrics, traces, HTTP, and in words for Kubernetes Events | object, plan, event, serve |
//! | [`agent`] | carrying out what `reconcile` asks for | all |
//! | [`cli`] | the commands | all |
//! | [`limit`] | how much is done at once | |
//! | [`retry`] | pauses between the tries of I/O that failed | |
//! | [`serve`] | HTTP for peers that may be hostile, within bounds | |
//! | [`sandbox`] | starting helper programs, so that they reach nothing | |

pub mod agent;
pub mod apply;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod election;
pub mod event;
pub mod fetch;
pub mod hook;
pub mod inventory;
pub mod limit;
pub mod object;
pub mod plan;
pub mod reconcile;
pub mod render;
pub mod retry;
pub mod sandbox;
pub mod serve;
pub mod source;
pub mod telemetry;
