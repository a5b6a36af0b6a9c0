//! `.driftlessignore`: gitignore rules for files that are not manifests.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::refusal::Refusal;

/// The name of a file of rules, which hold for its directory and everything below.
pub(super) const IGNORE_FILE: &str = ".driftlessignore";

/// Rules of one file.
const MOST_RULES: usize = 10_000;
/// Bytes of one rule: a path has no more.
const LONGEST: usize = 4096;
/// Braces inside of braces.
const DEEPEST: usize = 16;

/// Why a line is not taken for a rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum RuleError {
    #[error("the file has more than {MOST_RULES} rules; use patterns that cover more")]
    TooMany,
    #[error("the rule is longer than {LONGEST} bytes; split it into several lines")]
    TooLong,
    #[error("a ! without a pattern would take everything back in; write the pattern behind it")]
    NoPattern,
    #[error("braces are nested more than {DEEPEST} deep; write the alternatives as lines of their own")]
    TooDeep,
}

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
            let refuse = |detail: String| refuse(format!("line {}: {detail}", at + 1));
            check(at, line).map_err(|error| refuse(error.to_string()))?;
            builder.add_line(None, line).map_err(|error| refuse(error.to_string()))?;
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

/// What a rule may be, so that compiling it needs neither much time nor a deep stack.
fn check(at: usize, rule: &str) -> Result<(), RuleError> {
    if at >= MOST_RULES {
        return Err(RuleError::TooMany);
    }
    if rule.len() > LONGEST {
        return Err(RuleError::TooLong);
    }
    if rule.trim() == "!" {
        return Err(RuleError::NoPattern);
    }
    let mut depth = 0_usize;
    for character in rule.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(RuleError::TooDeep);
        }
    }
    Ok(())
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

    /// The compiler of the rules recurses into braces.
    #[test]
    fn a_rule_that_is_too_long_or_nests_too_deeply_is_refused_with_its_line() {
        let nested = |depth: usize| format!("{}a{}", "{a,".repeat(depth), "}".repeat(depth));
        let refused = |text: &str| IgnoreStack::default().push("", text.as_bytes()).unwrap_err().to_string();
        IgnoreStack::default().push("", nested(DEEPEST).as_bytes()).unwrap();
        let error = refused(&format!("ok\n{}", nested(DEEPEST + 1)));
        assert!(error.contains("line 2") && error.contains("nested more than 16"), "{error}");
        for long in
            [nested(200_000), "{".repeat(200_000), "[".repeat(200_000), "**/".repeat(200_000), "a*".repeat(200_000)]
        {
            let error = refused(&long);
            assert!(error.contains("line 1") && error.contains("longer than 4096 bytes"), "{error}");
        }
        for odd in ["{".repeat(16), "[".repeat(4096), "(".repeat(4096), "**/".repeat(1365), "a*".repeat(2048)] {
            let mut stack = IgnoreStack::default();
            if stack.push("", odd.as_bytes()).is_ok() {
                assert!(!stack.ignores("b/c.yaml", false));
            }
        }
        let many = refused(&"*a*b*\n".repeat(MOST_RULES + 1));
        assert!(many.contains("more than 10000 rules"), "{many}");
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
