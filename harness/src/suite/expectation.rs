//! What a case is held against. Three things can be expected: that it is valid, that something is
//! found, that something holds. A promised guarantee that breaks is never expected unless named.

use reports::suite::{CaseStatus, SeedResult};

use super::AtLeast;

/// See the module's doc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Every run is valid.
    pub valid: bool,
    /// Checkers that find something.
    pub finds: Vec<String>,
    /// Checkers that find nothing, promised or not, in runs that could have failed.
    pub holds: Vec<String>,
    /// Anomalies of isolation that transactions show, whatever is promised.
    pub shows: Vec<String>,
    /// In how many runs each of `finds` and `shows` is found; absent: in all.
    pub at_least: Option<AtLeast>,
    /// Whether what was not refuted, and could not be decided, is taken for valid.
    pub undecided_ok: bool,
}

/// How a case's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code; and the error it told, if any.
    Exited(i32, Option<String>),
    /// By a signal that we did not send.
    Killed(String),
    /// Ended by us: it took longer than this many ms.
    TimedOut(u64),
    /// Ended by us: the user wanted it.
    Interrupted,
}

impl Expectation {
    /// In words, for so many runs.
    pub fn words(&self, seeds: usize) -> String {
        let mut parts = Vec::new();
        if self.valid {
            parts.push("valid".to_owned());
        }
        let often = match self.at_least {
            None if seeds == 1 => String::new(),
            None => format!(" in each of {seeds} seeds"),
            Some(least) => format!(" in at least {}", least.words(seeds)),
        };
        if !self.finds.is_empty() {
            parts.push(format!("finds {}{often}", self.finds.join(", ")));
        }
        if !self.shows.is_empty() {
            parts.push(format!("transactions show {}{often}", self.shows.join(", ")));
        }
        if !self.holds.is_empty() {
            parts.push(format!("{} held", self.holds.join(", ")));
        }
        if self.undecided_ok {
            parts.push("or not refuted".to_owned());
        }
        parts.join("; ")
    }

    /// What came of a case that was to have so many runs, and why it is not as expected.
    pub fn judge(
        &self,
        wanted: usize,
        seeds: &[SeedResult],
        end: &End,
    ) -> (CaseStatus, Vec<String>) {
        let mut tally = Tally::default();
        for seed in seeds {
            self.broken(seed, &mut tally);
            self.valid(seed, &mut tally);
            self.held(seed, &mut tally);
        }
        let found = |seed: &SeedResult, name: &str| seed.found.contains_key(name);
        for name in &self.finds {
            self.found(wanted, seeds, (name, name), &found, &mut tally);
        }
        let shown = |seed: &SeedResult, name: &str| seed.shown.iter().any(|shown| shown == name);
        for name in &self.shows {
            self.found(wanted, seeds, (name, "list-append"), &shown, &mut tally);
        }
        let (surroundings, said) = surroundings(wanted, seeds, end);
        let status = [
            (!tally.unexpected.is_empty()).then_some(CaseStatus::Unexpected),
            surroundings,
            (!tally.unknown.is_empty()).then_some(CaseStatus::Unknown),
        ];
        let status = status.into_iter().flatten().next().unwrap_or(CaseStatus::AsExpected);
        let why = tally.unexpected.into_iter().chain(said).chain(tally.unknown).collect();
        (status, why)
    }

    /// A promise that broke, and nobody said that it would.
    fn broken(&self, seed: &SeedResult, tally: &mut Tally) {
        for name in seed.broken.iter().filter(|name| !self.finds.contains(name)) {
            let what = format!("{name} is promised, and was violated");
            tally.unexpected.push(format!("seed {}: {what}", seed.seed));
        }
    }

    fn valid(&self, seed: &SeedResult, tally: &mut Tally) {
        if !self.valid {
            return;
        }
        match seed.verdict.as_deref() {
            Some("valid") => {}
            Some("invalid") if seed.broken.is_empty() => {
                let what = format!("expected valid, found {}", seed.words());
                tally.unexpected.push(format!("seed {}: {what}", seed.seed));
            }
            Some("invalid") => {}
            _ if self.undecided_ok && seed.undecided_alone => {}
            _ => tally.unknown.push(format!("seed {}: {}", seed.seed, doubt(seed))),
        }
    }

    fn held(&self, seed: &SeedResult, tally: &mut Tally) {
        for name in &self.holds {
            if seed.broken.contains(name) {
                continue;
            }
            if seed.found.contains_key(name) {
                let what = format!("{name} was to hold, and was violated");
                tally.unexpected.push(format!("seed {}: {what}", seed.seed));
            } else if let Some(why) = untold(seed, name).filter(|_| !self.taken(seed, name)) {
                tally.unknown.push(format!("seed {}: {name}: {why}", seed.seed));
            }
        }
    }

    /// Whether a checker's level was not refuted, which is enough here, in a run that could fail.
    fn taken(&self, seed: &SeedResult, name: &str) -> bool {
        let undecided = seed.undecided.iter().any(|undecided| undecided == name);
        self.undecided_ok && undecided && seed.missing.is_empty()
    }

    /// Whether something, told by a checker, is there often enough.
    fn found(
        &self,
        wanted: usize,
        seeds: &[SeedResult],
        (name, checker): (&str, &str),
        has: &dyn Fn(&SeedResult, &str) -> bool,
        tally: &mut Tally,
    ) {
        let need = self.at_least.map_or(wanted, |least| least.runs(wanted));
        let found = seeds.iter().filter(|seed| has(seed, name)).count();
        if need <= found {
            return;
        }
        let without = seeds.iter().filter(|seed| !has(seed, name));
        let open = without.clone().filter(|seed| untold(seed, checker).is_some()).count();
        let open = open + wanted.saturating_sub(seeds.len());
        let missing: Vec<String> = without.map(|seed| seed.seed.to_string()).collect();
        let what = format!("{name} was found in {found} of {wanted} runs, expected {need}");
        let what = match missing.is_empty() {
            true => what,
            false => format!("{what}; not with seed {}", missing.join(", ")),
        };
        match need <= found + open {
            true => tally.unknown.push(what),
            false => tally.unexpected.push(what),
        }
    }
}

#[derive(Default)]
struct Tally {
    unexpected: Vec<String>,
    unknown: Vec<String>,
}

/// Why a run cannot tell that a checker found nothing.
fn untold(seed: &SeedResult, name: &str) -> Option<String> {
    if let Some(why) = seed.untold.get(name) {
        return Some(why.clone());
    }
    if seed.verdict.is_none() {
        return Some("the run was not judged".to_owned());
    }
    (!seed.missing.is_empty()).then(|| seed.missing.join("; "))
}

fn doubt(seed: &SeedResult) -> String {
    let missing = (!seed.missing.is_empty()).then(|| seed.missing.join("; "));
    let untold = seed.untold.iter().next().map(|(name, why)| format!("{name}: {why}"));
    missing.or(untold).unwrap_or_else(|| "no reason was told".to_owned())
}

/// What went wrong around the runs, if anything did.
fn surroundings(
    wanted: usize,
    seeds: &[SeedResult],
    end: &End,
) -> (Option<CaseStatus>, Option<String>) {
    let of_seeds = |code: u8| seeds.iter().any(|seed| seed.exit == code);
    let told = |error: &Option<String>, what: &str| error.clone().unwrap_or(what.to_owned());
    let (status, said) = match end {
        End::TimedOut(ms) => {
            (CaseStatus::Environment, format!("did not end within {} s", ms / 1_000))
        }
        End::Interrupted => (CaseStatus::Interrupted, "interrupted".to_owned()),
        End::Killed(signal) => (CaseStatus::Internal, format!("ended by {signal}")),
        End::Exited(0..=2, _) if of_seeds(75) => {
            (CaseStatus::Environment, "the environment of a run failed".to_owned())
        }
        // Something was found before, and tells more than what ended the runs.
        End::Exited(0..=2, Some(error)) if seeds.len() < wanted => {
            (CaseStatus::Environment, error.clone())
        }
        End::Exited(0..=2, _) if seeds.len() < wanted => {
            (CaseStatus::Internal, format!("{} of {wanted} runs were made", seeds.len()))
        }
        End::Exited(0..=2, _) => return (None, None),
        End::Exited(75, error) => (CaseStatus::Environment, told(error, "the environment failed")),
        End::Exited(64, error) => (CaseStatus::Environment, told(error, "it was refused")),
        End::Exited(130, error) => (CaseStatus::Interrupted, told(error, "interrupted")),
        End::Exited(code, error) => {
            let what = format!("ended with {code}: {}", told(error, "see its log"));
            (CaseStatus::Internal, what)
        }
    };
    (Some(status), Some(said))
}

#[cfg(test)]
mod tests;
