//! `.driftlessignore`: gitignore rules for files that are not manifests.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::Refusal;

/// The name of a file of rules, which hold for its directory and everything below.
pub(super) const IGNORE_FILE: &str = ".driftlessignore";

/// The rules of one file.
struct Rules {
    /// Its directory with a `/` at the end; empty for the root.
    directory: String,
    matcher: Gitignore,
}

/// The rules in force somewhere in the tree: those of the root first, the nearest last.
#[derive(Default)]
pub(super) struct IgnoreStack(Vec<Rules>);

impl IgnoreStack {
    /// Adds the rules of a file in `directory` (relative to the root, without a `/` at the end).
    ///
    /// # Errors
    /// [`Refusal::IgnoreFile`]: a rule that cannot be understood must not silently ignore nothing.
    pub fn push(&mut self, directory: &str, content: &[u8]) -> Result<(), Refusal> {
        let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let refuse = |detail: String| Refusal::IgnoreFile { path: format!("{directory}{IGNORE_FILE}"), detail };
        let text = std::str::from_utf8(content).map_err(|_| refuse("is not UTF-8".to_owned()))?;
        let mut builder = GitignoreBuilder::new("");
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            builder.add_line(None, line).map_err(|error| refuse(format!("line {}: {error}", at + 1)))?;
        }
        let matcher = builder.build().map_err(|error| refuse(error.to_string()))?;
        self.0.push(Rules { directory, matcher });
        Ok(())
    }

    /// How many files of rules are in force; to be given to [`IgnoreStack::truncate`] on the way back.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// As git does it: the nearest file with an opinion decides. A directory that is ignored is not
    /// to be entered, so nothing below it can be taken back in.
    pub fn ignores(&self, path: &str, is_dir: bool) -> bool {
        for rules in self.0.iter().rev() {
            let Some(inside) = path.strip_prefix(&rules.directory) else { continue };
            match rules.matcher.matched(inside, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_decides() {
        let mut stack = IgnoreStack::default();
        stack.push("", b"*.json\n/docs/\n# comment\n").unwrap();
        stack.push("apps/shop", b"!keep.json\nvalues*.yaml\n").unwrap();
        assert!(stack.ignores("a.json", false));
        assert!(stack.ignores("apps/shop/b.json", false));
        assert!(!stack.ignores("apps/shop/keep.json", false));
        assert!(stack.ignores("apps/shop/deep/values-prod.yaml", false));
        assert!(!stack.ignores("apps/values.yaml", false));
        assert!(stack.ignores("docs", true));
        assert!(!stack.ignores("docs", false));
        assert!(!stack.ignores("apps/docs", true));
    }

    #[test]
    fn rules_end_with_their_directory() {
        let mut stack = IgnoreStack::default();
        let before = stack.len();
        stack.push("a", b"*\n").unwrap();
        assert!(stack.ignores("a/x.yaml", false));
        stack.truncate(before);
        assert!(!stack.ignores("a/x.yaml", false));
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_its_line() {
        let error = IgnoreStack::default().push("a", b"ok\n[z-a]\n").unwrap_err();
        assert!(error.to_string().starts_with("a/.driftlessignore: line 2: "), "{error}");
        let error = IgnoreStack::default().push("", b"\xff\n").unwrap_err();
        assert_eq!(error.to_string(), ".driftlessignore: is not UTF-8");
    }
}
