//! Charts and bases that lie on other hosts.

mod chart_versions;
mod credentials;
mod fixture;
mod permitted;
mod unavailable;
