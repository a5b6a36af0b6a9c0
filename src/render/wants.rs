//! What a render needs of other hosts: charts, indexes and tags of them, remote bases and files. The helper names it, here it
//! is decided whether it may be had, and the agent fetches it. `renderer/README.md` holds the protocol.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{Endpoint, RemoteChart, RenderConfig};
use crate::object::{PlainUrl, Readable};

/// What something is, and so how it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantKind {
    /// The `index.yaml` of a chart repository.
    Index,
    /// The tags of a chart in a registry, one a line.
    Tags,
    /// A packed chart.
    Archive,
    /// The files of a commit.
    Git,
    /// One file.
    File,
}

impl WantKind {
    /// As the protocol has it.
    fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Tags => "tags",
            Self::Archive => "archive",
            Self::Git => "git",
            Self::File => "file",
        }
    }
}

/// Something that the helper needs and was not given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Want {
    /// What it is, and so how it is fetched.
    pub kind: WantKind,
    /// Where it is fetched from, in the form that the protocol has for its kind.
    pub url: String,
    /// Of git: a branch, tag or commit; empty for the default branch.
    #[serde(default)]
    pub reference: String,
    /// Hexadecimal SHA-256, where the index has one.
    #[serde(default)]
    pub digest: String,
    /// The URL of the index that names an archive.
    #[serde(default)]
    pub index: String,
    /// It means the same content for ever, so that one of any age will do.
    #[serde(default)]
    pub pinned: bool,
    /// Where the repository names it; empty where the configuration does.
    #[serde(default)]
    pub file: String,
    /// Line in `file`, counted from 1; 0 where it is not known.
    #[serde(default)]
    pub line: u32,
    /// Field in `file` that names it, such as `resources[2]`; empty where the configuration names it.
    #[serde(default)]
    pub field: String,
}

impl Want {
    /// Whether both are answered by the same content.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// Its name among all that may be fetched.
    #[must_use]
    pub fn key(&self) -> String {
        [self.kind.name(), &self.url, &self.reference, &self.digest].join("\0")
    }

    /// For the beginning of errors: where the repository names it; empty where the configuration does.
    #[must_use]
    pub fn error_prefix(&self) -> String {
        let mut prefix = String::new();
        if !self.file.is_empty() {
            prefix.push_str(&self.file);
            if self.line > 0 {
                prefix.push_str(&format!(":{}", self.line));
            }
            prefix.push_str(": ");
            if !self.field.is_empty() {
                prefix.push_str(&format!("{}: ", self.field));
            }
        }
        Readable(&prefix).to_string()
    }
}

/// Something that was fetched for a render. Not for printing: it may be what a private repository holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Want that it answers.
    pub want: Want,
    /// Content as it was received; the files of a commit are packed.
    pub content: FetchedContent,
    /// Identifies the content: the same one renders alike.
    pub digest: Arc<str>,
}

/// What it holds.
#[derive(Clone, PartialEq, Eq)]
pub enum FetchedContent {
    /// An index, tags, a packed chart or any other file, as its bytes.
    File(Arc<[u8]>),
    /// The files of a commit, as a tar archive.
    Tree(Arc<[u8]>),
}

impl FetchedContent {
    /// Returns the bytes of the file or of the archive.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::File(bytes) | Self::Tree(bytes) => bytes,
        }
    }
}

/// How something may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// With the credentials that the configuration has for the chart's repository.
    pub login: bool,
}

/// Why something may not be fetched, and what to do, in words that follow the place where it is named.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotPermitted {
    /// Its URL is of a scheme or a form that is not fetched from.
    #[error("{0} is no URL that is fetched from; write https://, oci:// or ssh://")]
    NoEndpoint(PlainUrl),
    /// The configuration names neither its host nor what it is.
    #[error(
        "{url} is on a host from which this sync may fetch nothing; add {endpoint} to render.remoteHosts, or keep a copy in \
         the repository"
    )]
    Host {
        /// What was to be fetched.
        url: PlainUrl,
        /// Its host, as `render.remoteHosts` would name it.
        endpoint: Endpoint,
    },
}

/// Decides whether something may be fetched: from the chart's own repository, from hosts that the configuration names, and
/// archives that a permitted index names, as they stand there. Nothing else, since a repository, or a chart that has broken
/// out of the helper, could otherwise reach what the agent can, or send what it knows in a URL.
///
/// # Errors
/// Why not.
pub fn permitted(want: &Want, config: &RenderConfig, fetched: &[Fetched]) -> Result<Permission, NotPermitted> {
    let url = PlainUrl::of(&want.url);
    let Some(endpoint) = Endpoint::of(&want.url) else { return Err(NotPermitted::NoEndpoint(url)) };
    let of_charts = matches!(want.kind, WantKind::Index | WantKind::Tags | WantKind::Archive);
    let own = config.helm.remote.as_ref().and_then(RemoteChart::endpoint);
    if of_charts && own.as_ref() == Some(&endpoint) {
        return Ok(Permission { login: true });
    }
    if config.remote_hosts.iter().any(|host| host.includes(&endpoint)) {
        return Ok(Permission { login: false });
    }
    // What is on a host that many may write to is not believed about other hosts.
    let own_index = own.is_some() && Endpoint::of(&want.index) == own;
    if want.kind == WantKind::Archive && own_index && is_named_by_index(want, &endpoint, fetched) {
        return Ok(Permission { login: false });
    }
    Err(NotPermitted::Host { url, endpoint })
}

/// An index was permitted when it was fetched, and what it names word for word was chosen by whoever publishes it.
fn is_named_by_index(want: &Want, endpoint: &Endpoint, fetched: &[Fetched]) -> bool {
    let index = fetched.iter().find(|fetched| fetched.want.kind == WantKind::Index && fetched.want.url == want.index);
    let Some(index) = index else { return false };
    let less_safe = endpoint.plain && !Endpoint::of(&want.index).is_some_and(|index| index.plain);
    // Not the beginning of a longer one.
    let ends = |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"',}]".contains(byte));
    let (text, url) = (&**index.content.bytes(), want.url.as_bytes());
    let Ok(search) = aho_corasick::AhoCorasick::new([url]) else { return false };
    !less_safe && search.find_overlapping_iter(text).any(|found| ends(text.get(found.end())))
}

/// The index, of any age, that names an archive which cannot be fetched: the archive may have moved since.
#[must_use]
pub fn outdated_index(archive: &Want, known: &[Fetched]) -> Option<Want> {
    let is_it = |want: &Want| want.kind == WantKind::Index && want.url == archive.index && want.pinned;
    let found = known.iter().map(|fetched| &fetched.want).find(|want| is_it(want));
    found.filter(|_| archive.kind == WantKind::Archive).cloned()
}

/// The head of an answer in the request.
#[derive(Serialize)]
pub(super) struct FetchedHead<'a> {
    kind: WantKind,
    url: &'a str,
    reference: &'a str,
    digest: &'a str,
    /// It may be of any age, so that it serves for what means the same for ever alone.
    pinned: bool,
}

impl<'a> FetchedHead<'a> {
    pub fn of(fetched: &'a Fetched) -> Self {
        let want = &fetched.want;
        Self { kind: want.kind, url: &want.url, reference: &want.reference, digest: &want.digest, pinned: want.pinned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> RenderConfig {
        let text =
            format!("syncs:\n- name: shop\n  source: {{url: 'https://h/x', branch: main}}\n  render: {{{text}}}\n");
        RenderConfig::clone(&crate::config::parse(&text, "c.yaml").unwrap().syncs[0].render)
    }

    fn want(kind: WantKind, url: &str) -> Want {
        let text = |text: &str| text.to_owned();
        Want {
            kind,
            url: url.to_owned(),
            reference: String::new(),
            digest: String::new(),
            index: text("https://charts.example.com/index.yaml"),
            pinned: true,
            file: String::new(),
            line: 0,
            field: String::new(),
        }
    }

    #[test]
    fn the_charts_own_repository_gets_the_credentials_and_nobody_else() {
        let config = config(
            "helm: {repository: 'https://charts.example.com/team', chart: web, version: '1', auth: {secret: s}}, \
             remoteHosts: [github.com]",
        );
        let login = |kind, url: &str| permitted(&want(kind, url), &config, &[]).map(|permission| permission.login);
        assert_eq!(login(WantKind::Index, "https://charts.example.com/team/index.yaml"), Ok(true));
        assert_eq!(login(WantKind::Archive, "https://charts.example.com/x.tgz"), Ok(true));
        assert_eq!(login(WantKind::Archive, "https://github.com/x.tgz"), Ok(false));
        assert_eq!(login(WantKind::Git, "ssh://git@github.com/x.git"), Ok(false));
        for (kind, url) in [
            (WantKind::Archive, "http://charts.example.com/x.tgz"),
            (WantKind::Archive, "https://charts.example.com:8443/x.tgz"),
            (WantKind::Archive, "https://charts.example.com.evil.example/x.tgz"),
            (WantKind::Git, "https://charts.example.com/x.git"),
            (WantKind::File, "https://charts.example.com/x.yaml"),
            (WantKind::File, "https://169.254.169.254/latest/meta-data"),
            (WantKind::Git, "file:///etc"),
        ] {
            assert!(login(kind, url).is_err(), "{url}");
        }
        let error = login(WantKind::File, "http://10.0.0.1:81/x.yaml").unwrap_err().to_string();
        assert!(error.contains("add http://10.0.0.1:81 to render.remoteHosts"), "{error}");
    }

    #[test]
    fn an_archive_elsewhere_is_fetched_only_as_a_permitted_index_names_it() {
        let config = config("helm: {repository: 'https://charts.example.com', chart: web, version: '1'}");
        let bytes: Arc<[u8]> =
            b"entries: {web: [{urls: ['https://cdn.example.com/web-1.tgz', 'http://cdn.example.com/a']}]}"
                .as_slice()
                .into();
        let index = Fetched {
            want: want(WantKind::Index, "https://charts.example.com/index.yaml"),
            content: FetchedContent::File(bytes),
            digest: "d".into(),
        };
        let may = |url: &str, fetched: &[Fetched]| permitted(&want(WantKind::Archive, url), &config, fetched).is_ok();
        let known = [index];
        assert!(may("https://cdn.example.com/web-1.tgz", &known));
        assert!(!may("https://cdn.example.com/web-1.tgz", &[]));
        assert!(!may("https://cdn.example.com/web-1.tgz?secret=x", &known));
        assert!(!may("https://cdn.example.com/web-1", &known), "the beginning of another");
        assert!(!may("http://cdn.example.com/a", &known), "less safe than the index");
        let foreign = Want {
            index: "https://github.com/index.yaml".into(),
            ..want(WantKind::Archive, "https://cdn.example.com/web-1.tgz")
        };
        let index = Fetched {
            want: want(WantKind::Index, "https://github.com/index.yaml"),
            digest: "d".into(),
            content: known[0].content.clone(),
        };
        assert!(permitted(&foreign, &config, &[index]).is_err(), "not the index of the chart's own repository");
    }
    #[test]
    fn an_archive_that_cannot_be_fetched_has_the_index_compared_that_names_it_if_it_may_be_of_any_age() {
        let of = |want: Want| Fetched { want, content: FetchedContent::File([].into()), digest: "d".into() };
        let index = want(WantKind::Index, "https://charts.example.com/index.yaml");
        let other = of(want(WantKind::Index, "https://other.example.com/index.yaml"));
        let archive = want(WantKind::Archive, "https://cdn.example.com/web-1.tgz");
        assert_eq!(outdated_index(&archive, &[other.clone(), of(index.clone())]), Some(index.clone()));
        assert_eq!(outdated_index(&archive, &[other]), None, "it names nothing of this");
        let compared = Want { pinned: false, ..index.clone() };
        assert_eq!(outdated_index(&archive, &[of(compared)]), None, "it is what its source has now");
        let file = want(WantKind::File, "https://charts.example.com/index.yaml");
        assert_eq!(outdated_index(&archive, &[of(file)]), None, "a file of that name is no index");
        let git = want(WantKind::Git, "https://cdn.example.com/web.git");
        assert_eq!(outdated_index(&git, &[of(index)]), None, "only an archive is named by an index");
    }
}
