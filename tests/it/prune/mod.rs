//! What is deleted and what is kept: orphans, the guard, approvals, and the order of deletions.

mod approval;
mod dead_ends;
mod order;
mod orphans;
