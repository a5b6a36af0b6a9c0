//! A shorter story of what went wrong: actions are left out, first many at once and then one by
//! one, as long as what is left still fails (delta debugging).

use std::time::{Duration, Instant};

use super::action::Plot;
use super::run::Failure;

/// A failure may depend on how things fell; without it in so many tries, it needs what was left out.
const TRIES: usize = 2;

/// Searches for at most `patience`.
pub fn shortest<T>(
    mut plot: Plot,
    mut failure: Failure,
    patience: Duration,
    run: impl Fn(&Plot) -> Result<T, Failure>,
) -> (Plot, Failure) {
    let until = Instant::now() + patience;
    let mut size = plot.actions.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < plot.actions.len() {
            let mut shorter = plot.clone();
            shorter.actions.drain(at..(at + size).min(plot.actions.len()));
            let found = (0..TRIES).find_map(|_| if Instant::now() < until { run(&shorter).err() } else { None });
            match found {
                Some(found) => (plot, failure) = (shorter, found),
                None => at += size,
            }
        }
        size /= 2;
    }
    (plot, failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::action::Action;

    #[test]
    fn what_is_left_of_a_failing_run_is_what_it_needs() {
        let needed = [Action::Kill, Action::Stop];
        let fails = |plot: &Plot| {
            let there = needed.iter().all(|action| plot.actions.contains(action));
            let failure = Failure { what: "lost".into(), last: Vec::new() };
            if there { Err(failure) } else { Ok(()) }
        };
        let mut actions = vec![Action::Calm; 13];
        actions.insert(4, Action::Kill);
        actions.insert(9, Action::Stop);
        let plot = Plot { first: super::super::declared::State::default(), syncs: Vec::new(), actions };
        let failure = Failure { what: "lost".into(), last: Vec::new() };
        let (plot, _) = shortest(plot, failure, Duration::from_secs(10), fails);
        assert_eq!(plot.actions, needed);
    }

    #[test]
    fn a_seed_always_gives_the_same_run() {
        let shown = |seed| format!("{:?}", Plot::of(seed));
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
    }
}
