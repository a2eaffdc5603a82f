//! A history that is built line by line, as a client records it, and judged at the end.

use history::{Event, History};

use crate::cases::Refusal;
use crate::check::check;
use crate::options::Options;
use crate::verdict::Verdict;

/// Takes in invocations and completions as they happen; [`Builder::finish`] judges them.
///
/// Memory is that of the [`History`], which keeps lists that are prefixes of each other once: an
/// event can be dropped as soon as it is pushed. An operation that is still open at the end counts
/// as `info`.
///
/// ```
/// use elle_rs::{Builder, Options, Validity, Workload};
///
/// let mut builder = Builder::default();
/// for line in [
///     r#"{"index":0,"type":"invoke","process":0,"f":"txn","value":[["append","x",1]]}"#,
///     r#"{"index":1,"type":"ok","process":0,"f":"txn","value":[["append","x",1]]}"#,
///     r#"{"index":2,"type":"invoke","process":0,"f":"txn","value":[["r","x",null]]}"#,
///     r#"{"index":3,"type":"ok","process":0,"f":"txn","value":[["r","x",[1]]]}"#,
/// ] {
///     builder.push(serde_json::from_str(line).unwrap()).unwrap();
/// }
/// assert_eq!(builder.transactions(), 2);
/// let verdict = builder.finish(&Options::new(Workload::ListAppend)).unwrap();
/// assert_eq!(verdict.validity, Validity::Valid);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    history: History,
    last: Option<u64>,
}

impl Builder {
    /// Takes in the next line. A line that breaks the rules is left out, the error says why, and
    /// the builder can go on without it: an index that does not grow, a completion that nobody
    /// invoked or of another transaction, a process that invokes while it has an operation open.
    pub fn push(&mut self, event: Event) -> Result<(), Refusal> {
        let line = event.index;
        if self.last.is_some_and(|last| line <= last) {
            let why = format!("index {line} does not follow on the one before");
            return Err(Refusal { line, why });
        }
        self.history.push(event).map_err(|why| Refusal { line, why })?;
        self.last = Some(line);
        Ok(())
    }

    /// How many transactions were invoked so far.
    pub fn transactions(&self) -> usize {
        self.history.ops.len()
    }

    /// Judges what there is, as [`check()`] does; the builder can go on afterwards.
    pub fn verdict(&self, options: &Options) -> Result<Verdict, Refusal> {
        check(&self.history, options)
    }

    /// Judges the whole, as [`check()`] does.
    pub fn finish(self, options: &Options) -> Result<Verdict, Refusal> {
        self.verdict(options)
    }

    /// The history built so far, for [`crate::explain`] and [`crate::draw`].
    pub fn history(&self) -> &History {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Workload;
    use crate::verdict::Validity;

    fn event(line: &str) -> Event {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn what_breaks_the_rules_is_refused_and_the_rest_is_judged() {
        let mut builder = Builder::default();
        let append = |index: u64, kind: &str, process: u64| {
            event(&format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"txn\",\
                 \"value\":[[\"append\",1,{process}]]}}"
            ))
        };
        builder.push(append(0, "invoke", 1)).unwrap();
        let again = builder.push(append(1, "invoke", 1)).unwrap_err();
        assert_eq!(again.line, 1);
        assert!(again.why.contains("while another of it is open"), "{}", again.why);
        let nobody = builder.push(append(2, "ok", 2)).unwrap_err();
        assert!(nobody.why.contains("did not invoke"), "{}", nobody.why);
        builder.push(append(3, "ok", 1)).unwrap();
        assert_eq!(builder.transactions(), 1);
        let back = builder.push(append(3, "invoke", 2)).unwrap_err();
        assert!(back.why.contains("does not follow"), "{}", back.why);
        for (index, kind) in [(4, "invoke"), (5, "ok")] {
            builder.push(append(index, kind, 2)).unwrap();
        }
        let verdict = builder.finish(&Options::new(Workload::ListAppend)).unwrap();
        assert_eq!(verdict.validity, Validity::Valid);
    }

    #[test]
    fn a_verdict_on_the_way_sees_only_what_has_happened() {
        let lines = [
            r#"{"index":0,"type":"invoke","process":0,"f":"txn","value":[["append",1,1]]}"#,
            r#"{"index":1,"type":"ok","process":0,"f":"txn","value":[["append",1,1]]}"#,
            r#"{"index":2,"type":"invoke","process":1,"f":"txn","value":[["r",1,null]]}"#,
            r#"{"index":3,"type":"ok","process":1,"f":"txn","value":[["r",1,[]]]}"#,
        ];
        let options = Options::new(Workload::ListAppend);
        let mut builder = Builder::default();
        let mut seen = Vec::new();
        for line in lines {
            builder.push(event(line)).unwrap();
            seen.push(builder.verdict(&options).unwrap().validity);
        }
        let at_once = History::from_events(lines.map(event)).unwrap();
        let at_once = check(&at_once, &options).unwrap();
        // One transaction alone has no dependency, so nothing could have been seen to break.
        let expected = [Validity::Unknown, Validity::Unknown, Validity::Valid, Validity::Invalid];
        assert_eq!(seen, expected);
        let finished = builder.finish(&options).unwrap();
        assert_eq!(finished.anomaly_types, at_once.anomaly_types);
        assert_eq!(finished.not, at_once.not);
    }
}
