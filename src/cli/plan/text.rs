//! A plan as text for a terminal, and as Markdown for a pull request.

use super::report::{PlannedStep, SyncPlan};
use crate::cli::paint::Paint;
use crate::object::Displayed;

/// Lines of a diff that are shown of an object that is created: its beginning says enough.
const NEW_OBJECT_LINES: usize = 12;
/// Lines that are shown of a change.
const CHANGED_LINES: usize = 60;

/// How many lines of a step's diff are shown.
fn limit(step: &PlannedStep, full: bool) -> usize {
    match step.verb {
        _ if full => usize::MAX,
        "create" => NEW_OBJECT_LINES,
        _ => CHANGED_LINES,
    }
}

/// Of a diff what stands beyond the limit, in words.
fn more(step: &PlannedStep, limit: usize) -> Option<String> {
    let more = step.diff.len().saturating_sub(limit);
    (more > 0).then(|| format!("… {more} more lines; --full shows all"))
}

pub(super) fn text(plans: &[SyncPlan], full: bool) -> String {
    let paint = Paint::stdout();
    plans.iter().map(|plan| one(plan, full, paint)).collect::<Vec<_>>().join("\n")
}

fn one(plan: &SyncPlan, full: bool, paint: Paint) -> String {
    let mut out =
        format!("{}  {} {}\n", paint.bold(&plan.sync), plan.commit, paint.dim(&Displayed(&plan.subject).to_string()));
    for step in &plan.steps {
        let origin = step.origin.as_ref().map(|origin| format!("  {origin}")).unwrap_or_default();
        let head = format!("{} {:<9} {}", sign(step), label(step), step.object);
        out += &format!(
            "{}  {}{}\n",
            coloured(step, &head, paint),
            paint.dim(&Displayed(&step.reason).to_string()),
            paint.dim(&origin)
        );
        let limit = limit(step, full);
        for line in step.diff.iter().take(limit) {
            out += &format!("    {}\n", diff_line(line, paint));
        }
        if let Some(more) = more(step, limit) {
            out += &format!("    {}\n", paint.dim(&more));
        }
    }
    for problem in &plan.problems {
        out += &format!("{} {problem}\n", paint.red("error:"));
    }
    if let Some(held) = &plan.held {
        let commit = held.commit.get(..12).unwrap_or(&held.commit);
        out += &format!(
            "{} {}; nothing is deleted until `driftless approve {}` for commit {commit}\n",
            paint.yellow("held:"),
            Displayed(&held.reason),
            plan.sync
        );
    }
    for note in &plan.notes {
        out += &format!("{} {}\n", paint.dim("note:"), Displayed(note));
    }
    out + &paint.bold(&summary(plan)) + "\n"
}

fn summary(plan: &SyncPlan) -> String {
    let unread = match plan.unread {
        0 => String::new(),
        unread => format!(", {unread} could not be read"),
    };
    if !plan.changes() && plan.problems.is_empty() {
        let nothing = if plan.unread > 0 { "nothing that could be read is to change" } else { "nothing is to change" };
        let are = if plan.unchanged == 1 { "object is" } else { "objects are" };
        return format!("{}: {nothing}, {} {are} as in git{unread}", plan.sync, plan.unchanged);
    }
    let replace = if plan.replace == 0 { String::new() } else { format!("{} to replace (deletes), ", plan.replace) };
    let held = match &plan.held {
        Some(held) => format!(", {} to delete once that is approved", held.prune),
        None => String::new(),
    };
    format!(
        "{}: {} to create, {} to configure, {replace}{} to prune, {} unchanged{held}{unread}",
        plan.sync, plan.create, plan.configure, plan.prune, plan.unchanged
    )
}

/// The verb, with what it may hide.
fn label(step: &PlannedStep) -> &'static str {
    if step.verb == "replace" { "replace (deletes)" } else { step.verb }
}

fn sign(step: &PlannedStep) -> &'static str {
    match step.verb {
        "create" => "+",
        "configure" => "~",
        "prune" | "detach" => "-",
        "replace" => "±",
        "refuse" => "!",
        _ => " ",
    }
}

fn coloured(step: &PlannedStep, text: &str, paint: Paint) -> String {
    match step.verb {
        "create" => paint.green(text),
        "configure" | "wait" | "report" => paint.yellow(text),
        "prune" | "detach" | "refuse" | "replace" => paint.red(text),
        _ => text.to_owned(),
    }
}

fn diff_line(line: &str, paint: Paint) -> String {
    match line.as_bytes().first() {
        Some(b'+') => paint.green(line),
        Some(b'-') => paint.red(line),
        Some(b'@') => paint.dim(line),
        _ => line.to_owned(),
    }
}

pub(super) fn markdown(plans: &[SyncPlan], full: bool) -> String {
    // A column of its own only where it says something.
    let replaces = plans.iter().any(|plan| plan.replace > 0);
    let column = |text: &'static str| if replaces { text } else { "" };
    let (head, rule) = (column(" replace (deletes) |"), column(" --- |"));
    let mut out = format!(
        "### driftless plan\n\n| sync | commit | create | configure |{head} prune | unchanged |\n| --- | --- | --- | --- |{rule} --- | --- |\n"
    );
    for plan in plans {
        let replace = Some(plan.replace).filter(|_| replaces);
        let figures = [Some(plan.create), Some(plan.configure), replace, Some(plan.prune), Some(plan.unchanged)];
        let figures: Vec<String> = figures.into_iter().flatten().map(|figure| figure.to_string()).collect();
        out += &format!("| {} | `{}` | {} |\n", plan.sync, plan.commit, figures.join(" | "));
    }
    for plan in plans {
        for problem in &plan.problems {
            out += &format!("\n- **error** in {}: {}\n", plan.sync, inline(&problem.to_string()));
        }
        if let Some(held) = &plan.held {
            out += &format!("\n- **held** in {}: {}\n", plan.sync, inline(&held.reason));
        }
        for note in &plan.notes {
            out += &format!("\n- note on {}: {}\n", plan.sync, inline(note));
        }
        for step in &plan.steps {
            let (verb, object, reason) = (label(step), step.object.to_string(), &step.reason);
            let limit = limit(step, full);
            let mut lines: Vec<&str> = step.diff.iter().take(limit).map(String::as_str).collect();
            let more = more(step, limit);
            lines.extend(more.as_deref());
            out +=
                &format!("\n<details><summary>{verb} <code>{}</code>: {}</summary>\n\n", html(&object), html(reason));
            // A fence longer than any in the content cannot be closed by it.
            let longest = lines.iter().map(|line| line.matches('`').count()).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            out += &format!("{fence}diff\n{}\n{fence}\n\n</details>\n", lines.join("\n"));
        }
    }
    out
}

/// Text in a line of Markdown, in which nothing is a link, an image, a mention, a reference or of another form (GitHub
/// Flavored Markdown: any ASCII punctuation may be escaped; addresses by a character reference). Mentions and references are
/// found in the finished page, so `@` and `#` are followed by a space of no width.
pub(in crate::cli) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' | '#' => out.extend([sign, '\u{200b}']),
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => out.extend(['\\', sign]),
            sign => out.push(sign),
        }
    }
    // An address would become a link by itself.
    out.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{200b}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use crate::plan::Held;

    fn plan() -> SyncPlan {
        SyncPlan {
            sync: "shop".into(),
            commit: "0123456789ab".into(),
            subject: "Roll out".into(),
            configure: 1,
            unchanged: 3,
            steps: vec![PlannedStep {
                verb: "configure",
                object: ObjectId::new("apps", "Deployment", Some("shop"), "web"),
                reason: "changed in git".into(),
                origin: None,
                fields: Vec::new(),
                diff: vec!["-  image: a:1".into(), "+  image: a:2".into()],
            }],
            ..SyncPlan::default()
        }
    }

    #[test]
    fn a_plan_reads_like_a_diff() {
        assert_eq!(
            one(&plan(), false, Paint::off()),
            "shop  0123456789ab Roll out\n\
             ~ configure Deployment shop/web  changed in git\n    \
             -  image: a:1\n    \
             +  image: a:2\n\
             shop: 0 to create, 1 to configure, 0 to prune, 3 unchanged\n"
        );
    }

    #[test]
    fn a_replacement_is_shown_as_the_deletion_that_it_is() {
        let mut replacing = plan();
        (replacing.configure, replacing.replace) = (0, 1);
        replacing.steps[0].verb = "replace";
        let text = one(&replacing, false, Paint::off());
        assert!(text.contains("\n± replace (deletes) Deployment shop/web"), "{text}");
        assert!(text.contains("0 to configure, 1 to replace (deletes), 0 to prune"), "{text}");
        let text = markdown(&[replacing], false);
        assert!(text.contains("| configure | replace (deletes) | prune |"), "{text}");
        assert!(text.contains("| 0 | 0 | 1 | 0 | 3 |") && text.contains("<summary>replace (deletes) <code>"), "{text}");
    }

    #[test]
    fn nothing_to_change_is_said_in_one_line() {
        let quiet = SyncPlan { sync: "shop".into(), unchanged: 3, ..SyncPlan::default() };
        assert!(one(&quiet, false, Paint::off()).ends_with("shop: nothing is to change, 3 objects are as in git\n"));
    }

    #[test]
    fn what_a_held_plan_would_delete_and_what_was_not_read_is_counted() {
        let held = Held { prune: 7, total: 10, ..Held::default() };
        let text = one(&SyncPlan { held: Some(held), ..plan() }, false, Paint::off());
        assert!(text.ends_with("0 to prune, 3 unchanged, 7 to delete once that is approved\n"), "{text}");
        let unread = SyncPlan { sync: "shop".into(), unchanged: 3, unread: 2, ..SyncPlan::default() };
        let text = one(&unread, false, Paint::off());
        assert!(
            text.ends_with("nothing that could be read is to change, 3 objects are as in git, 2 could not be read\n"),
            "{text}"
        );
    }

    #[test]
    fn long_changes_are_shortened_unless_all_is_asked_for() {
        let mut long = plan();
        long.steps[0].diff = (0..1000).map(|line| format!("+{line}")).collect();
        let plans = [long];
        for (text, shown) in [
            (text(&plans, false), false),
            (markdown(&plans, false), false),
            (text(&plans, true), true),
            (markdown(&plans, true), true),
        ] {
            assert_eq!((text.contains("+999"), text.contains("… 940 more lines; --full shows all")), (shown, !shown));
        }
    }

    #[test]
    fn a_line_of_markdown_holds_text_and_nothing_else() {
        let odd = "@team [x](https://e.com) ![i](u) #1 <b> *a* www.e.com `c` | _d_";
        let wanted = "@\u{200b}team \\[x\\]\\(https:&#47;&#47;e.com\\) \\!\\[i\\]\\(u\\) #\u{200b}1 &lt;b&gt; \\*a\\* www&#46;e.com \\`c\\` \\| \\_d\\_";
        assert_eq!(inline(odd), wanted);
    }

    #[test]
    fn markdown_is_not_broken_by_what_it_shows() {
        let mut odd = plan();
        odd.steps[0].diff.push("+ ```".into());
        odd.steps[0].reason = "<b>".into();
        let text = markdown(&[odd], false);
        assert!(text.contains("| shop | `0123456789ab` | 0 | 1 | 0 | 3 |"), "{text}");
        assert!(text.contains("\n````diff\n") && text.contains("&lt;b&gt;"), "{text}");
    }
}
