//! The commands. Arguments become validated values here, once; exit codes are part of the contract.

mod annotate;
mod check;
mod explain;
mod paint;
mod plan;
mod progress;
mod remove;
mod render;
mod run;
mod running;
mod session;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cluster::with_causes;
use crate::object::Displayed;
use crate::telemetry::LogFormat;

pub(crate) use session::{CliError, Session};

/// A GitOps agent for Kubernetes: keeps a cluster equal to a git repository.
#[derive(Debug, Parser)]
#[command(name = "driftless", version, about, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What all commands understand.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", env = "DRIFTLESS_CONFIG", default_value = "driftless.yaml")]
    pub config: PathBuf,
    /// The kubeconfig; default: $KUBECONFIG, else ~/.kube/config, else the pod's service account
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; default: its current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The form of what is printed
    #[arg(long, short, global = true, value_enum, value_name = "FORM", default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
    /// The form of the log on stderr; what is logged is said by `DRIFTLESS_LOG` (`debug`, `warn`, …)
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Text,
    Json,
    Yaml,
    Markdown,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the cluster equal to git, until stopped
    Run(run::RunArguments),
    /// Show what would change, read-only; exits with 2 when there are changes
    Plan(plan::PlanArguments),
    /// Print the manifests as they would be applied
    Render(render::RenderArguments),
    /// Check the configuration, the access to git and to the cluster, and the permissions
    Check,
    /// Show every sync and what is not well, read from the cluster; exits with 3 when something is not
    Status(status::StatusArguments),
    /// Show where an object comes from, who changed it, and what was healed
    Explain(explain::ExplainArguments),
    /// Approve the prune that the guard holds: for that commit, and for the objects that it shows
    Approve(annotate::ApproveArguments),
    /// Ask the running agent to poll git and observe the cluster now
    Sync(annotate::SyncArguments),
    /// Stop a sync: nothing is applied, healed or pruned until it is resumed
    Suspend(annotate::SyncArguments),
    /// Let a suspended sync go on
    Resume(annotate::SyncArguments),
    /// End a sync that is no longer in the configuration: delete its objects, after showing them
    Remove(remove::RemoveArguments),
    /// About the configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema of the configuration file
    Schema,
}

/// Parses the arguments of the process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    // Before there is a second thread: what becomes a helper gives up what belongs to a thread.
    if let Some(code) = crate::sandbox::child(std::env::args_os()) {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Whether it can be printed or not, this is the end.
            let _ = error.print();
            // Not clap's own 2, which says of `plan` that there are changes.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = run::init_log(&arguments.command, &arguments.common) {
        eprintln!("error: {}", with_causes(&error));
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(dispatch(arguments));
    // Threads that libgit2 still blocks are left behind rather than waited for.
    runtime.shutdown_background();
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The configuration has a line for each problem.
            for (index, line) in with_causes(&error).lines().enumerate() {
                eprintln!("{}{}", if index == 0 { "error: " } else { "" }, Displayed(line));
            }
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<u8, CliError> {
    let common = arguments.common;
    match arguments.command {
        Command::Run(options) => run::run(&common, &options).await,
        Command::Plan(options) => plan::plan(&common, &options).await,
        Command::Render(options) => render::render(&common, &options).await,
        Command::Check => check::check(&common).await,
        Command::Status(options) => status::status(&common, &options).await,
        Command::Explain(options) => explain::explain(&common, &options).await,
        Command::Approve(options) => annotate::approve(&common, &options).await,
        Command::Sync(options) => annotate::sync(&common, &options).await,
        Command::Suspend(options) => annotate::suspend(&common, &options).await,
        Command::Resume(options) => annotate::resume(&common, &options).await,
        Command::Remove(options) => remove::remove(&common, &options).await,
        Command::Config(ConfigCommand::Schema) => session::print(&format!("{:#}\n", crate::config::schema())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_argument_has_a_help_text() {
        let command = Arguments::command();
        for part in std::iter::once(&command).chain(command.get_subcommands()) {
            for argument in part.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{} {}", part.get_name(), argument.get_id());
            }
        }
    }
}
