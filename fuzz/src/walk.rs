//! Names of files, and rules in `.driftlessignore`: a checkout on disk with up to three names (one a
//! line), and behind a zero byte the rules.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use driftless::config::RepoPath;
use driftless::source::{Limits, read_directory};

use super::{assert_readable, cut};

thread_local! {
    static ROOT: OnceCell<PathBuf> = const { OnceCell::new() };
}

fn root() -> PathBuf {
    let make = || {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        parent.join(format!("driftless-fuzz-{}", std::process::id()))
    };
    ROOT.with(|root| root.get_or_init(make).clone())
}

pub fn target(data: &[u8]) {
    let (names, rules) = cut(data, 0);
    let root = root();
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(root.join("d")).unwrap();
    std::fs::write(root.join("d/x.yaml"), "a: 1").unwrap();
    for name in names.split(|byte| *byte == b'\n').take(3).filter(|name| !name.contains(&b'/') && name.len() < 256) {
        let path = root.join(OsStr::from_bytes(name));
        if !path.exists() {
            let _ = std::fs::write(&path, "b: 1");
        }
    }
    std::fs::write(root.join(".driftlessignore"), rules).unwrap();
    let read = || read_directory(&root, &RepoPath::default(), &Limits::default());
    match (read(), read()) {
        (Ok(snapshot), Ok(again)) => {
            assert_eq!(snapshot, again);
            assert!(snapshot.files.len() <= 4);
            assert!(snapshot.files.is_sorted_by(|left, right| left.path < right.path));
            let settings = driftless::render::Settings::default();
            for error in driftless::render::render(&snapshot, &settings, &driftless::render::Inputs::default()).errors {
                assert_readable(&error.to_string(), 4_000);
            }
        }
        (Err(error), Err(_)) => assert_readable(&error.to_string(), 4_000),
        (one, other) => panic!("{one:?} {other:?}"),
    }
    std::fs::remove_dir_all(&root).unwrap();
}
