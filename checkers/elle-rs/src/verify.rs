//! Checks a witness against the raw history, with no code in common with what found it.
//!
//! Slow and plain on purpose: every edge is justified by reading the whole history anew.

use history::{EventKind, History, Mop, MopKind, Op, Shown};

use crate::anomaly::Anomaly;
use crate::cases::{Case, Why};
use crate::options::{Options, Workload};
use crate::verdict::CycleFound;

/// Checks a cycle edge by edge, and its name.
///
/// # Errors
/// What does not hold.
pub fn cycle(history: &History, options: &Options, found: &CycleFound) -> Result<(), String> {
    let raw = Raw { history, options, implied: implied(options) };
    for (at, step) in found.steps.iter().enumerate() {
        let next = found.steps[(at + 1) % found.steps.len()].op;
        if found.steps[..at].iter().any(|other| other.op == step.op) {
            return Err(format!("operation {} is in the cycle twice", step.op));
        }
        if !raw.holds(step.op, next, step.why) {
            return Err(format!("{} to {next}: {:?} does not hold", step.op, step.why));
        }
    }
    let whys: Vec<Why> = found.steps.iter().map(|step| step.why).collect();
    let name = name_of(&whys);
    // A cycle that rests on an order of versions which the level implies is named for that order.
    let implied = raw
        .implied
        .and_then(|(ending, _)| Anomaly::named(name.as_deref()?)?.by_implied_order(ending));
    let named = match found.anomaly {
        Anomaly::WriteSkew => is_made_of(&whys, "rw rw"),
        Anomaly::LongFork => is_made_of(&whys, "rw wr rw wr"),
        other => name.as_deref() == Some(other.name()) || implied == Some(other),
    };
    match named {
        true => Ok(()),
        false => Err(format!("this is {name:?}, not {}", found.anomaly)),
    }
}

/// Whether the edges are of these kinds, in this order, beginning with the first.
fn is_made_of(whys: &[Why], kinds: &str) -> bool {
    let words = whys.iter().map(|why| match why {
        Why::Overwrote { .. } => "ww",
        Why::Read { .. } => "wr",
        Why::ReadBefore { .. } => "rw",
        Why::Process => "process",
        Why::Realtime => "realtime",
    });
    words.collect::<Vec<&str>>().join(" ") == kinds
}

fn name_of(whys: &[Why]) -> Option<String> {
    let anti = |why: &Why| matches!(why, Why::ReadBefore { .. });
    let antis = whys.iter().filter(|why| anti(why)).count();
    let pairs = whys.iter().zip(whys.iter().cycle().skip(1));
    let adjacent = pairs.clone().any(|(a, b)| anti(a) && anti(b));
    let has = |test: fn(&Why) -> bool| whys.iter().any(test);
    let base = if antis == 1 {
        "G-single-item"
    } else if antis > 1 && adjacent {
        "G2-item"
    } else if antis > 1 {
        "G-nonadjacent-item"
    } else if has(|why| matches!(why, Why::Read { .. })) {
        "G1c"
    } else if has(|why| matches!(why, Why::Overwrote { .. })) {
        "G0"
    } else {
        return None;
    };
    let ending = if has(|why| matches!(why, Why::Realtime)) {
        "-realtime"
    } else if has(|why| matches!(why, Why::Process)) {
        "-process"
    } else {
        ""
    };
    (whys.len() > 1).then(|| format!("{base}{ending}"))
}

/// The order of versions that the levels imply: the ending of its names, and whether it is of real
/// time.
fn implied(options: &Options) -> Option<(usize, bool)> {
    let prohibited = options.prohibited();
    let any = |rules: [Anomaly; 2]| rules.iter().any(|rule| prohibited.contains(*rule));
    if options.workload != Workload::RwRegister {
        None
    } else if any([Anomaly::StrongSiCycle, Anomaly::PlSsCycle]) {
        Some((2, true))
    } else if any([Anomaly::SessionSiCycle, Anomaly::SessionPl3Cycle]) {
        Some((1, false))
    } else {
        None
    }
}

struct Raw<'h> {
    history: &'h History,
    options: &'h Options,
    implied: Option<(usize, bool)>,
}

impl<'h> Raw<'h> {
    fn op(&self, number: u32) -> &'h Op {
        &self.history.ops[number as usize]
    }

    fn mops(&self, number: u32) -> &'h [Mop] {
        self.history.mops_of(self.op(number))
    }

    fn ok_reads(&self, key: u32) -> impl Iterator<Item = &'h Mop> + use<'h> {
        let history = self.history;
        let ok = history.ops.iter().filter(|op| op.kind == EventKind::Ok);
        let mops = ok.flat_map(|op| history.mops_of(op));
        mops.filter(move |mop| mop.kind == MopKind::Read && mop.key == key)
    }

    fn writes(&self, number: u32, key: u32, value: i64) -> bool {
        let write = |mop: &&Mop| mop.kind != MopKind::Read && mop.key == key;
        let mut writes = self.mops(number).iter().filter(write);
        match self.options.workload {
            Workload::ListAppend => writes.any(|mop| mop.value == value),
            Workload::RwRegister => writes.next_back().is_some_and(|mop| mop.value == value),
        }
    }

    fn may_have_failed(&self, key: u32, value: i64) -> bool {
        let wrote = |number: &u32| {
            let mut mops = self.mops(*number).iter();
            let hit = |m: &Mop| m.kind != MopKind::Read && m.key == key && m.value == value;
            mops.any(hit)
        };
        let writer = (0..self.history.ops.len() as u32).find(wrote);
        writer.is_none_or(|writer| self.op(writer).kind == EventKind::Fail)
    }

    fn holds(&self, from: u32, to: u32, why: Why) -> bool {
        let (a, b) = (self.op(from), self.op(to));
        let ok = |op: &Op| op.kind == EventKind::Ok;
        let may = |op: &Op| op.kind != EventKind::Fail;
        match why {
            Why::Process => {
                ok(a)
                    && may(b)
                    && a.process() == b.process()
                    && a.completed_index() < Some(b.index())
            }
            Why::Realtime => {
                ok(a) && may(b) && a.completed_index().is_some_and(|done| done < b.index())
            }
            Why::Read { key, value } => {
                ok(b) && may(a) && self.writes(from, key, value) && {
                    self.reads_version(to, key, Some(value))
                }
            }
            Why::Overwrote { key, from: before, to: after } => {
                may(a)
                    && may(b)
                    && self.writes(from, key, before)
                    && self.writes(to, key, after)
                    && self.follows(key, Some(before), after)
            }
            Why::ReadBefore { key, from: before, to: after } => {
                ok(a)
                    && may(b)
                    && self.reads_version(from, key, before)
                    && self.writes(to, key, after)
                    && self.follows(key, before, after)
            }
        }
    }

    fn reads_version(&self, number: u32, key: u32, version: Option<i64>) -> bool {
        let mops = self.mops(number);
        match self.options.workload {
            Workload::ListAppend => mops.iter().any(|mop| {
                let read = mop.kind == MopKind::Read && mop.key == key;
                read && self.history.list(mop).last().copied() == version
            }),
            Workload::RwRegister => {
                let first = mops.iter().find(|mop| mop.key == key);
                first.is_some_and(|mop| mop.kind == MopKind::Read && value_of(mop) == version)
            }
        }
    }

    /// Whether `after` is the version that follows on `before`.
    fn follows(&self, key: u32, before: Option<i64>, after: i64) -> bool {
        match self.options.workload {
            Workload::ListAppend => self.list_follows(key, before, after),
            Workload::RwRegister => self.register_follows(key, before, Some(after)),
        }
    }

    fn list_follows(&self, key: u32, before: Option<i64>, after: i64) -> bool {
        let lists: Vec<&[i64]> = self.ok_reads(key).map(|mop| self.history.list(mop)).collect();
        let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
        let next_in = |list: &[i64]| {
            let rest = match before {
                None => list,
                Some(value) => match list.iter().position(|v| *v == value) {
                    Some(at) => &list[at + 1..],
                    None => return None,
                },
            };
            Some(rest.iter().copied().find(|v| !self.may_have_failed(key, *v)))
        };
        let shown = lists.iter().any(|list| next_in(list) == Some(Some(after)));
        let full = lists.iter().filter(|list| list.len() == longest);
        let nobody_read = |list: &&&[i64]| !list.contains(&after) && next_in(list) == Some(None);
        // A key that nobody read has the initial state before all appends.
        shown
            || full.clone().any(|list| nobody_read(&list))
            || (lists.is_empty() && before.is_none())
    }

    fn register_follows(&self, key: u32, before: Option<i64>, after: Option<i64>) -> bool {
        if before == after {
            return false;
        }
        if before.is_none() {
            return true;
        }
        let (first, last) = (|op| self.met(op, key).0, |op| self.met(op, key).1);
        let count = self.history.ops.len() as u32;
        let wfr = |op: u32| {
            let wrote = |v: i64| self.writes(op, key, v);
            self.op(op).kind == EventKind::Ok
                && self.reads_version(op, key, before)
                && after.is_some_and(wrote)
        };
        if self.options.wfr_keys && (0..count).any(wfr) {
            return true;
        }
        let earlier: Vec<u32> = (0..count)
            .filter(|op| self.op(*op).kind == EventKind::Ok && last(*op) == Some(before))
            .collect();
        let later: Vec<u32> = (0..count)
            .filter(|op| self.op(*op).kind != EventKind::Fail && first(*op) == Some(after))
            .collect();
        earlier.iter().any(|a| {
            later.iter().any(|b| {
                let order = self.op(*a).completed_index() < Some(self.op(*b).index());
                let same = self.op(*a).process() == self.op(*b).process();
                let (linearizable, sequential) = self.orders();
                order && (linearizable || (sequential && same))
            })
        })
    }

    /// Whether keys are taken to be linearizable, and sequential.
    fn orders(&self) -> (bool, bool) {
        let (linearizable, sequential) =
            (self.options.linearizable_keys, self.options.sequential_keys);
        let implied = |realtime| self.implied.is_some_and(|(_, own)| own == realtime);
        (linearizable || implied(true), sequential || implied(false))
    }

    /// The first and the last version of a register that an operation met.
    fn met(&self, number: u32, key: u32) -> (Option<Option<i64>>, Option<Option<i64>>) {
        let ok = self.op(number).kind == EventKind::Ok;
        let mops: Vec<&Mop> = self.mops(number).iter().filter(|mop| mop.key == key).collect();
        let read = mops.first().filter(|mop| mop.kind == MopKind::Read && ok);
        let wrote = mops.iter().rev().find(|mop| mop.kind != MopKind::Read);
        let read = read.map(|mop| value_of(mop));
        let wrote = wrote.map(|mop| Some(mop.value));
        (read.or(wrote), wrote.or(read))
    }
}

fn value_of(mop: &Mop) -> Option<i64> {
    (mop.kind != MopKind::Read || mop.shown == Shown::Int).then_some(mop.value)
}

/// Checks a case that is no cycle.
///
/// # Errors
/// What does not hold.
pub fn case(history: &History, options: &Options, case: &Case) -> Result<(), String> {
    let raw = Raw { history, options, implied: None };
    match raw.case_holds(case) {
        true => Ok(()),
        false => Err(format!("{} does not hold: {}", case.anomaly, case.sentence)),
    }
}

impl Raw<'_> {
    fn shows(&self, mop: &Mop, value: i64) -> bool {
        mop.kind == MopKind::Read
            && (self.history.list(mop).contains(&value) || value_of(mop) == Some(value))
    }

    fn case_holds(&self, case: &Case) -> bool {
        let key = case.key;
        let of_key = |op: u32| self.mops(op).iter().filter(move |mop| mop.key == key);
        let is = |op: u32, kind: EventKind| self.op(op).kind == kind;
        let any_write = |op: u32, value: i64| {
            of_key(op).any(|mop| mop.kind != MopKind::Read && mop.value == value)
        };
        let ok_read = |op: u32, value: i64| {
            is(op, EventKind::Ok) && of_key(op).any(|mop| self.shows(mop, value))
        };
        match (case.anomaly, &case.ops[..], &case.values[..]) {
            (Anomaly::G1a, &[writer, reader], &[value]) => {
                is(writer, EventKind::Fail) && any_write(writer, value) && ok_read(reader, value)
            }
            (Anomaly::GarbageRead, &[reader], &[value]) => {
                let all = 0..self.history.ops.len() as u32;
                ok_read(reader, value) && !all.clone().any(|op| any_write(op, value))
            }
            (Anomaly::G1b, &[writer, reader], &[value]) => {
                let mut after = of_key(writer)
                    .filter(|mop| mop.kind != MopKind::Read)
                    .skip_while(|mop| mop.value != value);
                let ends = |mop: &Mop| {
                    self.history.list(mop).last().copied().or(value_of(mop)) == Some(value)
                };
                writer != reader
                    && after.next().is_some()
                    && after.next().is_some()
                    && ok_read(reader, value)
                    && of_key(reader).any(|mop| mop.kind == MopKind::Read && ends(mop))
            }
            (Anomaly::FutureRead, &[reader], &[value]) => {
                let before = of_key(reader)
                    .take_while(|mop| mop.kind == MopKind::Read || mop.value != value);
                any_write(reader, value) && before.clone().any(|mop| self.shows(mop, value))
            }
            (Anomaly::DuplicateElements, &[reader], &[value]) => of_key(reader).any(|mop| {
                self.history.list(mop).iter().filter(|shown| **shown == value).count() > 1
            }),
            (Anomaly::IncompatibleOrder, &[one, other], _) => of_key(one).any(|a| {
                of_key(other).any(|b| {
                    let (a, b) = (self.history.list(a), self.history.list(b));
                    !a.starts_with(b) && !b.starts_with(a)
                })
            }),
            (Anomaly::DirtyUpdate, &[failed, writer], &[undone, value]) => {
                let on_top = self.ok_reads(key).any(|mop| {
                    let list = self.history.list(mop);
                    let at = |value: i64| list.iter().position(|v| *v == value);
                    at(undone).zip(at(value)).is_some_and(|(a, b)| a < b)
                });
                is(failed, EventKind::Fail)
                    && is(writer, EventKind::Ok)
                    && any_write(failed, undone)
                    && any_write(writer, value)
                    && on_top
            }
            (Anomaly::LostUpdate, ops, _) => self.lost_update(key, ops),
            (Anomaly::Internal, &[op], _) => is(op, EventKind::Ok) && self.internal(op, key),
            (Anomaly::CyclicVersions, _, values) => self.cyclic(key, values),
            _ => false,
        }
    }

    fn lost_update(&self, key: u32, ops: &[u32]) -> bool {
        let read = |op: u32| {
            let mops = self.mops(op).iter();
            let mut mops = mops.filter(|mop| mop.key == key);
            let first = mops.next().filter(|mop| mop.kind == MopKind::Read)?;
            let writes = mops.any(|mop| mop.kind != MopKind::Read);
            let ok = self.op(op).kind == EventKind::Ok;
            (ok && writes).then(|| (self.history.list(first), value_of(first)))
        };
        let first = read(ops[0]);
        ops.len() > 1 && first.is_some() && ops.iter().all(|op| read(*op) == first)
    }

    fn internal(&self, op: u32, key: u32) -> bool {
        let mops: Vec<&Mop> = self.mops(op).iter().filter(|mop| mop.key == key).collect();
        let reads = (1..mops.len()).filter(|at| mops[*at].kind == MopKind::Read);
        reads.into_iter().any(|at| {
            if self.options.workload == Workload::RwRegister {
                return value_of(mops[at - 1]) != value_of(mops[at]);
            }
            let own = |mops: &[&Mop]| mops.iter().map(|mop| mop.value).collect::<Vec<i64>>();
            let shown = self.history.list(mops[at]);
            let before = mops[..at].iter().rposition(|mop| mop.kind == MopKind::Read);
            match before {
                None => !shown.ends_with(&own(&mops[..at])),
                Some(before) => {
                    let mut expected = self.history.list(mops[before]).to_vec();
                    expected.extend(own(&mops[before + 1..at]));
                    let nothing = |mop: &Mop| mop.shown == Shown::Nothing;
                    let kind = before + 1 < at || nothing(mops[before]) == nothing(mops[at]);
                    expected != shown || !kind
                }
            }
        })
    }

    fn cyclic(&self, key: u32, values: &[i64]) -> bool {
        let mut versions: Vec<Option<i64>> = values.iter().copied().map(Some).collect();
        versions.push(None);
        // From each version to those that follow on it, as far as it goes.
        let goes_round = |start: Option<i64>| {
            let (mut seen, mut open) = (Vec::new(), vec![start]);
            while let Some(at) = open.pop() {
                for next in versions.iter().filter(|next| self.register_follows(key, at, **next)) {
                    if *next == start {
                        return true;
                    }
                    if !seen.contains(next) {
                        seen.push(*next);
                        open.push(*next);
                    }
                }
            }
            false
        };
        values.iter().all(|value| goes_round(Some(*value)))
    }
}
