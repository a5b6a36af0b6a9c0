use std::path::PathBuf;

use git2::{ObjectType, Signature, Time};

use super::*;
use crate::source::transport::TransferError;

/// A repository on disk, and where a clone of it goes.
struct Place {
    directory: tempfile::TempDir,
    repository: Repository,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(directory.path().join("repo.git")).unwrap();
        Self { directory, repository }
    }

    fn clone(&self) -> PathBuf {
        self.directory.path().join("clone")
    }

    /// Takes one object out of the clone.
    fn lose(&self, lost: Oid) {
        let mut objects = Vec::new();
        let clone = Repository::open_bare(self.clone()).unwrap();
        let odb = clone.odb().unwrap();
        odb.foreach(|id| {
            let object = odb.read(*id).unwrap();
            objects.extend((*id != lost).then(|| (object.kind(), object.data().to_vec())));
            true
        })
        .unwrap();
        let packs = self.clone().join("objects/pack");
        std::fs::remove_dir_all(&packs).unwrap();
        std::fs::create_dir(&packs).unwrap();
        let clone = Repository::open_bare(self.clone()).unwrap();
        for (kind, data) in objects {
            clone.odb().unwrap().write(kind, &data).unwrap();
        }
    }

    fn commit(&self, content: &[u8]) -> Oid {
        let blob = self.repository.blob(content).unwrap();
        let mut tree = self.repository.treebuilder(None).unwrap();
        tree.insert("a.yaml", blob, 0o100_644).unwrap();
        let tree = self.repository.find_tree(tree.write().unwrap()).unwrap();
        let parent = self.repository.refname_to_id("refs/heads/main").ok();
        let parent = parent.map(|id| self.repository.find_commit(id).unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.repository.commit(Some("refs/heads/main"), &ada(), &ada(), "a commit", &tree, &parents).unwrap()
    }

    fn annotated_tag(&self, name: &str, commit: Oid) -> Oid {
        let commit = self.repository.find_object(commit, Some(ObjectType::Commit)).unwrap();
        self.repository.tag(name, &commit, &ada(), name, true).unwrap()
    }

    fn remote(&self, reference: Reference) -> GitRemote {
        self.remote_for(Purpose::Sync, reference)
    }

    fn remote_for(&self, purpose: Purpose, reference: Reference) -> GitRemote {
        let url = format!("file://{}", self.repository.path().display());
        let clone = CloneDir::at(self.clone());
        GitRemote::of(
            Source { url: url.into(), reference, auth: None, verify: None },
            RepoPath::default(),
            clone,
            Limits::default(),
            purpose,
        )
    }
}

fn ada() -> Signature<'static> {
    Signature::new("Ada", "ada@example.com", &Time::new(1_700_000_000, 0)).unwrap()
}

fn named(id: Oid) -> Reference {
    Reference::Commit(id.to_string().as_str().into())
}

#[test]
fn a_tag_by_its_id_is_fetched_and_read_before_its_commit_is_believed() {
    let place = Place::new();
    let first = place.commit(b"1");
    let tag = place.annotated_tag("v1", first);
    place.commit(b"2");
    let remote = place.remote(named(tag));
    let revision = remote.poll().unwrap();
    assert_eq!(
        revision,
        Revision { commit: first.to_string(), name: "refs/tags/v1".into(), tag: Some(tag.to_string()) }
    );
    assert_eq!(remote.fetch(&revision).unwrap().id, first.to_string());

    // From then on it is known, whatever becomes of the tag, of the clone, and of this process.
    place.repository.tag_delete("v1").unwrap();
    assert_eq!(remote.poll().unwrap().commit, first.to_string());
    std::fs::remove_dir_all(place.clone().join("objects")).unwrap();
    assert_eq!(remote.snapshot(&revision.commit, &RepoPath::default()).unwrap().files.len(), 1);
}

#[test]
fn a_commit_that_a_server_gives_for_the_id_of_another_one_is_not_used() {
    let place = Place::new();
    let (first, second) = (place.commit(b"1"), place.commit(b"2"));
    let tag = place.annotated_tag("v1", second);
    let claimed = |commit: Oid, name: &str| Revision { commit: commit.to_string(), name: name.into(), tag: None };
    // The tag is another commit's, or the id is no tag's at all.
    for id in [tag, second] {
        let remote = place.remote(named(id));
        let error = remote.fetch(&claimed(first, "refs/tags/v1")).unwrap_err();
        let (shown, expected) =
            (error.to_string(), format!("says that {id} is an annotated tag of the commit {first}"));
        assert!(matches!(error, SourceError::NotTagged { .. }) && shown.contains(&expected), "{shown}");
        assert!(!place.clone().exists(), "nothing of it is kept");
    }
    // What the name is of now has nothing to do with the id.
    let remote = place.remote(named(tag));
    let revision = remote.poll().unwrap();
    place.repository.reference("refs/tags/v1", second, true, "moved").unwrap();
    assert!(matches!(remote.fetch(&revision), Err(SourceError::Moved { .. })));
}

#[test]
fn a_commit_that_is_in_the_clone_already_is_not_used_for_the_id_of_another_one() {
    let place = Place::new();
    let (first, second) = (place.commit(b"1"), place.commit(b"2"));
    let branch = place.remote(Reference::Branch("main".into()));
    branch.fetch(&branch.poll().unwrap()).unwrap();
    let remote = place.remote(named(second));
    let claimed = Revision { commit: first.to_string(), name: "refs/heads/main".into(), tag: None };
    assert!(matches!(remote.fetch(&claimed), Err(SourceError::NotTagged { .. })));
    assert_eq!(remote.fetch(&remote.poll().unwrap()).unwrap().id, second.to_string());
}

#[test]
fn a_clone_that_has_the_tag_and_has_lost_its_commit_is_made_anew() {
    let place = Place::new();
    let first = place.commit(b"1");
    place.annotated_tag("v1", first);
    let remote = place.remote(Reference::Tag("v1".into()));
    let revision = remote.poll().unwrap();
    remote.fetch(&revision).unwrap();
    place.lose(first);
    assert_eq!(remote.fetch(&revision).unwrap().id, first.to_string());
}

#[test]
fn a_remote_base_is_named_by_the_id_of_a_commit_and_not_of_a_tag() {
    let place = Place::new();
    let first = place.commit(b"1");
    let tag = place.annotated_tag("v1", first);
    let poll = |reference| place.remote_for(Purpose::Base, reference).poll();
    let error = poll(named(tag)).unwrap_err().to_string();
    let expected = format!("says that {tag} is an annotated tag of the commit {first}; name a remote base by the id");
    assert!(error.contains(&expected), "{error}");
    for reference in [named(first), Reference::Tag("v1".into())] {
        assert_eq!(poll(reference).unwrap().commit, first.to_string());
    }
}

#[test]
fn a_pack_that_is_longer_than_is_allowed_is_given_up() {
    let place = Place::new();
    // Not to be compressed.
    let mut random = fastrand::Rng::with_seed(1);
    let content: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
    place.commit(&content);
    let into = Repository::init_bare(place.clone()).unwrap();
    let remote = place.remote(Reference::Branch("main".into()));
    assert_eq!(remote.transport(None).most_bytes, 2 << 30);
    let fetch = |most_bytes| {
        let transport = Transport { most_bytes, ..remote.transport(None) };
        transport.fetch(&into, &[format!("+refs/heads/main:{FETCHED}")], 0)
    };
    match fetch(10_000) {
        Err(TransferError::Failed(error @ SourceError::TooMuchData { .. })) => {
            assert!(error.to_string().contains("was given up after 10000 bytes"), "{error}");
        }
        _ => panic!("it was fetched, or failed otherwise"),
    }
    assert!(fetch(10 << 20).is_ok());
}

#[test]
fn a_remote_base_is_never_fetched_with_its_history() {
    let place = Place::new();
    let first = place.commit(b"1");
    place.commit(b"2");
    for reference in [Reference::Branch("main".into()), named(first)] {
        let base = place.remote_for(Purpose::Base, reference.clone());
        assert_eq!(base.transport(None).most_bytes, 256 << 20);
        // A repository on disk is read with all of it.
        let error = base.fetch(&base.poll().unwrap()).unwrap_err();
        assert!(matches!(error, SourceError::BaseNotShallow { .. }), "{error}");
        assert!(!place.clone().exists());
        let sync = place.remote(reference);
        sync.fetch(&sync.poll().unwrap()).unwrap();
        std::fs::remove_dir_all(place.clone()).unwrap();
    }
}
