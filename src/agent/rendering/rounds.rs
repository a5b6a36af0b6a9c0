//! The helper is asked until it needs nothing more: each answer says what was missing for it (files to decrypt, objects to
//! look up, charts and bases of other hosts), and with that it is asked again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::remotes::RemoteContent;
use super::{Rendering, RenderingError, decrypt};
use crate::config::{DataKind, DataRef, Endpoint, Renderer};
use crate::fetch::Login;
use crate::render::{
    Fetched, Incoming, Inputs, LookupAnswer, LookupQuestion, Permission, RenderError, Response, Want, outdated_index,
    permitted, request, write_input,
};
use crate::sandbox::{LaunchError, Started};
use crate::source::Bundle;

/// How often a chart may ask the cluster for more once it has seen the answers to what it asked before.
pub(super) const MOST_ROUNDS: usize = 5;
/// How often something fetched may name something else to fetch: an index and its archive are two.
pub(super) const MOST_FETCHES: usize = 10;

/// Questions that a chart may ask of the cluster, and bytes of the answers.
pub(super) const MOST_QUESTIONS: usize = 200;
pub(super) const MOST_ANSWERED: usize = 8 << 20;

/// Charts, indexes, bases and files of other hosts for one render, and bytes of them.
pub(super) const MOST_WANTS: usize = 100;
pub(super) const MOST_FETCHED: usize = 128 << 20;
/// Those that are fetched at once: so many of the largest may be there beyond the bound on all.
const AT_ONCE: usize = 4;
/// How long all of them together may take: a render has one of few places while it waits for other hosts.
const FETCHES_TIME: Duration = Duration::from_mins(5);

/// Hosts that an error lists.
const NAMED: usize = 5;

/// The last answer, and all that it is made of.
pub(super) struct Answered {
    pub response: Box<Response>,
    pub inputs: Inputs,
    /// What may not be rendered of plain manifests.
    pub refused: Vec<RenderError>,
    /// What somebody should know: that something fetched may be outdated.
    pub warnings: Vec<String>,
    /// Answers are large, so they count as the helper that gave them for as long as they are there.
    pub _permit: Option<OwnedSemaphorePermit>,
}

/// What was learned in the rounds so far.
struct RenderProgress {
    inputs: Inputs,
    warnings: Vec<String>,
    /// Rounds of lookups and of fetches.
    asked: usize,
    fetches: usize,
    /// Indexes that were compared with their source, since an archive that they name could not be fetched.
    refreshed: BTreeSet<String>,
    /// What all fetches took.
    fetching: Duration,
}

impl RenderProgress {
    /// Counts a round of fetches, and what is wanted in it.
    fn count_round(&mut self, wants: usize) -> Result<(), RenderingError> {
        self.fetches += 1;
        if self.fetches > MOST_FETCHES {
            return Err(RenderingError::TooManyFetches);
        }
        if self.inputs.fetched.len() + wants > MOST_WANTS {
            return Err(RenderingError::TooManyWants);
        }
        Ok(())
    }
}

/// What became of asking the helper.
enum HelperRun {
    Answered(Box<Response>),
    /// These are to be fetched first.
    Wants(Vec<Want>),
}

impl Rendering<'_> {
    /// Asks the helper until nothing is missing. While it waits for other hosts it keeps no place at the helper and no files
    /// of the repository in memory, so that a host that hangs keeps nobody from rendering.
    pub(super) async fn answered(&self, renderer: Renderer, inputs: Inputs) -> Result<Answered, RenderingError> {
        let mut progress = RenderProgress {
            inputs,
            warnings: Vec::new(),
            asked: 0,
            fetches: 0,
            refreshed: BTreeSet::new(),
            fetching: Duration::ZERO,
        };
        let mut fetching = None;
        loop {
            let permit = self.budget.helper().await;
            // It starts while the files are read.
            let helper = self.start();
            let (bundle, refused) = self.bundle(renderer).await?;
            match self.run(renderer, helper, Arc::new(bundle), &mut progress).await? {
                HelperRun::Answered(response) => {
                    let RenderProgress { inputs, warnings, .. } = progress;
                    return Ok(Answered { response, inputs, refused, warnings, _permit: permit });
                }
                HelperRun::Wants(wants) => {
                    drop(permit);
                    if fetching.is_none() {
                        let first = wants.first().and_then(|want| Endpoint::of(&want.url));
                        let server = first.map(|endpoint| endpoint.to_string()).unwrap_or_default();
                        fetching = Some(self.budget.fetch(&server).await);
                    }
                    let hosts = hosts(&wants);
                    let (began, left) = (Instant::now(), FETCHES_TIME.saturating_sub(progress.fetching));
                    let fetched = timeout(left, Box::pin(self.fetch(renderer, wants, &mut progress))).await;
                    progress.fetching += began.elapsed();
                    fetched.map_err(|_| RenderingError::FetchTime { hosts, limit: FETCHES_TIME })??;
                }
            }
        }
    }

    /// Asks the helper until nothing is missing but what other hosts have. `helper` is the first one, and each renders once.
    async fn run(
        &self,
        renderer: Renderer,
        mut helper: Result<Started, LaunchError>,
        mut bundle: Arc<Bundle>,
        progress: &mut RenderProgress,
    ) -> Result<HelperRun, RenderingError> {
        let mut plain = BTreeSet::new();
        // They are decrypted anew in each turn.
        progress.inputs.decrypted.clear();
        loop {
            let response = self.ask(helper?, renderer, &bundle, &progress.inputs).await?;
            if !response.wants().is_empty() {
                return Ok(HelperRun::Wants(response.wants().to_vec()));
            }
            // Only what was read is decrypted: other files may be for other keys.
            let encrypted = decrypt::encrypted(&bundle, response.read_files(), &plain);
            let questions: Vec<_> = response.unanswered().filter(|_| self.cluster.is_some()).cloned().collect();
            if encrypted.is_empty() && questions.is_empty() {
                return Ok(HelperRun::Answered(Box::new(response)));
            }
            if !encrypted.is_empty() {
                let (decrypted, texts) = self.decrypted_bundle(&bundle, &encrypted).await?;
                bundle = Arc::new(decrypted);
                progress.inputs.decrypted.extend(texts);
                plain.extend(encrypted);
            }
            if !questions.is_empty() {
                progress.asked += 1;
                if progress.asked > MOST_ROUNDS {
                    return Err(RenderingError::Lookups);
                }
                self.look_up(questions, &mut progress.inputs.lookups).await?;
            }
            helper = self.start();
        }
    }

    fn start(&self) -> Result<Started, LaunchError> {
        self.helpers.renderer(self.settings.config.sandbox, self.settings.config.timeout)
    }

    async fn ask(
        &self,
        helper: Started,
        renderer: Renderer,
        bundle: &Arc<Bundle>,
        inputs: &Inputs,
    ) -> Result<Response, RenderingError> {
        let request = request(renderer, self.path.as_str(), self.settings, inputs).map_err(RenderingError::Request)?;
        let (bundle, fetched) = (Arc::clone(bundle), inputs.fetched.clone());
        let write = move |out: &mut dyn std::io::Write| write_input(out, &request, &bundle, &fetched);
        let mut incoming = Incoming::new(&self.shown_path(), self.settings, inputs);
        helper.run(write, |bytes| incoming.take(bytes)).await?;
        Ok(incoming.finish()?)
    }

    async fn look_up(
        &self,
        questions: Vec<LookupQuestion>,
        known: &mut Vec<LookupAnswer>,
    ) -> Result<(), RenderingError> {
        let Some(cluster) = self.cluster else { return Ok(()) };
        if known.len() + questions.len() > MOST_QUESTIONS {
            return Err(RenderingError::Questions);
        }
        let limit = self.settings.config.timeout;
        let answers = timeout(limit, async {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                answers.push(cluster.look_up(question).await);
            }
            answers
        });
        known.extend(answers.await.map_err(|_| RenderingError::LookupTime(limit))?);
        if known.iter().map(LookupAnswer::bytes).sum::<usize>() > MOST_ANSWERED {
            return Err(RenderingError::Answers);
        }
        Ok(())
    }

    /// Fetches what is wanted, after all of it was found to be permitted.
    async fn fetch(
        &self,
        renderer: Renderer,
        wants: Vec<Want>,
        progress: &mut RenderProgress,
    ) -> Result<(), RenderingError> {
        progress.count_round(wants.len())?;
        let known = &mut progress.inputs.fetched;
        let mut permissions = Vec::with_capacity(wants.len());
        for want in &wants {
            permissions.push(self.permission(renderer, want, known)?);
        }
        let login = if permissions.iter().any(|permission| permission.login) { self.login().await? } else { None };
        let fetches: Vec<BoxFuture<'_, _>> = wants
            .iter()
            .zip(permissions)
            .map(|(want, permission)| self.get(renderer, want, login.as_ref().filter(|_| permission.login)).boxed())
            .collect();
        let mut answers = futures::stream::iter(fetches).buffered(AT_ONCE);
        let mut bytes = known.iter().map(|fetched| fetched.content.bytes().len()).sum::<usize>();
        for want in &wants {
            let Some(answer) = answers.next().await else { break };
            let RemoteContent { fetched, warning } = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let outdated = outdated_index(want, known).filter(|index| progress.refreshed.insert(index.key()));
                    let Some(index) = outdated else { return Err(error) };
                    drop(answers);
                    return self.refresh_index(renderer, index, progress).await?.then_some(()).ok_or(error);
                }
            };
            progress.warnings.extend(warning);
            bytes += fetched.content.bytes().len();
            if bytes > MOST_FETCHED {
                return Err(RenderingError::TooMuchFetched);
            }
            match known.iter_mut().find(|known| known.want.is_same(&fetched.want)) {
                Some(known) => *known = fetched,
                None => known.push(fetched),
            }
        }
        Ok(())
    }

    /// Compares an index of any age with its source. Returns whether it is another one now.
    async fn refresh_index(
        &self,
        renderer: Renderer,
        index: Want,
        progress: &mut RenderProgress,
    ) -> Result<bool, RenderingError> {
        progress.count_round(1)?;
        let known = &mut progress.inputs.fetched;
        let compared = Want { pinned: false, ..index.clone() };
        let permission = self.permission(renderer, &compared, known)?;
        let login = if permission.login { self.login().await? } else { None };
        let RemoteContent { fetched, warning } = self.get(renderer, &compared, login.as_ref()).await?;
        progress.warnings.extend(warning);
        let bytes = known.iter().chain([&fetched]).map(|fetched| fetched.content.bytes().len()).sum::<usize>();
        if bytes > MOST_FETCHED {
            return Err(RenderingError::TooMuchFetched);
        }
        let Some(known) = known.iter_mut().find(|known| known.want.is_same(&index)) else { return Ok(false) };
        let changed = known.digest != fetched.digest;
        // It stays pinned, so that the helper takes it for the same want.
        *known = Fetched { want: index, ..fetched };
        Ok(changed)
    }

    fn permission(&self, renderer: Renderer, want: &Want, known: &[Fetched]) -> Result<Permission, RenderingError> {
        let refused = |error| RenderingError::NotPermitted { renderer, place: want.error_prefix(), error };
        permitted(want, &self.settings.config, known).map_err(refused)
    }

    async fn get(
        &self,
        renderer: Renderer,
        want: &Want,
        login: Option<&(Arc<str>, Login)>,
    ) -> Result<RemoteContent, RenderingError> {
        let login = login.map(|(name, login)| (&**name, login));
        let answer = self.remotes.get(want, login, self.settings.config.refresh, self.budget).await;
        answer.map_err(|error| RenderingError::Remote { renderer, place: want.error_prefix(), error: Box::new(error) })
    }

    /// Whether something on another host is as it was, as far as that can be known now, and why it cannot.
    pub(super) async fn is_unchanged(
        &self,
        want: &Want,
        digest: &str,
    ) -> Result<(bool, Option<String>), RenderingError> {
        if want.pinned {
            return Ok((true, None));
        }
        let config = &self.settings.config;
        // It was permitted with the same settings.
        let login = match permitted(want, config, &[]) {
            Ok(permission) if permission.login => self.login().await?,
            _ => None,
        };
        let login = login.as_ref().map(|(name, login)| (&**name, login));
        Ok(match self.remotes.get(want, login, config.refresh, self.budget).await {
            Ok(answer) => (*answer.fetched.digest == *digest, answer.warning),
            Err(error) => {
                (true, Some(format!("{}{error}; what was rendered before stays in force", want.error_prefix())))
            }
        })
    }

    /// The credentials for the chart's repository, and the name of the Secret that holds them.
    async fn login(&self) -> Result<Option<(Arc<str>, Login)>, RenderingError> {
        let key = "render.helm.auth.secret";
        let Some(remote) = &self.settings.config.helm.remote else { return Ok(None) };
        let Some(name) = &remote.secret else { return Ok(None) };
        let source = DataRef { kind: DataKind::Secret, name: Arc::clone(name), optional: false };
        let data = self.data(&source, key).await?.unwrap_or_default();
        let host = remote.endpoint().map(|endpoint| match endpoint.port {
            443 => endpoint.host,
            port => format!("{}:{port}", endpoint.host),
        });
        let login = Login::of_secret(&data, &host.unwrap_or_default());
        let login = login.map_err(|error| RenderingError::Login { name: name.to_string(), key, error })?;
        Ok(Some((Arc::clone(name), login)))
    }
}

/// The hosts that things are wanted of, each once and the first few of them by name.
fn hosts(wants: &[Want]) -> String {
    let mut hosts: BTreeSet<String> = BTreeSet::new();
    hosts.extend(wants.iter().filter_map(|want| Endpoint::of(&want.url)).map(|endpoint| endpoint.to_string()));
    let more = hosts.len().saturating_sub(NAMED);
    let named = hosts.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more hosts") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_names_the_hosts_that_were_waited_for_without_credentials() {
        let want = |url: &str| serde_json::from_value(json!({"kind": "file", "url": url})).unwrap();
        let few: Vec<Want> =
            ["https://b.example/x?token=s3cret", "https://a.example:8443/y", "https://b.example/z"].map(want).into();
        assert_eq!(hosts(&few), "a.example:8443, b.example");
        let many: Vec<Want> = (1..=7).map(|number| want(&format!("https://h{number}.example/x"))).collect();
        assert_eq!(hosts(&many), "h1.example, h2.example, h3.example, h4.example, h5.example and 2 more hosts");
        let error = RenderingError::FetchTime { hosts: hosts(&few), limit: FETCHES_TIME }.to_string();
        assert!(error.contains("needs of a.example:8443, b.example: it was not there within 5 minutes"), "{error}");
    }
}
