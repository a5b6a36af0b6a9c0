//! The image, built by buildah from the last stages of the Dockerfile around static binaries, and
//! run the way a kubelet runs it: the image's user, entrypoint and environment, a root file
//! system that cannot be written, and what the pod mounts.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, run};

/// For tools that pack and unpack some tens of megabytes.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Image {
    directory: TempDir,
    /// `config` of the image's configuration (OCI image-spec): user, entrypoint, labels, …
    pub config: Value,
    /// What tar lists of all layers: mode, owner, size, date, name.
    pub listing: String,
    /// Bytes of all layers, compressed.
    pub packed: u64,
}

/// A stage of the Dockerfile that is an image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// With the helpers.
    Full,
    Slim,
}

/// What a pod adds to its image.
#[derive(Default)]
pub struct Pod {
    /// A file or directory of this machine, and its place.
    pub mounts: Vec<(PathBuf, &'static str)>,
    pub environment: Vec<(&'static str, String)>,
    /// What may be written, mounted as the image's volume for it.
    pub data: PathBuf,
}

impl Image {
    /// With the binary that `DRIFTLESS_IMAGE_BINARY` names, which `make test-image` builds, as it does the helpers.
    pub fn build(target: Target) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let binary = std::env::var_os("DRIFTLESS_IMAGE_BINARY").expect("DRIFTLESS_IMAGE_BINARY: run make test-image");
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The image's user is another one than ours.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("permissions");
        let at = |name: &str| directory.path().join(name);
        // Stand for the two stages that compile, whose last commands these are.
        let script = || Command::new(root.join("deploy/image/build"));
        tool(script().arg("root").arg(binary).arg(at("build/image")));
        let mut build = buildah(directory.path());
        build.args(["build", "--quiet", "--isolation", "chroot", "--tag", "driftless"]);
        build.args(["--build-arg", "VERSION=v1.2.3", "--build-arg", "REVISION=abc"]);
        build.arg("--build-context").arg(format!("build={}", at("build").display()));
        match target {
            // As where no target is named.
            Target::Full => {
                tool(script().arg("helpers").arg(architecture()).arg(at("helpers/helpers")));
                build.arg("--build-context").arg(format!("helpers={}", at("helpers").display()));
            }
            // Without what it must not need.
            Target::Slim => {
                build.args(["--target", "slim"]);
            }
        }
        tool(build.arg(root));
        let pushed = push(directory.path());
        fs::create_dir(at("root")).expect("a directory");
        let (mut listing, mut packed) = (String::new(), 0);
        for file in pushed.layers {
            packed += fs::metadata(&file).expect("a file").len();
            listing += &tool(Command::new("tar").args(["-tvz", "--numeric-owner", "-f"]).arg(&file)).stdout;
            tool(Command::new("tar").args(["-xz", "--numeric-owner", "-C"]).arg(at("root")).arg("-f").arg(&file));
        }
        Self { directory, config: pushed.config, listing, packed }
    }

    /// The files that the build is given of this repository.
    pub fn context() -> Vec<String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("Dockerfile");
        fs::write(&file, "FROM scratch\nCOPY . /\n").expect("a file");
        let mut build = buildah(directory.path());
        build.args(["build", "--quiet", "--isolation", "chroot", "--tag", "driftless", "--file"]).arg(&file);
        tool(build.arg(env!("CARGO_MANIFEST_DIR")));
        let list = |file| tool(Command::new("tar").args(["-tzf"]).arg(file)).stdout;
        let names: String = push(directory.path()).layers.iter().map(list).collect();
        names.lines().filter(|name| !name.ends_with('/')).map(ToOwned::to_owned).collect()
    }

    /// A new directory that the image's user may write, as a volume with an `fsGroup` is.
    pub fn volume(&self, name: &str) -> PathBuf {
        let volume = self.directory.path().join(name);
        fs::create_dir(&volume).expect("a new directory");
        let (user, group) = self.user();
        if is_root() {
            chown(&volume, Some(user), Some(group)).expect("root may");
        }
        volume
    }

    /// The image's numeric user and group.
    pub fn user(&self) -> (u32, u32) {
        let text = self.config["User"].as_str().expect("a user");
        let (user, group) = text.split_once(':').expect("a user and a group");
        (user.parse().expect("a number"), group.parse().expect("a number"))
    }

    /// The image's entrypoint with these arguments, or its own where there are none.
    pub fn command(&self, pod: &Pod, arguments: &[&str]) -> Command {
        let mut command = self.confined(pod);
        command.args(strings(&self.config["Entrypoint"]));
        if arguments.is_empty() {
            command.args(strings(&self.config["Cmd"]));
        } else {
            command.args(arguments);
        }
        command
    }

    /// A file of the image.
    pub fn file(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path.trim_start_matches('/'))
    }

    /// The start of a command that runs a program of the image as its user.
    pub fn confined(&self, pod: &Pod) -> Command {
        let root = self.directory.path().join("root");
        let (user, group) = self.user();
        let (user, group) = (user.to_string(), group.to_string());
        // As root it becomes the image's user in truth; else it is that user to itself alone.
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &group, "--clear-groups", "bwrap"]);
            command
        } else {
            Command::new("bwrap")
        };
        command.args(["--unshare-user", "--uid", &user, "--gid", &group, "--unshare-pid", "--as-pid-1"]);
        command.args(["--die-with-parent", "--cap-drop", "ALL", "--ro-bind"]).arg(&root).arg("/");
        for (option, place) in [("--proc", "/proc"), ("--dev", "/dev")] {
            mount_point(&root, place, true);
            command.args([option, place]);
        }
        for (source, place) in &pod.mounts {
            mount_point(&root, place, source.is_dir());
            command.arg("--ro-bind").arg(source).arg(place);
        }
        command.arg("--bind").arg(&pod.data).arg("/var/lib/driftless").args(["--chdir", "/", "--clearenv"]);
        for variable in strings(&self.config["Env"]) {
            let (name, value) = variable.split_once('=').expect("NAME=VALUE");
            command.args(["--setenv", name, value]);
        }
        for (name, value) in &pod.environment {
            command.args(["--setenv", name, value]);
        }
        command.arg("--");
        command
    }
}

/// This machine's, as Docker names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Why nothing can be run in the image: the kernel, or a policy, forbids to make namespaces.
pub fn forbidden() -> Option<String> {
    let probe = ["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"];
    let tried = run(Command::new("bwrap").args(probe), None, PATIENCE);
    (tried.code != Some(0)).then(|| format!("namespaces cannot be made here: {}", tried.stderr.trim()))
}

/// The process in the image, which bubblewrap waits for.
pub fn inside(wrapper: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("a process").uid() == 0
}

/// What a runtime makes before it mounts something.
fn mount_point(root: &Path, place: &str, directory: bool) {
    let point = root.join(place.trim_start_matches('/'));
    if directory {
        fs::create_dir_all(point).expect("a directory");
    } else if !point.exists() {
        fs::create_dir_all(point.parent().expect("a directory")).expect("a directory");
        File::create(point).expect("a file");
    }
}

pub fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

struct Pushed {
    config: Value,
    /// Archives by tar and gzip.
    layers: Vec<PathBuf>,
}

/// Puts the image of a store into a directory, as a registry would have it (OCI image-layout).
fn push(directory: &Path) -> Pushed {
    let layout = directory.join("oci");
    tool(buildah(directory).args(["push", "--quiet", "localhost/driftless", &format!("oci:{}:it", layout.display())]));
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        layout.join("blobs").join(digest.replace(':', "/"))
    };
    let json = |file: &Path| -> Value { serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON") };
    let manifest = json(&blob(&json(&layout.join("index.json"))["manifests"][0]));
    let layers = manifest["layers"].as_array().expect("layers").iter().map(blob).collect();
    Pushed { config: json(&blob(&manifest["config"]))["config"].clone(), layers }
}

/// With a store of its own.
fn buildah(directory: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--storage-driver", "vfs", "--root"]).arg(directory.join("store"));
    command.arg("--runroot").arg(directory.join("run"));
    command
}

fn tool(command: &mut Command) -> Finished {
    run(command, None, PATIENCE).expect_code(0)
}
