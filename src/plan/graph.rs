//! Circles among things that wait for each other, found without recursion and in linear time: how
//! deep the graph is comes from a repository.

use std::fmt::Display;

/// Members of a circle that are named; of a longer one, the rest is counted.
const NAMED: usize = 6;
const UNSEEN: usize = usize::MAX;

/// The strongly connected components of a graph: its circles, and what is in none by itself.
pub(super) struct Components {
    /// Each comes after all components that it points at; the members of each are in no order.
    pub list: Vec<Vec<usize>>,
    /// The component of each node, by its position in `list`.
    pub of: Vec<usize>,
}

/// A node on the way that the search has gone.
struct Visit {
    node: usize,
    /// Its edges that were followed.
    followed: usize,
}

/// Finds the components (Tarjan 1972, with a stack of its own). `edges` has the nodes that each node
/// points at, all of them below `edges.len()`.
pub(super) fn components(edges: &[Vec<usize>]) -> Components {
    let mut found = Components { list: Vec::new(), of: vec![UNSEEN; edges.len()] };
    // When a node was seen first, and the earliest node of an open component that it leads to.
    let mut seen = vec![UNSEEN; edges.len()];
    let mut lowest = vec![UNSEEN; edges.len()];
    let (mut open, mut path, mut count) = (Vec::new(), Vec::new(), 0);
    for root in 0..edges.len() {
        if seen[root] == UNSEEN {
            path.push(Visit { node: root, followed: 0 });
        }
        while let Some(Visit { node, followed }) = path.last_mut() {
            let node = *node;
            if seen[node] == UNSEEN {
                (seen[node], lowest[node]) = (count, count);
                count += 1;
                open.push(node);
            }
            if let Some(&to) = edges[node].get(*followed) {
                *followed += 1;
                if seen[to] == UNSEEN {
                    path.push(Visit { node: to, followed: 0 });
                } else if found.of[to] == UNSEEN {
                    lowest[node] = lowest[node].min(seen[to]);
                }
                continue;
            }
            path.pop();
            if let Some(before) = path.last() {
                lowest[before.node] = lowest[before.node].min(lowest[node]);
            }
            if lowest[node] == seen[node] {
                let from = open.iter().rposition(|other| *other == node).unwrap_or_default();
                let members = open.split_off(from);
                for member in &members {
                    found.of[*member] = found.list.len();
                }
                found.list.push(members);
            }
        }
    }
    found
}

impl Components {
    /// A circle in a component, each node before the one that it points at, beginning with the
    /// lowest; empty where the component has none.
    pub fn circle(&self, component: usize, edges: &[Vec<usize>]) -> Vec<usize> {
        let members = &self.list[component];
        let within = |node: usize| edges[node].iter().copied().find(|to| self.of[*to] == component);
        let Some(mut here) = members.iter().copied().min() else { return Vec::new() };
        let mut places = std::collections::BTreeMap::new();
        let mut walk = Vec::new();
        while let std::collections::btree_map::Entry::Vacant(place) = places.entry(here) {
            let Some(next) = within(here) else { return Vec::new() };
            place.insert(walk.len());
            walk.push(here);
            here = next;
        }
        let mut circle = walk.split_off(places[&here]);
        let lowest = circle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
        circle.rotate_left(lowest);
        circle
    }
}

/// `a -> b -> a`; of a long circle the first members and how many there are more.
pub(super) fn spelled<T: Display>(circle: &[T]) -> String {
    let mut words: Vec<String> = circle.iter().take(NAMED).map(ToString::to_string).collect();
    if circle.len() > NAMED {
        words.push(format!("({} more)", circle.len() - NAMED));
    }
    words.extend(circle.first().map(ToString::to_string));
    words.join(" -> ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_circle_is_spelled_out_in_few_words() {
        assert_eq!(spelled(&["a"]), "a -> a");
        assert_eq!(spelled(&["a", "b"]), "a -> b -> a");
        let long: Vec<usize> = (0..20_000).collect();
        assert_eq!(spelled(&long), "0 -> 1 -> 2 -> 3 -> 4 -> 5 -> (19994 more) -> 0");
    }

    #[test]
    fn neither_a_long_chain_nor_a_long_circle_needs_the_stack() {
        let length = 1_000_000;
        let mut edges: Vec<Vec<usize>> = (0..length).map(|node| vec![node + 1]).collect();
        edges.push(Vec::new());
        let chain = components(&edges);
        assert_eq!(chain.list.len(), length + 1);
        assert_eq!(chain.list[0], [length], "what the others need comes first");
        edges[length].push(0);
        let ring = components(&edges);
        assert_eq!(ring.list.len(), 1);
        assert_eq!(ring.circle(0, &edges).len(), length + 1);
    }

    proptest! {
        #[test]
        fn two_nodes_are_in_one_component_exactly_when_each_leads_to_the_other(
            pairs in prop::collection::vec((0..8_usize, 0..8_usize), 0..24),
        ) {
            let mut edges = vec![Vec::new(); 8];
            let mut reach = [[false; 8]; 8];
            for (from, to) in pairs {
                edges[from].push(to);
                reach[from][to] = true;
            }
            for via in 0..8 {
                for from in 0..8 {
                    for to in 0..8 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            let found = components(&edges);
            for from in 0..8 {
                for (to, back) in reach.iter().enumerate() {
                    let same = from == to || reach[from][to] && back[from];
                    prop_assert_eq!(found.of[from] == found.of[to], same);
                    prop_assert!(!reach[from][to] || found.of[to] <= found.of[from], "dependencies first");
                }
                let circle = found.circle(found.of[from], &edges);
                prop_assert_eq!(!circle.is_empty(), found.list[found.of[from]].iter().any(|node| reach[*node][*node]));
                let ends = circle.iter().zip(circle.iter().skip(1).chain(circle.first()));
                for (one, next) in ends {
                    prop_assert!(edges[*one].contains(next));
                }
            }
        }
    }
}
