//! What people add by hand and git does not declare. The cycles of these syncs come once a day.

mod fixture;
mod kubectl;
mod policy;
mod removed;
mod reported;
mod siblings;
