//! Charts as they are published: packed by the real helm, in a chart repository, and in a real registry.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::deploy::helm;
use super::files::FileServer;
use super::process::run;
use super::wait::eventually;

/// Packs a chart with these files (paths below the chart); gives the archive.
pub fn pack(directory: &Path, name: &str, version: &str, files: &[(&str, &str)]) -> PathBuf {
    let chart = directory.join(format!("{name}-{version}")).join(name);
    for (path, text) in files {
        let file = chart.join(path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, text).expect("a file");
    }
    fs::create_dir_all(&chart).expect("a directory");
    fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: {version}\n")).expect("a file");
    let (chart, out) = (chart.display().to_string(), directory.display().to_string());
    helm(&["package", &chart, "--destination", &out]).expect_code(0);
    directory.join(format!("{name}-{version}.tgz"))
}

/// Publishes archives (chart, version, file), and the index that names them by `base` and their path.
pub fn publish(server: &FileServer, base: &str, archives: &[(&str, &str, &Path)]) {
    for (name, version, file) in archives {
        server.put(&format!("{name}-{version}.tgz"), fs::read(file).expect("an archive"));
    }
    publish_index_of(server, base, archives);
}

/// Publishes an index that names archives by `base` and their path, whether they are there or not.
pub fn publish_index_of(server: &FileServer, base: &str, archives: &[(&str, &str, &Path)]) {
    let mut index = String::from("apiVersion: v1\nentries:\n");
    let mut names: Vec<&str> = archives.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    for name in names {
        index.push_str(&format!("  {name}:\n"));
        for (_, version, file) in archives.iter().filter(|(other, ..)| *other == name) {
            let bytes = fs::read(file).expect("an archive");
            let digest = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            index.push_str(&format!(
                "  - apiVersion: v2\n    name: {name}\n    version: {version}\n    digest: {digest}\n    urls: ['{base}{name}-{version}.tgz']\n"
            ));
        }
    }
    server.put("index.yaml", index);
}

/// A registry of the project distribution, which asks for the user `bob` with the password `s3cret`.
pub struct Registry {
    pub address: String,
    process: Child,
    _directory: tempfile::TempDir,
}

/// bcrypt of `s3cret`, in the form of htpasswd.
const USERS: &str = "bob:$2a$04$LiuMx/qtQJ4/KcyjXtntyOHKTnzQ4NSpracegpWNIt5jV5aS8/8ne\n";

impl Registry {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::write(root.join("users"), USERS).expect("a file");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{address}'}}\n\
             auth: {{htpasswd: {{realm: tests, path: {root}/users}}}}\n",
            root = root.display()
        );
        fs::write(root.join("config.yaml"), config).expect("a file");
        let mut command = Command::new(program());
        command.arg("serve").arg(root.join("config.yaml")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("a registry");
        eventually("the registry answers", || std::net::TcpStream::connect(&address));
        Self { address, process, _directory: directory }
    }

    /// `oci://127.0.0.1:PORT/charts`.
    pub fn url(&self) -> String {
        format!("oci://{}/charts", self.address)
    }

    /// Pushes an archive with the real helm.
    pub fn push(&self, archive: &Path) {
        let (archive, url) = (archive.display().to_string(), self.url());
        helm(&["push", &archive, &url, "--plain-http", "--username", "bob", "--password", "s3cret"]).expect_code(0);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/build");
        let built = run(&mut Command::new(script), None, Duration::from_mins(20));
        let program = PathBuf::from(built.stdout.trim());
        assert!(built.code == Some(0) && program.is_absolute(), "no registry: {}", built.all());
        program
    })
}
