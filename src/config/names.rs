//! The rules that Kubernetes and git have for names, each beside the pattern by which the JSON
//! Schema says the same.

pub(super) const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
pub(super) const SERVICE_ACCOUNT_PATTERN: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
pub(super) const REF_PATTERN: &str =
    r"^(?![-/.]|refs/)(?!.*(\.\.|//|@\{|/\.|\.lock/))(?!.*(/|\.|\.lock)$)[^\x00-\x20\x7f~^:?*\[\\]+$";
pub(super) const KIND_PATTERN: &str = r"^(Namespace|PersistentVolumeClaim|CustomResourceDefinition|[A-Z][A-Za-z0-9]*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$";

pub(super) const SUBDOMAIN_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The name of a variable, as shells have it.
pub(super) const VARIABLE_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The longest name of a namespace (RFC 1123, a DNS label).
pub(super) const NAMESPACE_MAX: usize = 63;

/// A DNS label (RFC 1123) of at most `max` bytes.
pub(super) fn is_dns_label(text: &str, max: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= max && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A DNS subdomain (RFC 1123): labels with dots between them, 253 bytes at most.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_dns_label(label, 253))
}

/// The name of a variable, as shells have it (POSIX, 3.235).
pub(super) fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The short name of a branch or tag, by the rules of `git check-ref-format`, and none that
/// begins with `refs/`, which is a name written in full by mistake.
pub(super) fn is_ref_name(text: &str) -> bool {
    let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    !text.starts_with('-')
        && !text.starts_with("refs/")
        && !text.ends_with('.')
        && !text.contains(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ref_names_follow_git() {
        for good in ["main", "feature/x", "v1.0.0", "a@b", "release-1.2", "über", "x.locked"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in ["", "-x", "a..b", "a b", "a~1", "a^", "a:b", "x.lock", "a/.b", "/a", "a/", "a//b", "a.", "a@{1}"] {
            assert!(!is_ref_name(bad), "{bad}");
        }
        assert!(!is_ref_name("refs/heads/main"));
    }

    proptest! {
        #[test]
        fn ref_names_are_those_that_libgit2_takes(text in "[a-c.@{}/~ \\-^:lock*]{0,12}") {
            let git = git2::Reference::is_valid_name(&format!("refs/heads/{text}")) && !text.starts_with('-');
            prop_assert_eq!(is_ref_name(&text), git, "{}", text);
        }

        #[test]
        fn subdomains_are_labels_and_dots(text in "[a-b.\\-A]{0,8}") {
            let labels = !text.is_empty() && text.split('.').all(|label| is_dns_label(label, 63));
            prop_assert_eq!(is_dns_subdomain(&text), labels);
        }
    }
}
