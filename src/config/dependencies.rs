//! What must hold between syncs: names are unique, `dependsOn` names syncs that exist, and no
//! sync waits for itself by way of others.

use std::collections::HashMap;

use super::error::{Located, shown};
use super::yaml::At;

/// What one sync says of itself and of others.
pub(super) struct Declared<'a> {
    pub name: &'a At<String>,
    pub depends_on: &'a [At<String>],
}

/// All that is wrong between the syncs.
pub(super) fn check(syncs: &[Declared<'_>]) -> Vec<Located> {
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

/// Every circle once, spelled out. Takes away what waits for nothing, again and again; what is
/// left contains a circle, which is found by walking and then taken away as well.
fn cycles(syncs: &[Declared<'_>], waits: &[Vec<Wait<'_>>]) -> Vec<Located> {
    let mut problems = Vec::new();
    let mut open = vec![true; syncs.len()];
    loop {
        let next = |open: &[bool], from: usize| waits[from].iter().find(|wait| open[wait.on]);
        while let Some(free) = (0..open.len()).find(|index| open[*index] && next(&open, *index).is_none()) {
            open[free] = false;
        }
        let Some(mut here) = open.iter().position(|open| *open) else { return problems };
        let mut walk: Vec<(usize, &Wait<'_>)> = Vec::new();
        while let Some(wait) = next(&open, here).filter(|_| walk.iter().all(|(seen, _)| *seen != here)) {
            walk.push((here, wait));
            here = wait.on;
        }
        let mut circle: Vec<_> = walk.into_iter().skip_while(|(seen, _)| *seen != here).collect();
        // Begins with the sync that stands first in the file.
        let first = circle.iter().enumerate().min_by_key(|(_, (sync, _))| *sync).map_or(0, |(at, _)| at);
        circle.rotate_left(first);
        let Some((start, wait)) = circle.first() else { return problems };
        let mut spelled: Vec<&str> = circle.iter().map(|(sync, _)| str_of(syncs[*sync].name)).collect();
        spelled.push(str_of(syncs[*start].name));
        problems.push(wait.at.problem(format!(
            "these syncs wait for each other: {}; take one of them out of dependsOn",
            spelled.join(" -> "),
        )));
        for (sync, _) in circle {
            open[sync] = false;
        }
    }
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
        let spelled = |problem: &Located| {
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
