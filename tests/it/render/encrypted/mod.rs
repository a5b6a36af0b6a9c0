//! Files that SOPS has encrypted.

mod files;
mod fixture;
mod services;
