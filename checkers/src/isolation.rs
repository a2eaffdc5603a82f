//! list-append and rw-register: isolation levels, judged by elle-rs (docs/checkers/isolation.md).

use elle_rs::draw::Drawing;
use elle_rs::{Anomaly, Case, CycleFound, Model, Options, Undecided, Validity, Workload, explain};
use history::{EventKind, History, MopKind, Op};
use serde_json::{Value, json};

use crate::registry::Checker;
use crate::sentences::{lines, windows};
use crate::verdict::{Assumption, Context, Finding, Outcome, Verdict, WitnessOp};

/// Transactions that append to lists.
pub struct ListAppend;

/// Transactions that write registers.
pub struct RwRegister;

/// The level that is judged where nobody names another.
const DEFAULT_LEVEL: &str = "strong-serializable";

impl Checker for ListAppend {
    fn name(&self) -> &'static str {
        "list-append"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        judge(self.name(), Workload::ListAppend, history, context)
    }
}

impl Checker for RwRegister {
    fn name(&self) -> &'static str {
        "rw-register"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        judge(self.name(), Workload::RwRegister, history, context)
    }
}

/// Whether a word names a level of isolation.
pub fn is_level(word: &str) -> bool {
    Model::named(word).is_some()
}

/// Whether a word names an anomaly of isolation.
pub fn is_anomaly(word: &str) -> bool {
    Anomaly::named(word).is_some()
}

/// Whether a rule decides a level: else every answer about it could be none but valid.
pub fn is_judged_level(word: &str) -> bool {
    Model::named(word).is_some_and(Model::is_judged)
}

/// The levels that are judged, by name.
pub fn judged_levels() -> Vec<&'static str> {
    Model::all().filter(|model| model.is_judged()).map(Model::name).collect()
}

/// Why a level cannot be asked for, if it cannot: whoever takes a level's name from a user refuses
/// it by this, before anything starts.
pub fn refused_level(word: &str) -> Option<&'static str> {
    match (is_level(word), is_judged_level(word)) {
        (_, true) => None,
        (true, false) => Some("no rule decides that level, so every answer would be valid"),
        (false, false) => Some("there is no such level"),
    }
}

fn judge(name: &str, workload: Workload, history: &History, context: &Context) -> Outcome {
    let (own, word) = match workload {
        Workload::ListAppend => (MopKind::Append, "appends to a list"),
        Workload::RwRegister => (MopKind::Write, "writes a register"),
    };
    if !history.mops.iter().any(|mop| mop.kind == own) {
        return Outcome::not_applicable(format!("no operation {word}"));
    }
    let level = context.levels.get(name).map_or(DEFAULT_LEVEL, String::as_str);
    let Some(model) = Model::named(level).filter(|model| model.is_judged()) else {
        return Outcome::unknown(format!("no rule decides the level {level}"));
    };
    let mut options = Options::new(workload).model(model);
    if workload == Workload::RwRegister {
        let assumed = |assumption| context.assume.contains(&assumption);
        options.wfr_keys = assumed(Assumption::Wfr);
        options.sequential_keys = assumed(Assumption::Sequential);
        options.linearizable_keys = assumed(Assumption::Linearizable);
    }
    // In a run every node is read in the end, followers too, which promise less than the level.
    options.final_reads_only_order = context.nodes.is_some();
    let verdict = match elle_rs::check(history, &options) {
        Ok(verdict) => verdict,
        Err(refusal) => return Outcome::unknown(format!("not judged: {refusal}")),
    };
    if verdict.validity != Validity::Invalid && !anybody_read(history) {
        return Outcome::not_applicable("no successful operation reads");
    }
    let mut outcome = Outcome::valid();
    outcome.verdict = in_three_values(verdict.validity);
    let beyond = beyond(&verdict);
    tell(&mut outcome, workload, history, model, &verdict, &beyond);
    outcome.reason = match (verdict.validity, verdict.undecided) {
        (Validity::Unknown, None) => {
            return Outcome { facts: outcome.facts, ..nothing(history, &verdict) };
        }
        (_, undecided) => {
            let not_refuted = undecided.map(|undecided| {
                outcome.facts.insert("decided".to_owned(), json!(false));
                outcome.facts.insert("undecided-pairs".to_owned(), share(undecided));
                format!("{} is not refuted: {}", model.name(), undecided.words())
            });
            let remark = remark(model, &beyond, &verdict);
            let parts: Vec<String> = not_refuted.into_iter().chain(remark).collect();
            (!parts.is_empty()).then(|| parts.join("; "))
        }
    };
    if verdict.validity != Validity::Invalid {
        return outcome;
    }
    let counts = verdict.counts.iter();
    let counted = counts.filter(|(anomaly, _)| verdict.anomaly_types.contains(anomaly));
    outcome.count = counted.map(|(_, count)| *count).sum();
    for cycle in verdict.cycles.iter().filter(|c| verdict.anomaly_types.contains(&c.anomaly)) {
        outcome.count += 1;
        outcome.findings.push(of_cycle(name, workload, history, context, cycle));
    }
    for case in verdict.cases.iter().filter(|c| verdict.anomaly_types.contains(&c.anomaly)) {
        outcome.findings.push(of_case(name, history, context, case));
    }
    outcome.count = outcome.count.max(1);
    outcome.findings.truncate(context.findings_max.unwrap_or(50));
    outcome
}

fn in_three_values(validity: Validity) -> Verdict {
    match validity {
        Validity::Valid => Verdict::Valid,
        Validity::Invalid => Verdict::Invalid,
        Validity::Unknown => Verdict::Unknown,
    }
}

/// Whether a successful operation reads: what nobody read could be anything.
fn anybody_read(history: &History) -> bool {
    let reads = |op: &Op| history.mops_of(op).iter().any(|mop| mop.kind == MopKind::Read);
    history.ops.iter().any(|op| op.kind == EventKind::Ok && reads(op))
}

/// Pairs of versions in no known order (`null`: too many to count), of all pairs, and the share.
fn share(undecided: Undecided) -> Value {
    let share = undecided.pairs.map(|pairs| pairs as f64 / undecided.of.max(1) as f64);
    json!({"pairs": undecided.pairs, "of": undecided.of, "share": share})
}

/// What was seen that the level does not forbid.
fn beyond(verdict: &elle_rs::Verdict) -> Vec<&'static str> {
    let found = verdict.found.iter();
    let beyond = found.filter(|anomaly| !verdict.anomaly_types.contains(anomaly));
    let mut names: Vec<&str> = beyond.map(Anomaly::name).collect();
    names.sort_unstable();
    names
}

/// Everything that the contract has beside the verdict and its findings.
fn tell(
    outcome: &mut Outcome,
    workload: Workload,
    history: &History,
    model: Model,
    verdict: &elle_rs::Verdict,
    beyond: &[&str],
) {
    let names = |models: &[Model]| models.iter().map(|model| model.name()).collect::<Vec<_>>();
    let types: Vec<&str> = verdict.anomaly_types.iter().map(|a| a.name()).collect();
    let strongest = names(&verdict.strongest);
    for (fact, value) in [
        ("model", json!(model.name())),
        ("anomaly-types", json!(types)),
        ("not", json!(names(&verdict.not))),
        ("also-not", json!(names(&verdict.also_not))),
        ("strongest", json!(strongest)),
        ("beyond", json!(beyond)),
        ("assuming", json!(verdict.assumptions)),
    ] {
        outcome.facts.insert(fact.to_owned(), value);
    }
    if let Some(implied) = verdict.implied {
        outcome.facts.insert("implied".to_owned(), json!(implied));
    }
    if !verdict.cycles.is_empty() {
        let cycles = verdict.cycles.iter().map(|cycle| drawn(workload, history, cycle));
        outcome.facts.insert("cycles".to_owned(), cycles.collect());
    }
}

/// A cycle as data: a report draws it.
fn drawn(workload: Workload, history: &History, cycle: &CycleFound) -> Value {
    let drawing = Drawing::of(history, workload, cycle);
    let steps = drawing.steps.iter().map(|step| {
        json!({
            "transaction": step.transaction,
            "place": step.place,
            "kind": step.kind,
            "because": step.because,
        })
    });
    json!({"anomaly": drawing.title, "steps": steps.collect::<Vec<Value>>()})
}

/// Why nothing could be judged.
fn nothing(history: &History, verdict: &elle_rs::Verdict) -> Outcome {
    match history.is_untimed() && verdict.anomaly_types.is_empty() {
        true => Outcome::unknown(
            "no order of real time is known, as there are no invocations: name a level without \
             it, such as serializable",
        ),
        false => Outcome::not_applicable("no transaction depends on another"),
    }
}

/// What a reader of a verdict has to know beside it: what it rests on, and what was seen that the
/// level does not forbid.
fn remark(model: Model, beyond: &[&str], verdict: &elle_rs::Verdict) -> Option<String> {
    let mut parts = Vec::new();
    if !verdict.assumptions.is_empty() {
        parts.push(format!("assuming: {}", verdict.assumptions.join(", ")));
    }
    if let Some(implied) = verdict.implied {
        parts.push(format!("{} implies {implied}", model.name()));
    }
    if !beyond.is_empty() {
        let seen = beyond.join(", ");
        parts.push(format!("seen, and not forbidden by {}: {seen}", model.name()));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn of_cycle(
    name: &str,
    workload: Workload,
    history: &History,
    context: &Context,
    cycle: &CycleFound,
) -> Finding {
    let ops: Vec<&Op> = cycle.steps.iter().map(|step| &history.ops[step.op as usize]).collect();
    let notes = cycle.steps.iter().enumerate().map(|(at, step)| {
        let next = (at + 1) % cycle.steps.len() + 1;
        let (from, to) = (format!("T{}", at + 1), format!("T{next}"));
        let why = explain::because(history, workload, &from, &to, step.why);
        format!("{from}, before {to}: {why}")
    });
    let witness = ops.iter().zip(notes).map(|(op, note)| whole(history, op, note)).collect();
    let sentence = explain::sentence(history, workload, cycle);
    finding(context, sentence, &ops, witness, format!("{name}/{}", cycle.anomaly))
}

fn of_case(name: &str, history: &History, context: &Context, case: &Case) -> Finding {
    let ops: Vec<&Op> = case.ops.iter().map(|op| &history.ops[*op as usize]).collect();
    let note = |op: &Op| explain::transaction(history, op);
    let witness = ops.iter().map(|op| whole(history, op, note(op))).collect();
    let sentence = format!("{}: {}", case.anomaly, case.sentence);
    finding(context, sentence, &ops, witness, format!("{name}/{}", case.anomaly))
}

fn whole(history: &History, op: &Op, note: String) -> WitnessOp {
    let mops: Vec<&history::Mop> = history.mops_of(op).iter().collect();
    crate::sentences::witness(history, op, &mops, note)
}

fn finding(
    context: &Context,
    sentence: String,
    ops: &[&Op],
    mut witness: Vec<WitnessOp>,
    signature: String,
) -> Finding {
    witness.sort_by_key(|op| op.index);
    let from = ops.iter().map(|op| op.invoked()).min().unwrap_or(0);
    let to = ops.iter().map(|op| op.completed().unwrap_or(op.invoked())).max().unwrap_or(0);
    Finding { sentence, ops: lines(ops), witness, signature, windows: windows(context, from, to) }
}
