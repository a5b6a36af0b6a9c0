//! The log for people: `12:34:56  INFO shop: Deployment shop/web configured`.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Effects, Style};
use jiff::{Timestamp, Zoned};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::object::Displayed;

/// Target of the records that are made of events. Their message says all, so that text leaves
/// out every field but the sync.
pub(super) const TARGET: &str = "driftless::event";

const DIM: Style = Style::new().effects(Effects::DIMMED);
const BOLD: Style = Style::new().effects(Effects::BOLD);

/// How a record's time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// `12:34:56` on the person's own clock: for a terminal that is read now.
    Local,
    /// Date and time in UTC (RFC 3339), for a file that is read later.
    Utc,
}

/// One line for each record, whatever is in it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) clock: Clock,
    pub(super) colour: bool,
}

impl Text {
    fn time(&self) -> String {
        match self.clock {
            Clock::Local => Zoned::now().strftime("%H:%M:%S").to_string(),
            Clock::Utc => Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }

    fn styled(&self, out: &mut Writer<'_>, style: Style, text: &str) -> fmt::Result {
        if self.colour { write!(out, "{style}{text}{style:#}") } else { out.write_str(text) }
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut record = Record::default();
        event.record(&mut record);
        let target = event.metadata().target();
        let ours = target == TARGET;

        self.styled(&mut out, DIM, &self.time())?;
        out.write_char(' ')?;
        let level = *event.metadata().level();
        self.styled(&mut out, colour(level), &format!("{level:>5}"))?;
        out.write_char(' ')?;
        if !target.starts_with("driftless") {
            let target = record.log_target.as_deref().unwrap_or(target);
            self.styled(&mut out, DIM, &format!("{}: ", Displayed(target)))?;
        }
        if let Some(sync) = record.sync {
            self.styled(&mut out, BOLD, &format!("{}: ", Displayed(&sync)))?;
        }
        write!(out, "{}", Displayed(&record.message))?;
        if !ours {
            self.styled(&mut out, DIM, &record.rest)?;
        }
        out.write_char('\n')
    }
}

fn colour(level: Level) -> Style {
    let colour = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        _ => AnsiColor::Blue,
    };
    Style::new().fg_color(Some(colour.into()))
}

/// The fields of one record.
#[derive(Default)]
struct Record {
    message: String,
    sync: Option<String>,
    /// The target of a record that came by way of the `log` crate, whose own is always `log`.
    log_target: Option<String>,
    /// All other fields, escaped.
    rest: String,
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "sync" => self.sync = Some(value.to_owned()),
            "log.target" => self.log_target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            // Writing to a String cannot fail.
            name => _ = write!(self.rest, " {name}={}", Displayed(value)),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_start_a_line_or_steer_the_terminal() {
        assert_eq!(Displayed("a\nb\r\t\u{1b}[2Jc\u{202e}d").to_string(), r"a\nb\r\t\u{1b}[2Jc\u{202e}d");
        assert_eq!(Displayed("Größe: 3 % \"ok\" \\").to_string(), "Größe: 3 % \"ok\" \\");
    }

    #[test]
    fn the_time_is_short_on_a_terminal_and_full_in_a_file() {
        assert_eq!(Text { clock: Clock::Local, colour: false }.time().len(), "12:34:56".len());
        assert_eq!(Text { clock: Clock::Utc, colour: false }.time().len(), "2026-01-02T12:34:56Z".len());
    }
}
