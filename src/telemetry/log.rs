//! The log: one record per event on stderr, as text for people or as JSON for machines.

use std::env;
use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::line::{level, line};
use super::text::{Clock, TARGET, Text};
use crate::event::Event;

/// The environment variable that says what is logged, in the directives of tracing-subscriber:
/// `debug`, `info,driftless=debug`.
const FILTER: &str = "DRIFTLESS_LOG";
/// Stands before every filter: libraries log from `warn` up unless they are named.
/// The client of the API server, and its watch, log every error that they also return: those are reported
/// once, with what was attempted; and so does the reader of `OpenPGP`, of which anybody who can push decides what it reads.
const QUIET: &str =
    "h2=warn,hyper=warn,kube=warn,kube_client=off,kube_runtime=off,log=warn,notify=warn,pgp=off,rustls=warn,tower=warn";

/// In which form the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// JSON in a cluster, text for people on a terminal and everywhere else.
    #[default]
    Auto,
    /// One short line per record.
    Text,
    /// One JSON object per record and line.
    Json,
}

impl LogFormat {
    fn is_json(self, in_cluster: bool, terminal: bool) -> bool {
        match self {
            Self::Json => true,
            Self::Text => false,
            Self::Auto => in_cluster && !terminal,
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not written in the directives of tracing-subscriber.
    #[error("cannot read the log filter {filter:?}; write it like `debug` or `info,driftless=debug`")]
    Filter {
        /// The filter, as it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// [`init`] was called before, or the process has another global subscriber.
    #[error("the log was set up twice")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of the process, once. `filter` is in the form of `DRIFTLESS_LOG` and wins
/// over it; without both, everything from `info` up is logged.
///
/// # Errors
/// When the filter cannot be read, and when the log was set up before.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LogError> {
    let filter = match filter {
        Some(filter) => filter.to_owned(),
        None => env::var(FILTER).ok().filter(|filter| !filter.is_empty()).unwrap_or_else(|| "info".to_owned()),
    };
    let filter = directives(&filter)?;
    let terminal = io::stderr().is_terminal();
    let in_cluster = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let registry = tracing_subscriber::registry().with(filter);
    if format.is_json(in_cluster, terminal) {
        let json = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(json.with_writer(io::stderr)).try_init()?;
    } else {
        let text =
            Text { clock: if terminal { Clock::Local } else { Clock::Utc }, colour: terminal && colour_wanted() };
        registry.with(fmt::layer().event_format(text).with_writer(io::stderr)).try_init()?;
    }
    Ok(())
}

fn directives(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

/// As <https://no-color.org> asks: any value but the empty one turns colours off.
fn colour_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Logs an event. Costs next to nothing when its level is filtered out.
pub fn write(event: &Event) {
    write_as(event, false);
}

/// The same of an error that may stand already, which is of no interest but to whoever searches for it.
pub(super) fn write_as(event: &Event, repeated: bool) {
    // The macros need the level as a constant.
    macro_rules! record {
        ($level:expr) => {
            if tracing::enabled!(target: TARGET, $level)
                && let Some(line) = line(event)
            {
                tracing::event!(
                    target: TARGET,
                    $level,
                    sync = line.sync,
                    object = line.object,
                    commit = line.commit,
                    result = line.result,
                    manager = line.manager,
                    error = line.error,
                    changed = line.changed,
                    seconds = line.seconds,
                    retry_seconds = line.retry_seconds,
                    "{}",
                    line.message
                );
            }
        };
    }
    match level(event).map(|level| if repeated { Level::DEBUG } else { level }) {
        Some(Level::ERROR) => record!(Level::ERROR),
        Some(Level::WARN) => record!(Level::WARN),
        Some(Level::INFO) => record!(Level::INFO),
        Some(_) => record!(Level::DEBUG),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Layer;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::object::ObjectId;
    use crate::plan::Problem;
    use crate::telemetry::sample;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Paper {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What `act` logs, with the layer that `form` makes of the paper it is written on.
    fn logged<L>(filter: &str, form: impl FnOnce(Paper) -> L, act: impl FnOnce()) -> String
    where
        L: Layer<tracing_subscriber::layer::Layered<EnvFilter, tracing_subscriber::Registry>> + Send + Sync,
    {
        let paper = Paper::default();
        let subscriber = tracing_subscriber::registry().with(directives(filter).unwrap()).with(form(paper.clone()));
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    fn text(filter: &str, act: impl FnOnce()) -> String {
        let form = Text { clock: Clock::Utc, colour: false };
        logged(filter, |paper| fmt::layer().event_format(form).with_writer(paper), act)
    }

    fn failed(message: &str) -> Event {
        let object = ObjectId::new("apps", "Deployment", Some("shop"), "web");
        let problem = Problem { object: Some(object.clone()), origin: None, message: message.to_owned() };
        sample::refused(object, problem)
    }

    #[test]
    fn text_has_one_line_per_event_that_says_each_thing_once() {
        let log = text("info", || write(&failed("no such image\n2030-01-01T00:00:00Z  INFO shop: all is well")));
        assert_eq!(
            &log["2026-01-02T12:34:56Z".len()..],
            " ERROR shop: Deployment shop/web: no such image\\n2030-01-01T00:00:00Z  INFO shop: all is well\n",
        );
    }

    #[test]
    fn text_shows_the_fields_of_other_records() {
        let log = text("info", || tracing::warn!(target: "hyper_util", status = 500, why = "a\nb", "no answer"));
        assert!(log.ends_with(" WARN hyper_util: no answer status=500 why=a\\nb\n"), "{log}");
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let act = || tracing::info!(target: "hyper_util::client", "connected");
        assert_eq!(text("debug", act), "");
        assert_ne!(text("debug,hyper=info", act), "");
        assert!(matches!(directives("shop=loud"), Err(LogError::Filter { .. })));
    }

    #[test]
    fn json_has_one_object_per_event_with_its_fields() {
        let form = |paper| fmt::layer().json().flatten_event(true).with_writer(paper);
        let log = logged("debug", form, || sample::every_event().iter().for_each(write));
        let records: Vec<serde_json::Value> =
            log.lines().map(|record| serde_json::from_str(record).expect("JSON")).collect();
        assert_eq!(records.len(), sample::every_event().iter().filter(|event| level(event).is_some()).count());
        let healed = records.iter().find(|record| record["message"].as_str().unwrap().contains("healed")).unwrap();
        assert_eq!(healed["sync"], "shop");
        assert_eq!(healed["object"], "Deployment shop/web");
        assert_eq!(healed["level"], "INFO");
        assert!(healed["seconds"].is_f64());
        assert!(healed.get("error").is_none());
    }

    #[test]
    fn a_quiet_cycle_leaves_no_line_at_the_default_level() {
        assert_eq!(text("info", || sample::quiet_cycle().iter().for_each(write)), "");
    }

    #[test]
    fn a_cluster_gets_json_and_a_person_text() {
        assert!(LogFormat::Auto.is_json(true, false));
        assert!(!LogFormat::Auto.is_json(true, true));
        assert!(!LogFormat::Auto.is_json(false, false));
        assert!(LogFormat::Json.is_json(false, true));
        assert!(!LogFormat::Text.is_json(true, false));
    }
}
