//! A LIST that is older than what was seen: the cache behind it lags, or etcd was restored to an
//! older state. Single objects show which, and they are read from etcd itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LiveStore;
use crate::object::version::is_older;
use crate::object::{GroupKind, ObjectId, Observed};

/// So many objects are asked about at most: each of them that still exists decides.
pub(in crate::cluster) const MOST_SUSPICIONS: usize = 8;

/// What a LIST says that is older than what was seen.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Outdated {
    /// The newest version that was seen.
    pub seen: Arc<str>,
    /// Objects of which it says something else than what is known: some of them.
    pub suspicions: Vec<Suspicion>,
}

/// One object, with its resource versions; `None` where there is no such object.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Suspicion {
    pub id: ObjectId,
    pub known: Option<Arc<str>>,
    pub listed: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Verdict {
    /// What the LIST says is what is there.
    WentBack,
    /// What it says is of the past.
    Lags,
}

impl LiveStore {
    /// Whether a LIST of a kind, of one namespace or of all, is older than what was seen: by the watch
    /// (`watched`), or of any single object. `None`: it is not.
    pub fn outdated(
        &self,
        gk: &GroupKind,
        namespace: Option<&str>,
        list: &[Observed],
        version: &str,
        watched: Option<&Arc<str>>,
    ) -> Option<Outdated> {
        let known = || self.in_place(gk, namespace);
        let newest = |newest: Option<Arc<str>>, version: &Arc<str>| match newest {
            Some(newest) if !is_older(&newest, version) => Some(newest),
            _ => Some(Arc::clone(version)),
        };
        let newer = known().map(|(_, live)| &live.resource_version).chain(watched).filter(|one| is_older(version, one));
        let seen = newer.fold(None, newest)?;
        let listed: BTreeMap<&ObjectId, &Arc<str>> =
            list.iter().filter(|live| self.is_member(live)).map(|live| (&live.id, &live.resource_version)).collect();
        let of_known = known().filter_map(|(id, live)| {
            let (known, listed) = (&live.resource_version, listed.get(id).copied());
            let suspicion = || Suspicion { id: id.clone(), known: Some(Arc::clone(known)), listed: listed.cloned() };
            (listed != Some(known)).then(suspicion)
        });
        let unknown = listed.iter().filter(|(id, _)| !self.members.contains_key(**id));
        let of_unknown = unknown.map(|(id, version)| Suspicion {
            id: (*id).clone(),
            known: None,
            listed: Some(Arc::clone(version)),
        });
        // First those whose existence alone decides: they are newer than the LIST can know.
        let (decisive, others): (Vec<_>, Vec<_>) =
            of_known.partition(|suspicion| suspicion.known.as_ref().is_some_and(|known| is_older(version, known)));
        let suspicions = decisive.into_iter().chain(others).chain(of_unknown).take(MOST_SUSPICIONS).collect();
        Some(Outdated { seen, suspicions })
    }
}

/// What the suspicious objects prove. `now` are their resource versions as read from etcd after the LIST, in
/// the same order.
pub(in crate::cluster) fn verdict(suspicions: &[Suspicion], now: &[Option<Arc<str>>]) -> Verdict {
    // In one history no version goes down, and what is gone does not come back as it was.
    let impossible = |(suspicion, now): (&Suspicion, &Option<Arc<str>>)| match (&suspicion.known, now) {
        (Some(known), Some(now)) => is_older(now, known),
        (None, Some(_)) => *now == suspicion.listed,
        (_, None) => false,
    };
    let agrees = |(suspicion, now): (&Suspicion, &Option<Arc<str>>)| *now == suspicion.listed;
    let mut all = suspicions.iter().zip(now);
    if all.clone().any(impossible) || all.all(agrees) { Verdict::WentBack } else { Verdict::Lags }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<Arc<str>> {
        (!text.is_empty()).then(|| text.into())
    }

    /// The verdict about one object: as it is known, as it is listed at version 100, and as it is now.
    fn of(known: &str, listed: &str, now: &str) -> Verdict {
        let id = ObjectId::new("", "ConfigMap", Some("shop"), "a");
        verdict(&[Suspicion { id, known: version(known), listed: version(listed) }], &[version(now)])
    }

    #[test]
    fn an_object_that_is_older_than_known_proves_that_history_went_back() {
        assert_eq!(of("500", "90", "90"), Verdict::WentBack);
        assert_eq!(of("500", "90", "101"), Verdict::WentBack, "changed since");
        assert_eq!(of("500", "", "101"), Verdict::WentBack, "made again since");
        assert_eq!(of("", "90", "90"), Verdict::WentBack, "it was gone, and is there as it was");
    }

    #[test]
    fn an_object_that_is_as_known_proves_that_the_list_is_of_the_past() {
        assert_eq!(of("500", "90", "500"), Verdict::Lags);
        assert_eq!(of("500", "90", "501"), Verdict::Lags);
        assert_eq!(of("500", "", "500"), Verdict::Lags);
        assert_eq!(of("", "90", ""), Verdict::Lags, "gone, and the list does not know");
        assert_eq!(of("500", "90", ""), Verdict::Lags, "the same");
    }

    #[test]
    fn a_list_all_of_which_is_true_can_be_used_whatever_its_version() {
        assert_eq!(of("500", "", ""), Verdict::WentBack);
        assert_eq!(verdict(&[], &[]), Verdict::WentBack);
    }
}
