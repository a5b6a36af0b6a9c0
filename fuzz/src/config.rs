//! The configuration file.

use driftless::config::parse;

use super::assert_readable;

/// As the password in a URL.
const PASSWORD: &str = "hunter22";
const IN_A_URL: &str = "https://u:hunter22@h/";

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Elsewhere it is no password.
    let is_secret = text.matches(PASSWORD).count() == text.matches(IN_A_URL).count();
    match parse(text, "driftless.yaml") {
        Err(error) => {
            for line in error.to_string().lines() {
                assert_readable(line, 4_000);
                assert!(!is_secret || !line.contains(PASSWORD), "{line}");
            }
            assert!(!error.problems().is_empty());
            assert_eq!(error.to_string().lines().count(), error.problems().len());
            assert!(error.problems().iter().all(|problem| problem.line >= 1 && problem.column >= 1));
            assert_eq!(parse(text, "driftless.yaml").unwrap_err().to_string(), error.to_string());
        }
        Ok(config) => {
            assert_eq!(parse(text, "driftless.yaml").unwrap(), config);
            for sync in &config.syncs {
                let shown = format!("{} {} {sync:?}", sync.source.display_url(), sync.source.reference);
                assert!(!is_secret || !shown.contains(PASSWORD), "{shown}");
            }
        }
    }
}
