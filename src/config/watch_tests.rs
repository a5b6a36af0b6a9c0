use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Long enough to never pass in a test that relies on the system's events.
const NEVER: Duration = Duration::from_hours(1);
const OFTEN: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(20);

fn with_namespace(name: &str) -> String {
    format!("namespace: {name}\nsyncs: []\n")
}

/// A directory with a good file of namespace `zero` in it.
fn started() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    fs::write(&path, with_namespace("zero")).unwrap();
    (dir, path)
}

/// The namespace in the next change, or the next error.
async fn next(watch: &mut Watch) -> Result<String, ConfigError> {
    let change = timeout(DEADLINE, watch.changed()).await.expect("no change was reported").expect("the watching ended");
    change.map(|loaded| loaded.config.namespace.unwrap().to_string())
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_reported() {
    let (_dir, path) = started();
    let mut watch = watch(path.clone(), NEVER).unwrap();
    fs::write(&path, with_namespace("one")).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), "one");
}

#[tokio::test]
async fn an_editor_that_renames_a_new_file_is_noticed() {
    let (dir, path) = started();
    let mut watch = watch(path.clone(), NEVER).unwrap();
    for name in ["one", "two"] {
        let new = dir.path().join(".config.yaml.swp");
        fs::write(&new, with_namespace(name)).unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(next(&mut watch).await.unwrap(), name);
    }
}

#[tokio::test]
async fn a_mounted_config_map_that_swaps_its_data_link_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    // As the kubelet does it (pkg/volume/util/atomic_writer.go).
    let publish = |version: &str, old: Option<&str>| {
        let fresh = dir.path().join(version);
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join("config.yaml"), with_namespace(version.trim_matches('.'))).unwrap();
        symlink(version, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(dir.path().join(old)).unwrap();
        }
    };
    publish("..v0", None);
    symlink("..data/config.yaml", dir.path().join("config.yaml")).unwrap();
    let mut watch = watch(dir.path().join("config.yaml"), NEVER).unwrap();
    publish("..v1", Some("..v0"));
    assert_eq!(next(&mut watch).await.unwrap(), "v1");
    publish("..v2", Some("..v1"));
    assert_eq!(next(&mut watch).await.unwrap(), "v2");
}

#[tokio::test]
async fn a_broken_file_is_reported_once_and_so_is_its_recovery_to_the_same_content() {
    let (_dir, path) = started();
    let mut watch = watch(path.clone(), NEVER).unwrap();
    fs::write(&path, "syncs: 1\n").unwrap();
    let error = next(&mut watch).await.unwrap_err();
    assert_eq!(error.problems().len(), 1);
    // The same again is no change; what is reported next is the recovery.
    fs::write(&path, "syncs: 1\n").unwrap();
    fs::write(&path, with_namespace("zero")).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), "zero");
}

#[tokio::test]
async fn the_same_content_written_again_is_no_change() {
    let (_dir, path) = started();
    let mut watch = watch(path.clone(), OFTEN).unwrap();
    fs::write(&path, with_namespace("zero")).unwrap();
    // Many polls and the events of the writing pass in this time.
    assert!(timeout(SETTLE * 3, watch.changed()).await.is_err());
    fs::write(&path, with_namespace("one")).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), "one");
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_and_its_return_is_reported() {
    let (_dir, path) = started();
    let mut watch = watch(path.clone(), NEVER).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(next(&mut watch).await, Err(ConfigError::Read { .. })));
    fs::write(&path, with_namespace("zero")).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), "zero");
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_polled_and_then_watched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later").join("config.yaml");
    let mut watch = watch(path.clone(), OFTEN).unwrap();
    fs::create_dir(dir.path().join("later")).unwrap();
    fs::write(dir.path().join("new"), with_namespace("one")).unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), "one");
}

#[tokio::test]
async fn a_directory_that_was_replaced_is_found_again() {
    let (dir, _) = started();
    let inner = dir.path().join("mount");
    let path = inner.join("config.yaml");
    let replace = |name: &str| {
        let fresh = dir.path().join("fresh");
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join("config.yaml"), with_namespace(name)).unwrap();
        fs::rename(&fresh, &inner).unwrap();
    };
    replace("one");
    let mut watch = watch(path, OFTEN).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    assert!(matches!(next(&mut watch).await, Err(ConfigError::Read { .. })));
    replace("two");
    assert_eq!(next(&mut watch).await.unwrap(), "two");
}

#[tokio::test]
async fn who_is_late_gets_the_newest_content() {
    let (_dir, path) = started();
    let mut watch = watch(path.clone(), OFTEN).unwrap();
    for name in ["one", "two", "three"] {
        fs::write(&path, with_namespace(name)).unwrap();
    }
    let mut last = next(&mut watch).await;
    while last.as_deref().ok() != Some("three") {
        last = next(&mut watch).await;
    }
}

#[tokio::test]
async fn watching_ends_with_its_owner() {
    let (_dir, path) = started();
    let watch = watch(path, NEVER).unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    drop(watch);
    let ended = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() >= before {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, ended).await.expect("the task still runs");
}

#[tokio::test]
async fn reading_the_file_is_no_reason_to_read_it_again() {
    let (dir, path) = started();
    let hint = Arc::new(Notify::new());
    let mut directory = WatchedDirectory::new(&path, &hint);
    directory.renew();
    fs::read(&path).unwrap();
    assert!(timeout(SETTLE * 3, hint.notified()).await.is_err(), "reading was taken for a change");
    fs::write(dir.path().join("config.yaml"), "").unwrap();
    timeout(DEADLINE, hint.notified()).await.expect("writing was not noticed");
}

#[test]
fn a_path_without_a_file_and_a_thread_without_a_runtime_are_refused() {
    let refused = |path: &str| watch(PathBuf::from(path), NEVER).unwrap_err().to_string();
    assert_eq!(refused("/"), "cannot watch the configuration file /: the path names no file");
    assert_eq!(refused("c.yaml"), "cannot watch the configuration file c.yaml: it needs a tokio runtime");
}
