//! A git server over ssh: the real `sshd` on a loopback port, with host keys and users' keys of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::Leash;
use super::wait::eventually;

const PATHS: [&str; 2] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"];

/// Serves every repository of the machine to whoever has a key that is [`Sshd::authorized`], until it is dropped.
pub struct Sshd {
    directory: TempDir,
    pub port: u16,
    child: Child,
    _leash: Leash,
}

impl Sshd {
    #[track_caller]
    pub fn start() -> Self {
        let program = PATHS.iter().find(|path| Path::new(path).exists());
        let program = program.expect("sshd, which the package openssh-server has (apt install openssh-server)");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        for kind in ["ed25519", "ecdsa", "rsa"] {
            generate(&at(&format!("host_{kind}")), kind, "");
        }
        fs::write(at("authorized"), "").expect("the file can be written");
        let port = free_port();
        let keys = ["ed25519", "ecdsa", "rsa"].map(|kind| format!("HostKey {}", at(&format!("host_{kind}")).display()));
        let keys = keys.join("\n");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\n{keys}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n",
            at("authorized").display()
        );
        fs::write(at("config"), config).expect("the file can be written");
        // Where it is root, it wants an empty directory to be confined to.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(at("log")).expect("the file can be written");
        let mut command = Command::new(program);
        command.arg("-D").arg("-e").arg("-f").arg(at("config")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("sshd starts");
        let leash = Leash::of(&child);
        let server = Self { directory, port, child, _leash: leash };
        eventually("sshd answers", || match server.greeting() {
            Some(greeting) if greeting.starts_with("SSH-2.0") => Ok(()),
            _ => Err(server.log()),
        });
        server
    }

    fn greeting(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut buffer = [0; 64];
        let read = stream.read(&mut buffer).ok()?;
        let _ = stream.write_all(b"SSH-2.0-probe\r\n");
        Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A new private key, in the form of OpenSSH. Nobody knows it yet.
    pub fn new_key(&self, name: &str, kind: &str, passphrase: &str) -> String {
        let path = self.directory.path().join(name);
        generate(&path, kind, passphrase);
        fs::read_to_string(path).expect("ssh-keygen has made it")
    }

    /// Lets in those who have one of these keys, and nobody else.
    pub fn authorize(&self, names: &[&str]) {
        let public = |name: &&str| {
            let path = self.directory.path().join(format!("{name}.pub"));
            fs::read_to_string(path).expect("ssh-keygen has made it")
        };
        let text: String = names.iter().map(public).collect();
        fs::write(self.directory.path().join("authorized"), text).expect("the file can be written");
    }

    /// The lines of `known_hosts` for host keys of these kinds.
    pub fn known_hosts(&self, kinds: &[&str]) -> String {
        let line = |kind: &&str| {
            let path = self.directory.path().join(format!("host_{kind}.pub"));
            let public = fs::read_to_string(path).expect("ssh-keygen has made it");
            format!("[127.0.0.1]:{} {public}", self.port)
        };
        kinds.iter().map(line).collect()
    }

    /// The URL of a repository on this machine.
    pub fn url(&self, repository: &Path) -> String {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned());
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, repository.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn generate(path: &PathBuf, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(path);
    assert!(command.status().expect("ssh-keygen starts").success(), "ssh-keygen has made {}", path.display());
    let mode = fs::metadata(path).expect("ssh-keygen has made it").permissions().mode();
    assert_eq!(mode & 0o077, 0, "sshd refuses keys that others can read");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}
