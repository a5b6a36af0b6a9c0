//! What is wrong with a configuration, and where: every problem has a line and a column, and no
//! problem ever repeats a credential.

use std::fmt;
use std::io;

use thiserror::Error;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {file}")]
    Read {
        /// Path of the file, as it was given.
        file: String,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The file was read, and says something that it must not; never empty. Shown one problem a
    /// line, `file:line:column: message`.
    #[error("{}", Listed { file, problems })]
    Invalid {
        /// Path of the file, or the key of the `ConfigMap` or Secret that holds the text.
        file: String,
        /// Sorted by line and column.
        problems: Vec<ConfigProblem>,
    },
    /// The file cannot be watched at all, not even by polling.
    #[error("cannot watch the configuration file {file}: {reason}")]
    Watch {
        /// Path of the file, as it was given.
        file: String,
        /// The path names no file, or there is no tokio runtime.
        reason: &'static str,
    },
}

impl ConfigError {
    /// What is wrong in the file, in its order; empty when it could not be read at all.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            Self::Read { .. } | Self::Watch { .. } => &[],
        }
    }
}

/// One problem and its place, line and column counted from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong and, where that is known, what to write instead; without credentials.
    pub message: String,
}

struct Listed<'a> {
    file: &'a str,
    problems: &'a [ConfigProblem],
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{}:{}:{}: {}", self.file, problem.line, problem.column, problem.message)?;
        }
        Ok(())
    }
}

/// A value as an error may show it: in backticks, cut to a readable length, and not at all where
/// it could hold a credential, since errors end in logs and on pages.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    if value.contains("://") || value.contains('@') {
        return "this value (not shown, it may hold a credential)".to_owned();
    }
    let mut text: String = value.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if value.chars().count() > LONGEST {
        text.push('…');
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_a_line_of_its_own() {
        let at = |line, message: &str| ConfigProblem { line, column: 3, message: message.to_owned() };
        let error =
            ConfigError::Invalid { file: "c.yaml".to_owned(), problems: vec![at(1, "no name"), at(7, "no url")] };
        assert_eq!(error.to_string(), "c.yaml:1:3: no name\nc.yaml:7:3: no url");
    }

    #[test]
    fn a_value_is_shown_short_and_without_credentials() {
        assert_eq!(shown("main"), "`main`");
        assert_eq!(shown("a\nb"), "`a\\nb`");
        assert_eq!(shown(&"x".repeat(100)), format!("`{}…`", "x".repeat(60)));
        assert!(!shown("https://bob:secret@host/x").contains("secret"));
        assert!(!shown("bob:secret@host").contains("secret"));
    }
}
