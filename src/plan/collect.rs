//! Many problems in few words: what is said of many objects in the same words is reported once.

use std::collections::BTreeMap;

use super::Problem;

/// The longest message of a problem, in characters: what a webhook says has no bound of its own.
const LONGEST: usize = 2000;

impl Problem {
    /// The same with a message that is not too long to be stored and shown.
    #[must_use]
    pub fn clipped(mut self) -> Self {
        if let Some((end, _)) = self.message.char_indices().nth(LONGEST) {
            self.message.truncate(end);
            self.message.push_str(" … (cut off)");
        }
        self
    }
}

/// One problem for all that have the same message and are about objects of one kind in one
/// namespace: of how many objects, and the first of them. The order is that of the first ones.
#[must_use]
pub fn collect(problems: &[Problem]) -> Vec<Problem> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<(&Problem, usize)> = Vec::new();
    for problem in problems {
        let about = problem.object.as_ref().map(|id| (&id.gk, id.namespace.as_deref()));
        let Some(about) = about else {
            groups.push((problem, 1));
            continue;
        };
        let at = *places.entry((about, &problem.message)).or_insert_with(|| {
            groups.push((problem, 0));
            groups.len() - 1
        });
        if let Some((_, count)) = groups.get_mut(at) {
            *count += 1;
        }
    }
    let joined = |(first, count): (&Problem, usize)| match &first.object {
        Some(id) if count > 1 => {
            let place = id.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
            let origin = first.origin.as_ref().map(|origin| format!(", {origin}")).unwrap_or_default();
            let message = &first.message;
            Problem::general(format!(
                "{count} objects of kind {}{place} (the first: {}{origin}): {message}",
                id.gk, id.name
            ))
        }
        _ => first.clone(),
    };
    groups.into_iter().map(|group| joined(group).clipped()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectId, Origin};

    fn problem(namespace: &str, name: &str, message: &str) -> Problem {
        let origin = Origin { file: format!("{name}.yaml").into(), line: 1 };
        let object = ObjectId::new("apps", "Deployment", Some(namespace), name);
        Problem { object: Some(object), origin: Some(origin), message: message.into() }
    }

    #[test]
    fn the_same_problem_of_many_objects_is_one_line_a_kind_and_namespace() {
        let mut problems: Vec<Problem> =
            (0..500).map(|number| problem(["a", "b"][number % 2], &format!("web-{number}"), "no permission")).collect();
        problems.insert(1, problem("a", "odd", "invalid"));
        problems.push(Problem::general("no permission"));
        let lines: Vec<String> = collect(&problems).iter().map(ToString::to_string).collect();
        let [first, odd, second, general] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(first, "250 objects of kind Deployment.apps in a (the first: web-0, web-0.yaml:1): no permission");
        assert_eq!(odd, "Deployment a/odd (odd.yaml:1): invalid");
        assert!(second.starts_with("250 objects of kind Deployment.apps in b"), "{second}");
        assert_eq!(general, "no permission");
    }

    #[test]
    fn a_message_is_never_longer_than_its_bound() {
        let long = Problem::general("ä".repeat(LONGEST + 1)).clipped();
        assert_eq!(long.message.chars().count(), LONGEST + " … (cut off)".chars().count());
        let short = Problem::general("ä".repeat(LONGEST));
        assert_eq!(short.clone().clipped(), short);
    }
}
