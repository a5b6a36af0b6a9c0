//! What must hold between syncs: names are unique, `dependsOn` names syncs that exist, and no
//! sync waits for itself by way of others.

use std::collections::HashMap;

use super::error::{ConfigProblem, shown};
use super::yaml::At;

/// Syncs of a circle that are named; of a longer one, the rest is counted.
const SPELLED: usize = 10;

/// What one sync says of itself and of others.
pub(super) struct Declared<'a> {
    pub name: &'a At<String>,
    pub depends_on: &'a [At<String>],
}

/// All that is wrong between the syncs.
pub(super) fn check(syncs: &[Declared<'_>]) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (index, sync) in syncs.iter().enumerate() {
        let name = sync.name;
        if let Some(first) = known.get(name.value.as_str()).and_then(|index| syncs.get(*index)) {
            problems.push(name.problem(format!(
                "the name {} is taken by the sync on line {}, column {}; names are unique",
                shown(&name.value),
                first.name.line,
                first.name.column,
            )));
        } else {
            known.insert(&name.value, index);
        }
    }
    let waits: Vec<Vec<Wait<'_>>> = syncs
        .iter()
        .map(|sync| {
            let resolve = |at| known.get(str_of(at)).map(|on| Wait { on: *on, at });
            for at in sync.depends_on.iter().filter(|at| resolve(at).is_none()) {
                problems.push(at.problem(format!("no sync has the name {}; {}", shown(&at.value), names(syncs))));
            }
            sync.depends_on.iter().filter_map(resolve).collect()
        })
        .collect();
    problems.extend(cycles(syncs, &waits));
    problems
}

fn str_of(at: &At<String>) -> &str {
    &at.value
}

fn names(syncs: &[Declared<'_>]) -> String {
    let names: Vec<&str> = syncs.iter().map(|sync| str_of(sync.name)).take(10).collect();
    let more = if syncs.len() > names.len() { ", …" } else { "" };
    format!("there are {}{more}", names.join(", "))
}

/// One entry of `dependsOn`: the sync that it waits for, by its index, and where that is said.
struct Wait<'a> {
    on: usize,
    at: &'a At<String>,
}

/// Every circle once, spelled out: what was found is removed before the search goes on. Linear, and
/// without recursion.
fn cycles(syncs: &[Declared<'_>], waits: &[Vec<Wait<'_>>]) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut open = vec![true; syncs.len()];
    // Of each sync how many of its entries were followed, and where on the walk it is.
    let mut followed = vec![0; syncs.len()];
    let mut places: Vec<Option<usize>> = vec![None; syncs.len()];
    for start in 0..syncs.len() {
        let mut walk: Vec<usize> = Vec::new();
        if open[start] {
            places[start] = Some(0);
            walk.push(start);
        }
        while let Some(&here) = walk.last() {
            while waits[here].get(followed[here]).is_some_and(|wait| !open[wait.on]) {
                followed[here] += 1;
            }
            let Some(wait) = waits[here].get(followed[here]) else {
                open[here] = false;
                walk.pop();
                continue;
            };
            let Some(from) = places[wait.on] else {
                places[wait.on] = Some(walk.len());
                walk.push(wait.on);
                continue;
            };
            let circle = walk.split_off(from);
            problems.extend(problem(syncs, &circle, |sync| waits[sync].get(followed[sync])));
            for sync in circle {
                open[sync] = false;
            }
        }
    }
    problems
}

/// Spells out a circle, beginning with the sync that stands first in the file.
fn problem<'w>(
    syncs: &[Declared<'_>],
    circle: &[usize],
    next: impl Fn(usize) -> Option<&'w Wait<'w>>,
) -> Option<ConfigProblem> {
    let first = circle.iter().enumerate().min_by_key(|(_, sync)| **sync).map_or(0, |(at, _)| at);
    let names = circle.iter().cycle().skip(first).take(circle.len()).map(|sync| str_of(syncs[*sync].name));
    let mut spelled: Vec<String> = names.clone().take(SPELLED).map(ToOwned::to_owned).collect();
    if circle.len() > SPELLED {
        spelled.push(format!("({} more)", circle.len() - SPELLED));
    }
    spelled.extend(spelled.first().cloned());
    Some(next(*circle.get(first)?)?.at.problem(format!(
        "these syncs wait for each other: {}; take one of them out of dependsOn",
        spelled.join(" -> "),
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Syncs `0`, `1`, … and for each those it waits for.
    fn circles(waits: &[Vec<usize>]) -> Vec<String> {
        let at = |index: usize| At { value: index.to_string(), line: 1, column: 1 };
        let raw: Vec<_> = waits
            .iter()
            .enumerate()
            .map(|(name, on)| (at(name), on.iter().map(|on| at(*on)).collect::<Vec<_>>()))
            .collect();
        let declared: Vec<_> = raw.iter().map(|(name, depends_on)| Declared { name, depends_on }).collect();
        let spelled = |problem: &ConfigProblem| {
            problem.message.split(": ").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default().to_owned()
        };
        check(&declared).iter().map(spelled).collect()
    }

    #[test]
    fn circles_are_spelled_out_each_once() {
        assert_eq!(circles(&[vec![0]]), ["0 -> 0"]);
        assert_eq!(circles(&[vec![1], vec![0]]), ["0 -> 1 -> 0"]);
        assert_eq!(circles(&[vec![2], vec![2], vec![3], vec![1], vec![3]]), ["1 -> 2 -> 3 -> 1"]);
        assert_eq!(circles(&[vec![1], vec![0], vec![3], vec![2, 0]]), ["0 -> 1 -> 0", "2 -> 3 -> 2"]);
        assert!(circles(&[vec![1, 2], vec![2], vec![]]).is_empty());
    }

    #[test]
    fn a_long_chain_and_a_long_circle_take_no_time_and_few_words() {
        let length = 20_000;
        let mut waits: Vec<Vec<usize>> = (0..length).map(|index| vec![(index + 1) % length]).collect();
        let began = std::time::Instant::now();
        let expected = "0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> (19990 more) -> 0";
        assert_eq!(circles(&waits), [expected]);
        waits[length - 1].clear();
        assert!(circles(&waits).is_empty());
        let backwards: Vec<Vec<usize>> =
            (0..length).map(|index: usize| index.checked_sub(1).into_iter().collect()).collect();
        assert!(circles(&backwards).is_empty());
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn there_is_a_circle_exactly_when_something_reaches_itself(
            edges in proptest::collection::vec((0..6_usize, 0..6_usize), 0..12),
        ) {
            let mut waits = vec![Vec::new(); 6];
            let mut reach = [[false; 6]; 6];
            for (from, to) in edges {
                waits[from].push(to);
                reach[from][to] = true;
            }
            for via in 0..6 {
                for from in 0..6 {
                    for to in 0..6 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            let looped = (0..6).any(|node| reach[node][node]);
            prop_assert_eq!(!circles(&waits).is_empty(), looped);
        }
    }
}
