//! Which field managers are the clients of people, and which are controllers: by their names, which
//! a client sets itself (`fieldManager`) or the API server takes from its user agent.

use std::fmt;
use std::sync::Arc;

use super::names;

/// Clients by which people write: `kubectl`, consoles in a terminal and in a browser, HTTP clients,
/// and libraries in their default name. What they add to an object is drift.
const PEOPLE: [&str; 41] = [
    "kubectl*",
    "oc",
    "oc-*",
    "oc.exe",
    "k9s*",
    "Lens*",
    "OpenLens*",
    "freelens*",
    "Freelens*",
    "Headlamp*",
    "headlamp*",
    "Aptakube*",
    "aptakube*",
    "octant*",
    "kubenav*",
    "dashboard*",
    "kubernetes-dashboard*",
    "Mozilla*",
    "Chrome*",
    "Safari*",
    "Opera*",
    "curl*",
    "Wget*",
    "HTTPie*",
    "PostmanRuntime*",
    "insomnia*",
    "Go-http-client*",
    "OpenAPI-Generator*",
    "Swagger-Codegen*",
    "python-requests*",
    "python-httpx*",
    "Python*",
    "node-fetch*",
    "node",
    "axios*",
    "undici*",
    "okhttp*",
    "Java*",
    "Apache-HttpClient*",
    "PowerShell*",
    "WindowsPowerShell*",
];

/// Programs that write for a reason of their own. What they add is theirs.
/// `ancient-changes` is what the API server makes of the oldest where too many have written.
const CONTROLLERS: [&str; 23] = [
    "driftless*",
    "before-first-apply",
    "ancient-changes",
    "kube-*",
    "kubelet",
    "cloud-controller-manager",
    "*controller*",
    "*operator*",
    "*-manager",
    "*autoscaler*",
    "*webhook*",
    "cainjector*",
    "cert-manager*",
    "vpa-*",
    "karpenter*",
    "istio*",
    "linkerd*",
    "cilium*",
    "calico*",
    "external-secrets*",
    "argocd*",
    "helm",
    "Helm",
];

/// Whose a field manager is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A client by which people write: what it adds is drift.
    Person,
    /// A program that writes for a reason of its own: what it adds is left alone.
    Controller,
    /// On neither list.
    Unknown,
}

/// A pattern for names of field managers: `*` stands for any number of characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ManagerPattern(Arc<str>);

impl ManagerPattern {
    /// Longer names are cut off by the API server (`ValidateFieldManager`).
    pub const MAX: usize = 128;

    /// `None` for an empty pattern and for one that is longer than any name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX && !text.chars().any(char::is_control)).then(|| Self(text.into()))
    }

    /// Whether the pattern matches the whole name, case-sensitively.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

impl fmt::Display for ManagerPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The lists of a sync: those that ship, and what its configuration says beyond them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Managers {
    /// Clients of people, by the configuration; these win over the lists that ship.
    pub people: Vec<ManagerPattern>,
    /// Controllers, by the configuration; these win over `people` and over the lists that ship.
    pub controllers: Vec<ManagerPattern>,
}

impl Managers {
    /// Whose a field manager is: by the configuration before the lists that ship, and there by its
    /// controllers first, since what these add is left alone.
    #[must_use]
    pub fn client(&self, name: &str) -> Client {
        // Whatever anybody configures, what is ours, and what nobody recorded, is no person's.
        let fixed = name == names::UNRECORDED || name == names::FIELD_MANAGER || name == names::INITIAL_MANAGER;
        if fixed || self.controllers.iter().any(|pattern| pattern.matches(name)) {
            Client::Controller
        } else if self.people.iter().any(|pattern| pattern.matches(name)) {
            Client::Person
        } else if shipped(&CONTROLLERS, name) {
            Client::Controller
        } else if shipped(&PEOPLE, name) {
            Client::Person
        } else {
            Client::Unknown
        }
    }
}

fn shipped(list: &[&str], name: &str) -> bool {
    list.iter().any(|pattern| matches(pattern, name))
}

/// Linear in the length of the name times that of the pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    // Where the last `*` stands, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((place, reach)) = star else { return false };
                star = Some((place, reach + 1));
                (at, in_name) = (place + 1, reach + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<ManagerPattern> {
        texts.iter().map(|text| ManagerPattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_pattern_is_matched_whole() {
        for (pattern, name, fits) in [
            ("kubectl*", "kubectl", true),
            ("kubectl*", "kubectl-edit", true),
            ("kubectl*", "my-kubectl", false),
            ("*-controller", "a-controller", true),
            ("*-controller", "a-controller-b", false),
            ("*a*b", "xaybzab", true),
            ("*a*b", "xaybza", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("node", "node-fetch", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        let hostile = "*a".repeat(60);
        assert!(!matches(&hostile, &format!("{}b", "a".repeat(128))));
    }

    #[test]
    fn people_and_controllers_are_distinguished_by_their_names() {
        let shipped = Managers::default();
        for person in ["kubectl", "kubectl-edit", "kubectl-client-side-apply", "k9s", "Mozilla", "node-fetch", "curl"] {
            assert_eq!(shipped.client(person), Client::Person, "{person}");
        }
        for program in ["kube-controller-manager", "cert-manager-cainjector", "prometheus-operator", "driftless"] {
            assert_eq!(shipped.client(program), Client::Controller, "{program}");
        }
        assert_eq!(shipped.client("tuner"), Client::Unknown);
        assert_eq!(shipped.client(""), Client::Unknown);
    }

    #[test]
    fn the_configuration_goes_before_what_ships() {
        let managers =
            Managers { people: patterns(&["tuner", "my-operator"]), controllers: patterns(&["node-*", "x"]) };
        assert_eq!(managers.client("tuner"), Client::Person);
        assert_eq!(managers.client("my-operator"), Client::Person);
        assert_eq!(managers.client("node-fetch"), Client::Controller);
        assert_eq!(managers.client("x"), Client::Controller);
        let everybody = Managers { people: patterns(&["*"]), ..Managers::default() };
        for name in ["driftless", "driftless-initial", "before-first-apply"] {
            assert_eq!(everybody.client(name), Client::Controller, "{name}");
        }
    }
}
