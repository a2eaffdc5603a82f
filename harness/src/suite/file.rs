//! The suite file: TOML, a table `[[case]]` each. `docs/suites.md` describes it for people.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{AtLeast, Expectation};
use crate::cli::RunFlags;
use crate::config::{Lines, Words, duration, fault_text, read_table};
use crate::error::UserError;
use crate::judge::{Selection, checkers_of};

/// How long a case may take when it does not say, ms.
const TIMEOUT_MS: u64 = 600_000;

/// A suite as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteFile {
    /// Names its folder.
    pub name: String,
    /// The cases, in the order in which they are run.
    #[serde(default, rename = "case")]
    pub cases: Vec<Case>,
}

/// A case as it is written; what is absent keeps the default of `run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name: one plain word.
    pub name: String,
    /// The system under test.
    pub system: Option<String>,
    /// Settings, as `--set` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// The store's settings, as in a test file.
    pub store: Option<toml::Table>,
    /// PostgreSQL's settings, as in a test file.
    pub postgres: Option<toml::Table>,
    /// MongoDB's settings, as in a test file.
    pub mongodb: Option<toml::Table>,
    /// What the coverage gate asks for, as in a test file.
    pub coverage: Option<toml::Table>,
    /// The client policy.
    pub policy: Option<String>,
    /// The workload.
    pub workload: Option<String>,
    /// Faults as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Faults as tables, as in a test file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<toml::Table>,
    /// Faults that are drawn from the seed, as in a test file.
    pub package: Option<toml::Table>,
    /// `1..3`; without it seed 1.
    pub seeds: Option<String>,
    /// `local`, `sim`, or the name of a kept lab.
    pub lab: Option<String>,
    /// 3 to 9.
    pub hosts: Option<usize>,
    /// Logical users.
    pub sessions: Option<usize>,
    /// Operations a second.
    pub rate: Option<u64>,
    /// Length of the main phase, a duration.
    pub time_limit: Option<String>,
    /// Longest wait for convergence, a duration.
    pub recovery: Option<String>,
    /// Deadline of an operation, a duration.
    pub op_timeout: Option<String>,
    /// What the client does wrong on purpose: `drop-writes`.
    pub canary: Option<String>,
    /// How long all its runs may take, a duration.
    pub timeout: Option<String>,
    /// `valid`.
    pub expect: Option<String>,
    /// Checkers that find something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finds: Vec<String>,
    /// Checkers that find nothing, promised or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// Anomalies of isolation that transactions show, whatever is promised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<String>,
    /// `ok`: a level that could not be decided, and was not refuted, is as good as valid.
    pub undecided: Option<String>,
    /// In how many of the seeds each of `finds` and `shows` is found, `8` or `"8 of 10"`; absent:
    /// in all.
    pub at_least: Option<AtLeast>,
}

impl SuiteFile {
    /// Reads a file and checks every case; an error points at its line, or names its case.
    pub fn load(path: &Path) -> Result<SuiteFile, UserError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| UserError::usage(error.to_string()).at(place.clone()))?;
        let lines = Lines::of(&place, &text);
        let file: SuiteFile = toml::from_str(&text).map_err(|error| lines.wrong(&text, &error))?;
        file.check(&place, &lines)?;
        Ok(file)
    }

    fn check(&self, file: &str, lines: &Lines) -> Result<(), UserError> {
        plain_word(&self.name).map_err(|error| error.at(lines.place("name")))?;
        if self.cases.is_empty() {
            let what = "a suite has at least one [[case]]";
            return Err(UserError::usage(what).at(format!("{file}: case")));
        }
        let mut names = BTreeSet::new();
        for (place, case) in self.cases.iter().enumerate() {
            let at = |error: UserError| {
                let inner = error.place.clone().unwrap_or_default();
                let field = case_field(&inner);
                let line = lines.line_of(&format!("case[{place}].{field}")).unwrap_or(1);
                error.at(format!("{file}:{line}: case {}: {inner}", case.name))
            };
            plain_word(&case.name).map_err(at)?;
            if !names.insert(&case.name) {
                return Err(at(UserError::usage("two cases have this name").at("name")));
            }
            case.check().map_err(at)?;
        }
        Ok(())
    }
}

/// The field of a case that a place in its test speaks of: `--time-limit`, or
/// `--set store.k=2: store.k`.
fn case_field(place: &str) -> String {
    let inner = place.rsplit(": ").next().unwrap_or(place);
    match inner.trim_start_matches("--") {
        "fault" => "faults".to_owned(),
        "replication" => "store.replication".to_owned(),
        "shards" => "store.shards".to_owned(),
        other => other.replace('-', "_"),
    }
}

fn plain_word(name: &str) -> Result<(), UserError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(plain) {
        let what = format!("\"{name}\" is no name: letters, digits, dashes, dots, underscores");
        return Err(UserError::usage(what).at("name"));
    }
    Ok(())
}

impl Case {
    /// Everything that can be said of it before it runs.
    fn check(&self) -> Result<(), UserError> {
        for (place, table) in self.fault.iter().enumerate() {
            read_table(table).map_err(|error| {
                let key = error.place.as_ref().map_or(String::new(), |key| format!(".{key}"));
                error.at(format!("fault[{place}]{key}"))
            })?;
        }
        let spec = self.flags().spec()?;
        let seeds = self.flags().seeds(&spec)?.len();
        self.timeout_ms()?;
        match self.expect.as_deref() {
            None | Some("valid") => {}
            Some(other) => {
                return Err(UserError::usage(format!("\"{other}\" cannot be expected"))
                    .at("expect")
                    .hint("expect = \"valid\", or finds = [\"lost-writes\"]"));
            }
        }
        if let Some(other) = self.undecided.as_ref().filter(|word| *word != "ok") {
            return Err(UserError::usage(format!("\"{other}\" is no word for it"))
                .at("undecided")
                .hint("undecided = \"ok\", or leave it out"));
        }
        for (field, names) in [("finds", &self.finds), ("holds", &self.holds)] {
            for name in names {
                let selection = Selection { checkers: vec![name.clone()], ..Selection::default() };
                if checkers_of(&selection).map_err(|error| error.at(field))?.len() != 1 {
                    return Err(UserError::usage(format!("{name} is several checkers")).at(field));
                }
            }
        }
        if let Some(name) = self.shows.iter().find(|name| !checkers::is_anomaly(name)) {
            return Err(UserError::usage(format!("\"{name}\" is no anomaly of isolation"))
                .at("shows")
                .hint("their names are in docs/checkers/isolation.md: G-single-item, G2-item"));
        }
        if let Some(both) = self.finds.iter().find(|name| self.holds.contains(name)) {
            return Err(UserError::usage(format!("{both} cannot be found and hold")).at("holds"));
        }
        if self.expect.is_some() && !self.finds.is_empty() {
            return Err(UserError::usage("a run with findings is not expected to be valid")
                .at("expect")
                .hint("use finds with holds instead"));
        }
        if self.expect.is_none()
            && self.finds.is_empty()
            && self.holds.is_empty()
            && self.shows.is_empty()
        {
            return Err(UserError::usage("nothing is expected")
                .at("expect")
                .hint("expect = \"valid\", finds = [\"...\"] or holds = [\"...\"]"));
        }
        if self.at_least.is_some_and(|least| !(1..=seeds).contains(&least.runs(seeds))) {
            return Err(UserError::usage(format!("there are {seeds} seeds")).at("at_least"));
        }
        Ok(())
    }

    /// What it is held against.
    pub fn expectation(&self) -> Expectation {
        Expectation {
            valid: self.expect.is_some(),
            finds: self.finds.clone(),
            holds: self.holds.clone(),
            shows: self.shows.clone(),
            at_least: self.at_least,
            undecided_ok: self.undecided.is_some(),
        }
    }

    /// How long all its runs may take, ms.
    pub fn timeout_ms(&self) -> Result<u64, UserError> {
        match &self.timeout {
            Some(text) => duration("timeout", text),
            None => Ok(TIMEOUT_MS),
        }
    }

    /// The flags of `run` that it comes to.
    pub fn flags(&self) -> RunFlags {
        RunFlags {
            name: Some(self.name.clone()),
            seeds: Some(self.seeds.clone().unwrap_or_else(|| "1..1".to_owned())),
            lab: self.lab.clone(),
            hosts: self.hosts,
            system: self.system.clone(),
            set: self.settings(),
            workload: self.workload.clone(),
            policy: self.policy.clone(),
            sessions: self.sessions,
            rate: self.rate,
            time_limit: self.time_limit.clone(),
            recovery: self.recovery.clone(),
            op_timeout: self.op_timeout.clone(),
            faults: self.faults.iter().cloned().chain(self.tables_as_text()).collect(),
            canary: self.canary.clone(),
            ..RunFlags::default()
        }
    }

    fn tables_as_text(&self) -> impl Iterator<Item = String> {
        // What cannot be read was told by `check`.
        self.fault.iter().filter_map(|table| read_table(table).ok()).map(|f| fault_text(&f))
    }

    /// `set`, and its tables as `set` would have them.
    fn settings(&self) -> Vec<String> {
        let tables = [
            ("store", &self.store),
            ("postgres", &self.postgres),
            ("mongodb", &self.mongodb),
            ("coverage", &self.coverage),
            ("package", &self.package),
        ];
        let mut settings = Vec::new();
        for (name, table) in tables {
            let mut fields: Vec<_> = table.iter().flatten().collect();
            // How many must confirm is said after that they must.
            fields.sort_by_key(|(field, _)| *field != "replication");
            settings.extend(
                fields.iter().map(|(field, value)| format!("{name}.{field}={}", inline(value))),
            );
        }
        settings.extend(self.set.iter().cloned());
        settings
    }

    /// It alone, as a text that changes when it does.
    pub fn definition(&self) -> String {
        // Plain tables of plain values always have a text.
        toml::to_string(self).unwrap_or_default()
    }

    /// The words of `run` that it comes to.
    pub fn words(&self) -> Words {
        self.flags().words()
    }
}

/// A value on one line.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let fields = table.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
