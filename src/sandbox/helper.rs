//! Which helpers there are, and where they are found.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// A program that driftless starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Charts and overlays to manifests.
    Renderer,
    /// SOPS files to plain ones.
    Decrypter,
}

impl Helper {
    /// The name of the program's file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Renderer => "driftless-renderer",
            Self::Decrypter => "driftless-decrypt",
        }
    }

    /// The environment variable that names another file.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Renderer => "DRIFTLESS_RENDERER",
            Self::Decrypter => "DRIFTLESS_DECRYPT",
        }
    }

    /// What the environment variable says, unless it is empty, else the file beside `executable`, the running program.
    /// Whether it is there is seen when it is started.
    #[must_use]
    pub fn path(self, given: Option<&OsStr>, executable: &Path) -> PathBuf {
        match given {
            Some(given) if !given.is_empty() => given.into(),
            _ => executable.with_file_name(self.file_name()),
        }
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_beside_the_program_unless_a_variable_names_it() {
        let path = |given: Option<&str>| Helper::Renderer.path(given.map(OsStr::new), Path::new("/usr/bin/driftless"));
        assert_eq!(path(None), Path::new("/usr/bin/driftless-renderer"));
        assert_eq!(path(Some("")), Path::new("/usr/bin/driftless-renderer"));
        assert_eq!(path(Some("/opt/renderer")), Path::new("/opt/renderer"));
    }
}
