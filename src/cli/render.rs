//! `driftless render`: the manifests of a commit; and reading a commit for other commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::session::{json, print, yaml};
use super::{CliError, Common, Output, Session};
use crate::agent::rendering_problem;
use crate::config::SyncConfig;
use crate::object::{Manifest, masked};
use crate::plan::Commit;
use crate::reconcile::RenderedCommit;
use crate::render::{Settings, render as render_snapshot};
use crate::source::{Git, Limits, read_directory};

#[derive(Debug, Args)]
pub(super) struct RenderArguments {
    /// Only this sync
    #[arg(long, value_name = "NAME")]
    sync: Option<String>,
    /// A checkout on disk in place of the repository. Needs --sync where there are several
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// Print the values of Secrets, which are hidden otherwise
    #[arg(long)]
    show_secrets: bool,
}

/// Reads and renders what a sync's reference points at now, or a checkout on disk.
pub(super) async fn read(
    session: &Session,
    sync: &Arc<SyncConfig>,
    local: Option<&Path>,
) -> Result<RenderedCommit, CliError> {
    let settings = Settings::of(sync, &session.namespace);
    let (commit, snapshot) = if let Some(directory) = local {
        let subject = directory.display().to_string();
        let commit = Commit { id: "local".into(), time: jiff::Timestamp::now(), subject };
        (commit, read_directory(directory, &sync.path, &Limits::default())?)
    } else {
        let data = session.data_dir()?;
        let git = Git::open(sync, &data.path);
        let revision = git.poll().await?;
        let info = git.fetch(&revision).await?;
        let snapshot = git.snapshot(&info.id, &sync.path).await?;
        (Commit { id: info.id, time: info.time, subject: info.subject }, snapshot)
    };
    let rendered = render_snapshot(&snapshot, &settings);
    let problems = rendered.errors.iter().map(rendering_problem).collect();
    Ok(RenderedCommit { commit, problems, manifests: rendered.manifests })
}

pub(super) async fn render(common: &Common, options: &RenderArguments) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let mut code = 0;
    let mut text = String::new();
    let mut objects = Vec::new();
    for sync in session.syncs_for(options.sync.as_deref(), options.local.as_deref())? {
        let rendered = read(&session, &sync, options.local.as_deref()).await?;
        for problem in &rendered.problems {
            eprintln!("error: sync {}: {problem}", sync.name);
            code = 1;
        }
        for manifest in &rendered.manifests {
            let object = shown(manifest, options.show_secrets);
            text.extend(["---\n# ", sync.name.as_str(), " ", &manifest.origin.to_string(), "\n", &yaml(&object)?]);
            objects.push(object);
        }
    }
    match common.output {
        Output::Json => print(&json(&objects)?)?,
        Output::Markdown => print(&format!("```yaml\n{text}```\n"))?,
        Output::Text | Output::Yaml => print(&text)?,
    };
    Ok(code)
}

/// The manifest with the values of a Secret hidden, unless they are asked for.
fn shown(manifest: &Manifest, secrets: bool) -> Value {
    let object = manifest.to_value();
    if manifest.is_secret() && !secrets { masked(&object) } else { object }
}
