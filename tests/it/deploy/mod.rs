//! What is deployed: the chart, the plain manifests, the image, and the guide to install them.

mod chart;
mod image;
mod install;
mod install_guide;
pub mod permissions;
