//! Fields that are healed again and again, whoever writes them. Each field of an object is counted
//! by itself: each repetition makes its next heal wait longer, and a field that was not healed
//! lately is healed at once, and the whole object with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::object::{Blame, Digest, Fingerprint, ObjectId, Observed, Short};
use crate::plan::Recorded;

use super::relative::Frame;

/// So many heals in a row make a contest with one manager.
const CONTESTED: u32 = 3;
/// And so many with several, since they may be people who each edited it once.
const CONTESTED_BY_SEVERAL: u32 = 4;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(5);
/// A field that nobody wrote for this long, or for twice its delay, is contested no longer.
const SHORTEST_MEMORY: Duration = Duration::from_mins(1);
/// Fields of one object that are distinguished; all further ones count as one.
const MOST_FIELDS: usize = 64;
/// Fields of one sync that are counted; what drifts beyond that is healed at once.
const MOST_COUNTED: usize = 20_000;
/// Ways of drifting of which it is remembered which fields they concern.
const MOST_WAYS: usize = 16;
/// Managers that are named.
const MOST_MANAGERS: usize = 8;
/// Fields that are named.
const MOST_NAMED: usize = Blame::MOST;

/// Which drift: the fingerprint of our own entry says exactly which fields we had lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Way {
    Gone,
    Recreated,
    Content,
    /// Nothing but what people have added to it.
    Added([u8; 16]),
    /// What was left of our label, annotation and fields.
    Left([u8; 16]),
}

impl Way {
    /// The way in which a live object differs from what was applied.
    pub fn of(live: Option<&Observed>, recorded: &Recorded) -> Self {
        let Some(live) = live else { return Self::Gone };
        if Short::of(&live.uid) != recorded.uid {
            return Self::Recreated;
        }
        let fields = live.fingerprint.as_ref().map(Fingerprint::short).unwrap_or_default();
        let digest = live.digest.as_ref().map(Digest::short).unwrap_or_default();
        if let Some(added) = live.added()
            && (fields, digest) == (recorded.fingerprint, recorded.digest)
            && live.part_of.is_some()
        {
            return Self::Added(added.0);
        }
        let state = format!("{:?} {:?} {:?} {:?}", live.part_of, live.digest, fields.0, live.added());
        Self::Left(Short::of(&state).0)
    }
}

/// A field, by the hash of its path, since paths have no bound of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key([u8; 16]);

impl Key {
    fn of(path: &str) -> Self {
        Self(Short::of(path).0)
    }

    /// No path begins like this.
    fn special(what: &str) -> Self {
        Self::of(&format!("\0{what}"))
    }

    /// All fields of an object beyond [`MOST_FIELDS`].
    fn rest() -> Self {
        Self::special("rest")
    }
}

/// What was written: the fields that the blame names, or the object as a whole.
fn written(way: Way, blame: &Blame) -> Vec<Key> {
    match way {
        Way::Gone | Way::Recreated => vec![Key::special("object")],
        _ if blame.fields.is_empty() => vec![Key::special(&format!("{way:?}"))],
        _ => {
            let more = (blame.more > 0).then(|| Key::special("more"));
            blame.fields.iter().map(|field| Key::of(&field.path)).chain(more).collect()
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Field {
    heals: u32,
    /// When it was last healed for its own sake.
    healed: Duration,
    /// When it was last found to be written.
    seen: Duration,
    delay: Duration,
    /// How often it was healed since it came to be contested.
    contested: Option<u32>,
    /// Known once it is contested, where it has one.
    path: Option<String>,
    /// Who wrote it, in the order in which they came.
    managers: Vec<Arc<str>>,
}

impl Field {
    fn is_contested(&self) -> bool {
        self.contested.is_some()
    }

    /// Counts a heal for its own sake. Whether it has just come to be contested.
    fn count(&mut self, now: Duration) -> bool {
        self.heals += 1;
        self.healed = now;
        let enough = if self.managers.len() > 1 { CONTESTED_BY_SEVERAL } else { CONTESTED };
        let before = self.contested;
        self.contested = before.map(|heals| heals + 1).or((self.heals >= enough).then_some(0));
        if let Some(heals) = self.contested {
            self.delay = FIRST_DELAY.saturating_mul(1 << heals.min(16)).min(LONGEST_DELAY);
        }
        before.is_none() && self.contested.is_some()
    }

    fn until(&self) -> Duration {
        self.healed + self.delay
    }

    fn forgotten_at(&self) -> Duration {
        self.seen + SHORTEST_MEMORY.max(self.delay * 2)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Object {
    fields: BTreeMap<Key, Field>,
    /// Which fields a way of drifting concerned, so that a change of it needs no request.
    ways: BTreeMap<Way, Vec<Key>>,
    /// As of its last heal.
    uid: Option<Arc<str>>,
    /// The manager who wrote last.
    newest: Option<Arc<str>>,
}

impl Object {
    fn field(&self, key: Key) -> Option<&Field> {
        let rest = || self.fields.get(&Key::rest()).filter(|_| self.fields.len() >= MOST_FIELDS);
        self.fields.get(&key).or_else(rest)
    }

    /// Before when a drift of these fields is not to be healed: all of them wait.
    fn delayed_until(&self, keys: &[Key], now: Duration) -> Option<Duration> {
        let mut earliest = None;
        for key in keys {
            let until = self.field(*key).map(Field::until).filter(|until| *until > now)?;
            earliest = Some(earliest.map_or(until, |known: Duration| known.min(until)));
        }
        earliest
    }

    fn is_contested(&self) -> bool {
        self.fields.values().any(Field::is_contested)
    }

    fn contested(&self, object: &ObjectId) -> Option<Contested> {
        let mut contested: Vec<&Field> = self.fields.values().filter(|field| field.is_contested()).collect();
        contested.sort_by_key(|field| (Reverse(field.heals), &field.path));
        let fields = contested.iter().filter_map(|field| field.path.clone()).take(MOST_NAMED).collect();
        let mut managers: Vec<Arc<str>> = Vec::new();
        for manager in contested.iter().flat_map(|field| &field.managers) {
            if managers.len() < MOST_MANAGERS && !managers.contains(manager) {
                managers.push(Arc::clone(manager));
            }
        }
        Some(Contested {
            object: object.clone(),
            manager: self.newest.clone().or_else(|| managers.first().cloned()),
            managers,
            fields,
            heals: contested.first()?.heals,
            until: contested.iter().map(|field| field.until()).max()?,
        })
    }
}

/// What is to be reported of the contests over one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contested {
    pub object: ObjectId,
    /// Who wrote last.
    pub manager: Option<Arc<str>>,
    /// All who write.
    pub managers: Vec<Arc<str>>,
    pub fields: Vec<String>,
    /// Of the field that was healed most often.
    pub heals: u32,
    /// When the last of the fields may be healed again.
    pub until: Duration,
}

/// The contests of one sync. Times are monotonic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Contests {
    objects: BTreeMap<ObjectId, Object>,
    /// How many fields are counted.
    counted: usize,
    /// Nothing is forgotten before this.
    next: Option<Duration>,
}

impl Contests {
    pub fn see(&mut self, frame: &Frame) {
        for field in self.objects.values_mut().flat_map(|object| object.fields.values_mut()) {
            frame.began(&mut field.healed);
            frame.began(&mut field.seen);
        }
        self.next.iter_mut().for_each(|next| frame.due(next));
    }

    /// Before when a change of this drift needs no closer examination: all fields that it concerned when it was
    /// last seen wait.
    pub fn delayed_until(&self, id: &ObjectId, way: Way, now: Duration) -> Option<Duration> {
        let object = self.objects.get(id)?;
        object.delayed_until(object.ways.get(&way)?, now)
    }

    /// Before when a drift that was examined is not to be healed.
    pub fn examined(&mut self, id: &ObjectId, way: Way, blame: &Blame, now: Duration) -> Option<Duration> {
        let object = self.objects.get_mut(id)?;
        let keys = written(way, blame);
        let until = object.delayed_until(&keys, now)?;
        if object.ways.len() >= MOST_WAYS {
            object.ways.clear();
        }
        object.ways.insert(way, keys);
        Some(until)
    }

    /// A drift was healed. Something to report when the object is contested, `true` when more of it
    /// has just come to be.
    pub fn healed(
        &mut self,
        id: &ObjectId,
        uid: Option<&Arc<str>>,
        way: Way,
        blame: &Blame,
        now: Duration,
    ) -> Option<(Contested, bool)> {
        let object = self.objects.entry(id.clone()).or_default();
        object.uid = uid.cloned();
        object.newest.clone_from(&blame.manager);
        let keys = written(way, blame);
        let mut more = false;
        // The rest shares a key, and counts once.
        let mut done = BTreeSet::new();
        for (at, key) in keys.iter().enumerate() {
            let full = object.fields.len() >= MOST_FIELDS && !object.fields.contains_key(key);
            let key = if full { Key::rest() } else { *key };
            if !done.insert(key) {
                continue;
            }
            let known = object.fields.contains_key(&key);
            if !known && self.counted >= MOST_COUNTED {
                continue;
            }
            self.counted += usize::from(!known);
            let field = object.fields.entry(key).or_default();
            if field.heals > 0 && now >= field.forgotten_at() {
                *field = Field::default();
            }
            field.seen = now;
            let change = blame.fields.get(at).filter(|_| !full);
            let manager = change.and_then(|change| change.manager.as_ref()).or(blame.manager.as_ref());
            if let Some(manager) = manager.filter(|manager| !field.managers.contains(manager))
                && field.managers.len() < MOST_MANAGERS
            {
                field.managers.push(Arc::clone(manager));
            }
            // Put back along with another field before its time: no heal of its own.
            if field.heals > 0 && field.until() > now {
                continue;
            }
            more |= field.count(now);
            if field.is_contested() && field.path.is_none() && way != Way::Gone && way != Way::Recreated {
                field.path = change.map(|change| change.path.clone());
            }
            let forgotten = field.forgotten_at();
            self.next = Some(self.next.map_or(forgotten, |next| next.min(forgotten)));
        }
        if object.fields.is_empty() {
            self.objects.remove(id);
            return None;
        }
        if object.ways.len() >= MOST_WAYS {
            object.ways.clear();
        }
        object.ways.insert(way, keys);
        object.contested(id).map(|contested| (contested, more))
    }

    /// Forgets what did not come back. The objects that are contested no longer, with the UID as of
    /// their last heal.
    pub fn forget(&mut self, now: Duration) -> Vec<(ObjectId, Option<Arc<str>>)> {
        let mut over = Vec::new();
        self.objects.retain(|id, object| {
            let contested = object.is_contested();
            object.fields.retain(|_, field| now < field.forgotten_at());
            if contested && !object.is_contested() {
                over.push((id.clone(), object.uid.clone()));
            }
            !object.fields.is_empty()
        });
        let fields = || self.objects.values().flat_map(|object| object.fields.values());
        self.counted = fields().count();
        self.next = fields().map(Field::forgotten_at).min();
        over
    }

    /// When there may be something to forget.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// How many objects are contested.
    pub fn len(&self) -> usize {
        self.objects.values().filter(|object| object.is_contested()).count()
    }

    /// The contests there are, one an object.
    pub fn list(&self) -> Vec<Contested> {
        self.objects.iter().filter_map(|(id, object)| object.contested(id)).collect()
    }
}

#[cfg(test)]
mod tests;
