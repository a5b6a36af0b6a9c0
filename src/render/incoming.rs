//! An answer that comes in: documents that the helper sends early are read while it is still at work. They count only
//! by the end of the answer, which may still be an error.

use std::io::BufRead as _;
use std::mem;
use std::sync::Arc;

use serde::Deserialize;

use super::Settings;
use super::early::Early;
use super::inputs::Inputs;
use super::reading::Variables;
use super::response::{RenderedDocument, Response, ResponseError};

/// Documents that may come before the answer, five times as many as objects are taken: each costs memory, also an empty one.
const MOST_EARLY: usize = 250_000;

/// How a line begins that holds documents and is not the answer.
const EARLY: &[u8] = br#"{"early":["#;

/// Takes the output of the helper as it comes.
pub struct Incoming {
    path: Arc<str>,
    variables: Option<Variables>,
    /// The line that is not complete; from the first one on that is not early, all that follows.
    line: Vec<u8>,
    early: Option<Early>,
    /// An early line that cannot be read.
    error: Option<serde_json::Error>,
}

impl Incoming {
    /// For a render of the sync at `path`, with the settings and inputs that its manifests are read with.
    #[must_use]
    pub fn new(path: &Arc<str>, settings: &Settings, inputs: &Inputs) -> Self {
        let variables = settings.config.substitution.as_ref().map(|_| inputs.variables.clone());
        Self { path: Arc::clone(path), variables, line: Vec::new(), early: None, error: None }
    }

    /// Takes what comes next. Documents are read on a thread of their own.
    pub fn take(&mut self, mut bytes: &[u8]) {
        // Reading from memory never fails.
        while bytes.read_until(b'\n', &mut self.line).is_ok_and(|count| count > 0) {
            if self.line.ends_with(b"\n") && self.line.starts_with(EARLY) {
                let line = mem::take(&mut self.line);
                if let Err(error) = self.take_early(&line) {
                    self.error.get_or_insert(error);
                }
            }
        }
    }

    fn take_early(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            early: Vec<RenderedDocument>,
        }
        let Line { early } = serde_json::from_slice(line)?;
        let known = self.early.get_or_insert_with(|| Early::start(Arc::clone(&self.path), self.variables.clone()));
        if known.count() + early.len() > MOST_EARLY {
            let message = format!("more than {MOST_EARLY} documents; split the chart into several");
            return Err(serde::de::Error::custom(message));
        }
        known.add(early);
        Ok(())
    }

    /// The answer, when all of it has come.
    ///
    /// # Errors
    /// It is no answer, or not the one to the documents that came before.
    pub fn finish(self) -> Result<Response, ResponseError> {
        match self.error {
            Some(error) => Err(error.into()),
            None => Response::with_early(&self.line, self.early),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Rendered;

    const FRAME: &str = r#""hooks":[],"lookups":[],"read":[],"absent":[],"listed":[],"warnings":[]"#;

    fn documents(from: usize, to: usize) -> String {
        let document = |at| {
            let yaml = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c-{at}}}\ndata: {{at: \"{at}\"}}\n");
            serde_json::json!({"yaml": yaml, "source": format!("templates/{at}.yaml")})
        };
        serde_json::to_string(&(from..to).map(document).collect::<Vec<_>>()).unwrap()
    }

    fn early(from: usize, to: usize) -> String {
        format!("{{\"early\":{}}}\n", documents(from, to))
    }

    #[test]
    fn documents_without_number_are_refused() {
        let empty = |many: usize| format!("{{\"early\":[{}]}}\n", vec![r#"{"yaml":"","source":""}"#; many].join(","));
        let output = format!("{}{}{{\"documents\":[],{FRAME}}}", empty(MOST_EARLY), empty(1));
        let error = came(&output, 1 << 20).err().unwrap().to_string();
        assert!(error.contains("more than 250000 documents"), "{error}");
    }

    /// The output in pieces of some bytes.
    fn came(output: &str, bytes: usize) -> Result<Response, ResponseError> {
        let mut incoming = Incoming::new(&"chart".into(), &Settings::default(), &Inputs::default());
        output.as_bytes().chunks(bytes).for_each(|piece| incoming.take(piece));
        incoming.finish()
    }

    fn rendered(response: &Response) -> Rendered {
        response.rendered(&"chart".into(), &Settings::default(), &Inputs::default()).unwrap()
    }

    #[test]
    fn documents_that_come_early_are_the_first_ones_of_the_answer() {
        let again = r#"[{"index":1,"yaml":"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-1}\ndata: {at: x}\n"},
            {"index":6,"yaml":"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-6}\ndata: {at: x}\n"}]"#;
        let whole = format!("{{\"documents\":{},\"again\":{again},\"error\":null,{FRAME}}}\n", documents(0, 8));
        let whole = rendered(&Response::parse(whole.as_bytes()).unwrap());
        assert_eq!((whole.manifests.len(), whole.errors.len()), (8, 0));
        assert_eq!(whole.manifests.iter().filter(|manifest| manifest.stable.is_some()).count(), 2);
        let rest = documents(5, 8);
        let rest = format!("{{\"documents\":{rest},\"sent\":5,\"again\":{again},\"error\":null,{FRAME}}}\n");
        let output = [early(0, 2), early(2, 5), rest].concat();
        for bytes in [1, 7, 100, 100_000] {
            let response = came(&output, bytes).unwrap();
            assert_eq!(rendered(&response), whole);
            assert_eq!(rendered(&response), whole, "once more");
        }
    }

    #[test]
    fn without_its_end_or_with_another_one_it_is_no_answer() {
        let end = |sent: usize| format!("{{\"documents\":[],\"sent\":{sent},\"error\":null,{FRAME}}}\n");
        assert_eq!(rendered(&came(&[early(0, 2), end(2)].concat(), 50).unwrap()).manifests.len(), 2);
        for output in [
            early(0, 2),
            [early(0, 2), end(0)].concat(),
            [early(0, 2), end(3)].concat(),
            end(2),
            [early(0, 2), end(2)[..90].to_owned()].concat(),
            [early(0, 2)[..90].to_owned() + "\n", end(2)].concat(),
            [early(0, 2), end(2), early(2, 3)].concat(),
            [early(0, 2), end(2), end(2)].concat(),
            [early(0, 2).replace("}\n", ",\"more\":1}\n"), end(2)].concat(),
        ] {
            assert!(came(&output, 50).is_err(), "{output}");
        }
    }

    #[test]
    fn beside_an_error_or_a_want_they_count_for_nothing() {
        let error = format!("{{\"documents\":[],\"error\":{{\"message\":\"no\"}},{FRAME}}}\n");
        let response = came(&[early(0, 2), error].concat(), 50).unwrap();
        assert!(response.failure(&"chart".into()).is_some());
        assert_eq!(rendered(&response).manifests.len(), 0);
    }
}
