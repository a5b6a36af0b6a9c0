//! Git repositories for tests: made with the `git` command line, without any configuration of the machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A bare repository, as a server has it, and a work tree to make commits in. Every commit is pushed at once.
pub struct TestRepo {
    directory: TempDir,
}

impl TestRepo {
    /// Empty; its branch will be `main`.
    pub fn new() -> Self {
        let repo = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        git_in(repo.root(), &["init", "--quiet", "--bare", "repo.git"]);
        git_in(repo.root(), &["init", "--quiet", "work"]);
        repo.git(&["remote", "add", "origin", "../repo.git"]);
        repo
    }

    /// With one commit that holds these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        repo.commit(files);
        repo
    }

    /// The directory that holds `repo.git`: what an HTTP server serves.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn bare(&self) -> PathBuf {
        self.root().join("repo.git")
    }

    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The `file://` URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    /// Runs git in the work tree and gives what it printed, without the last newline.
    pub fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.work(), arguments)
    }

    /// Runs git in the work tree with something to read.
    pub fn git_with_input(&self, arguments: &[&str], input: &str) -> String {
        let mut git = command();
        git.current_dir(self.work()).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut git = git.spawn().expect("git runs");
        git.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("git reads");
        let output = git.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {} failed", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs git in the bare repository.
    pub fn git_bare(&self, arguments: &[&str]) -> String {
        git_in(&self.bare(), arguments)
    }

    /// Writes a file of the work tree, without a commit.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.work().join(path);
        std::fs::create_dir_all(file.parent().expect("a file has a directory")).expect("a directory");
        std::fs::write(file, content).expect("a file");
    }

    /// Makes a symbolic link in the work tree, without a commit.
    pub fn link(&self, path: &str, target: &str) {
        let link = self.work().join(path);
        std::fs::create_dir_all(link.parent().expect("a link has a directory")).expect("a directory");
        std::os::unix::fs::symlink(target, link).expect("a symbolic link");
    }

    /// Makes `main` of the bare repository the commit of this stream (git-fast-import), at once.
    pub fn fast_import(&self, stream: &[u8]) {
        let mut import = command();
        import.current_dir(self.bare()).args(["fast-import", "--quiet", "--force"]).stdin(Stdio::piped());
        let mut import = import.spawn().expect("git runs");
        import.stdin.take().expect("a pipe").write_all(stream).expect("git reads");
        assert!(import.wait().expect("git ends").success(), "git fast-import failed");
    }

    /// Puts a submodule into the index; the commit it names exists nowhere.
    pub fn submodule(&self, path: &str) {
        let info = format!("160000,{},{path}", "1".repeat(40));
        self.git(&["update-index", "--add", "--cacheinfo", &info]);
    }

    pub fn remove(&self, path: &str) {
        self.git(&["rm", "-r", "--quiet", "--ignore-unmatch", path]);
    }

    /// Writes files and commits them; gives the commit's id.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.write(path, content);
        }
        self.commit_all("a commit")
    }

    /// Commits the work tree, and what was put into the index by hand, and pushes; gives the commit's id.
    pub fn commit_all(&self, subject: &str) -> String {
        let commit = self.commit_unpushed(subject);
        self.push();
        commit
    }

    /// The same without the push: nobody else sees it yet.
    pub fn commit_unpushed(&self, subject: &str) -> String {
        // Not --all: it would take submodules out again that have no directory.
        self.git(&["add", "--ignore-removal", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.head()
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn push(&self) {
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
    }

    /// Goes to a branch, which is made where the work tree is now if it does not exist.
    pub fn checkout(&self, branch: &str) {
        self.git(&["checkout", "--quiet", "-B", branch]);
        self.push();
    }

    /// Undoes the newest commit by a new one; gives its id.
    pub fn revert(&self) -> String {
        self.git(&["revert", "--no-edit", "HEAD"]);
        self.push();
        self.head()
    }

    /// Replaces the newest commit by another one with these files, by force; gives its id.
    pub fn rewrite(&self, files: &[(&str, &str)]) -> String {
        self.git(&["update-ref", "-d", "HEAD"]);
        self.commit(files)
    }

    /// A lightweight tag of the newest commit.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", "--force", name]);
        self.git(&["push", "--quiet", "--force", "origin", &format!("refs/tags/{name}")]);
    }

    pub fn annotated_tag(&self, name: &str) {
        self.git(&["tag", "--force", "--annotate", "-m", name, name]);
        self.git(&["push", "--quiet", "--force", "origin", &format!("refs/tags/{name}")]);
    }

    /// Deletes a branch of the bare repository.
    pub fn delete_branch(&self, name: &str) {
        self.git_bare(&["update-ref", "-d", &format!("refs/heads/{name}")]);
    }
}

fn git_in(directory: &Path, arguments: &[&str]) -> String {
    let output = command().current_dir(directory).args(arguments).output().expect("git runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {} failed: {stderr}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// git, with nothing of the machine's configuration, and the same author and time always.
fn command() -> Command {
    let mut git = Command::new("git");
    git.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
        .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
        .envs([("GIT_AUTHOR_DATE", "2025-01-02T03:04:05Z"), ("GIT_COMMITTER_DATE", "2025-01-02T03:04:05Z")])
        .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", "-c", "advice.detachedHead=false"]);
    git
}
