//! What holds where the configuration says nothing; the schema and the documentation name the same values.

use std::time::Duration;

pub(super) const LISTEN: &str = "0.0.0.0:8080";
pub(super) const DATA_DIR: &str = "/var/lib/driftless";
pub(super) const INTERVAL: Duration = Duration::from_mins(1);
pub(super) const TIMEOUT: Duration = Duration::from_mins(5);
pub(super) const MAX_PERCENT: u8 = 20;
pub(super) const PERIOD: Duration = Duration::from_hours(1);
pub(super) const MAX_PER_SECOND: u16 = 10;
