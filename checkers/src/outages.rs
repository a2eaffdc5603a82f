//! Outages: how long nobody's write was acknowledged, and which faults it is put down to.
//!
//! Definitions: `docs/recovery-times.md`. Pure, from acknowledged writes alone; what a node said of
//! itself has no part in it. No verdict rests on it.

use history::{EventKind, History, MopKind};

use crate::FaultSpan;

/// The shortest time without an acknowledged write that is an outage, ns.
pub const OUTAGE_MIN: i64 = 200_000_000;

/// A time in which writes were asked for and none was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last acknowledgement before it, or when a write was first asked for after that, ns.
    pub from: i64,
    /// The next acknowledgement, or when the last write was given up, ns.
    pub to: i64,
    /// Whether a write was acknowledged again.
    pub ended: bool,
    /// The proven faults in force when it began, by their start.
    pub faults: Vec<Charged>,
    /// The proven faults that came when it was an outage already.
    pub joined: Vec<Charged>,
}

/// A fault and how long it took until a write was acknowledged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Its id.
    pub id: String,
    /// What it was: `kill of n1`.
    pub label: String,
    /// When it was injected, ns.
    pub injected: i64,
    /// From the later of its injection and the outage's beginning to the outage's end, ns: the RTO.
    pub recovery: i64,
}

/// A write: from when to when somebody waited for it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    invoked: i64,
    over: i64,
}

/// When writes were asked for and acknowledged: what outages are found in.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// By invocation.
    asked: Vec<Asked>,
    /// In order, ns.
    acknowledged: Vec<i64>,
    /// The latest invocation of those acknowledged up to each, ns.
    newest: Vec<i64>,
}

impl Writes {
    /// The writes of a history.
    pub fn of(history: &History) -> Writes {
        let mut writes = Writes::default();
        let mut acknowledged = Vec::new();
        for op in history.ops.iter().filter(|op| !op.final_read) {
            if history.mops_of(op).iter().all(|mop| mop.kind == MopKind::Read) {
                continue;
            }
            // Whether anybody still waits for what was never completed is not known.
            let over = op.completed().unwrap_or(op.invoked());
            writes.asked.push(Asked { invoked: op.invoked(), over });
            if let (EventKind::Ok, Some(at)) = (op.kind, op.completed()) {
                acknowledged.push((at, op.invoked()));
            }
        }
        writes.asked.sort_by_key(|asked| asked.invoked);
        acknowledged.sort_unstable();
        let mut newest = i64::MIN;
        for (at, invoked) in acknowledged {
            newest = newest.max(invoked);
            writes.acknowledged.push(at);
            writes.newest.push(newest);
        }
        writes
    }

    /// The outages, each with the faults that it is put down to.
    pub fn outages(&self, faults: &[FaultSpan]) -> Vec<Outage> {
        let gaps =
            self.gaps().into_iter().filter(|gap| OUTAGE_MIN <= gap.to.saturating_sub(gap.from));
        gaps.filter_map(|gap| self.outage(gap, faults)).collect()
    }

    /// The longest time between two acknowledged writes that overlaps the time from `start` to
    /// `end`, ns; `None` without two of them there.
    pub fn longest_pause(&self, start: i64, end: i64) -> Option<i64> {
        let between = self.acknowledged.windows(2).map(|two| (two[0], two[1]));
        let around = between.filter(|(from, to)| start < *to && *from < end);
        around.map(|(from, to)| to.saturating_sub(from)).max()
    }

    /// All times between one acknowledgement and the next, before the first and after the last.
    fn gaps(&self) -> Vec<Gap> {
        let (Some(first), Some(last)) = (self.asked.first(), self.asked.last()) else {
            return Vec::new();
        };
        let end = self.asked.iter().map(|asked| asked.over).fold(last.over, i64::max);
        let begins = self.acknowledged.iter().zip(&self.newest).map(|(at, newest)| (*at, *newest));
        let begins = [(first.invoked, i64::MIN)].into_iter().chain(begins);
        let ends = self.acknowledged.iter().map(|at| (*at, true)).chain([(end, false)]);
        let gap = |((from, newest), (to, ended))| Gap { from, newest, to, ended };
        begins.zip(ends).map(gap).collect()
    }

    /// A gap from the moment on at which somebody waited in it. Whoever waited already when a
    /// younger write was acknowledged waits for something of their own.
    fn outage(&self, gap: Gap, faults: &[FaultSpan]) -> Option<Outage> {
        let until = |at: i64| self.asked.partition_point(|asked| asked.invoked <= at);
        let before = until(gap.from);
        // A damaged record may name a completion that is older than its invocation.
        let young = until(gap.newest).min(before);
        let waiting = self.asked[young..before].iter().any(|asked| gap.from < asked.over);
        let next = self.asked.get(before).map(|asked| asked.invoked);
        let from = if waiting { gap.from } else { next.filter(|at| *at < gap.to)? };
        if gap.to.saturating_sub(from) < OUTAGE_MIN {
            return None;
        }
        let mut told = Outage { from, to: gap.to, ended: gap.ended, ..Outage::default() };
        let mut spans: Vec<&FaultSpan> = faults.iter().filter(|span| span.effect).collect();
        spans.sort_by_key(|span| span.start);
        for span in spans.iter().filter(|span| span.start < gap.to && from < span.over()) {
            let recovery = gap.to.saturating_sub(span.start.max(from));
            let (id, label) = (span.id.clone(), span.label.clone());
            let charged = Charged { id, label, injected: span.start, recovery };
            // What was an outage before it came is not its doing.
            match OUTAGE_MIN <= span.start.saturating_sub(from) {
                true => told.joined.push(charged),
                false => told.faults.push(charged),
            }
        }
        Some(told)
    }
}

impl Default for Outage {
    fn default() -> Outage {
        Outage { from: 0, to: 0, ended: true, faults: Vec::new(), joined: Vec::new() }
    }
}

impl FaultSpan {
    /// Until when what it does shows: its healing, or later for one that is over at once.
    fn over(&self) -> i64 {
        self.end.max(self.watched)
    }
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    from: i64,
    /// The latest invocation of all that were acknowledged before it.
    newest: i64,
    to: i64,
    ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::read_events;

    const MS: i64 = 1_000_000;

    /// A history of writes, each with the ms at which it was invoked and completed, and how.
    fn writes(ops: &[(i64, Option<i64>, &str)]) -> Writes {
        let mut lines: Vec<(i64, String)> = Vec::new();
        for (place, (invoked, completed, kind)) in ops.iter().enumerate() {
            let line = |kind: &str, at: i64| {
                format!(
                    "\"type\":\"{kind}\",\"process\":{place},\"time\":{},\"f\":\"txn\",\
                     \"value\":[[\"append\",1,{place}]]",
                    at * MS
                )
            };
            lines.push((*invoked, line("invoke", *invoked)));
            lines.extend(completed.map(|at| (at, line(kind, at))));
        }
        lines.sort_by_key(|(at, _)| *at);
        let numbered = lines.iter().enumerate();
        let text: String =
            numbered.map(|(index, (_, line))| format!("{{\"index\":{index},{line}}}\n")).collect();
        let read = read_events(text.as_bytes());
        assert_eq!(read.damage, None);
        Writes::of(&read.history)
    }

    #[test]
    fn completions_that_are_older_than_their_invocations_are_survived() {
        let line = |index: u64, kind: &str, process: u64, time: i64| {
            format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"time\":{time},\
                 \"f\":\"txn\",\"value\":[[\"append\",1,{process}]]}}\n"
            )
        };
        let text = [
            line(0, "invoke", 1, 900 * MS),
            line(1, "ok", 1, 0),
            line(2, "invoke", 2, 950 * MS),
            line(3, "ok", 2, i64::MAX),
            line(4, "invoke", 3, i64::MIN),
            line(5, "ok", 3, 10),
        ];
        let read = read_events(text.concat().as_bytes());
        let writes = Writes::of(&read.history);
        writes.outages(&[FaultSpan { start: i64::MIN, end: i64::MAX, ..fault("f1", 0, 0) }]);
        writes.longest_pause(i64::MIN, i64::MAX);
    }

    /// Writes acknowledged a millisecond after each was invoked, at these ms.
    fn steady(at: impl IntoIterator<Item = i64>) -> Vec<(i64, Option<i64>, &'static str)> {
        at.into_iter().map(|at| (at - 1, Some(at), "ok")).collect()
    }

    fn fault(id: &str, start: i64, end: i64) -> FaultSpan {
        FaultSpan {
            id: id.to_owned(),
            label: "kill of n1".to_owned(),
            start: start * MS,
            end: end * MS,
            watched: end * MS,
            required: true,
            effect: true,
            unproven: None,
            leader: true,
        }
    }

    type Told = (i64, i64, bool, Vec<(String, i64)>, Vec<String>);

    /// Each outage: from, to, whether it ended, the faults with their RTO, those that came later.
    fn told(writes: &Writes, faults: &[FaultSpan]) -> Vec<Told> {
        let one = |outage: &Outage| {
            let charged = outage.faults.iter().map(|f| (f.id.clone(), f.recovery / MS)).collect();
            let joined = outage.joined.iter().map(|fault| fault.id.clone()).collect();
            (outage.from / MS, outage.to / MS, outage.ended, charged, joined)
        };
        writes.outages(faults).iter().map(one).collect()
    }

    fn rto(id: &str, ms: i64) -> Vec<(String, i64)> {
        vec![(id.to_owned(), ms)]
    }

    #[test]
    fn a_fault_through_which_writes_went_on_brings_no_outage() {
        let writes = writes(&steady((0..400).map(|n| 100 + n * 26)));
        assert_eq!(told(&writes, &[fault("f1", 3_000, 6_000)]), []);
        assert_eq!(writes.longest_pause(3_000 * MS, 6_000 * MS), Some(26 * MS));
    }

    #[test]
    fn no_write_at_all_is_no_outage() {
        assert_eq!(told(&writes(&[]), &[fault("f1", 0, 10)]), []);
        assert_eq!(writes(&[]).longest_pause(0, 10), None);
    }

    #[test]
    fn two_gaps_are_two_outages_and_each_is_told_with_its_own_length() {
        let mut ops = steady([2_900, 2_990, 3_870, 3_900, 5_500, 5_510]);
        // Somebody waited in both, and was refused or never answered.
        ops.extend([(3_000, Some(3_001), "fail"), (3_905, Some(4_905), "info")]);
        assert_eq!(
            told(&writes(&ops), &[fault("f1", 3_000, 6_000)]),
            [
                (3_000, 3_870, true, rto("f1", 870), vec![]),
                (3_905, 5_500, true, rto("f1", 1_595), vec![]),
            ]
        );
    }

    #[test]
    fn a_gap_to_the_end_is_an_outage_that_did_not_end() {
        let mut ops = steady([2_900, 2_990]);
        ops.extend([(2_995, Some(3_995), "info"), (4_100, Some(5_100), "info")]);
        assert_eq!(
            told(&writes(&ops), &[fault("f1", 3_000, 6_000)]),
            [(2_995, 5_100, false, rto("f1", 2_100), vec![])]
        );
    }

    #[test]
    fn a_run_in_which_nothing_was_ever_acknowledged_is_one_outage() {
        let ops = [(100, Some(1_100), "info"), (1_200, Some(2_200), "info")];
        assert_eq!(told(&writes(&ops), &[]), [(100, 2_200, false, vec![], vec![])]);
    }

    #[test]
    fn an_outage_that_began_before_a_fault_is_not_put_down_to_it() {
        let mut ops = steady([1_000, 4_000]);
        ops.push((1_010, Some(2_010), "info"));
        let (first, second) = (fault("f1", 900, 3_900), fault("f2", 2_000, 3_900));
        assert_eq!(
            told(&writes(&ops), &[second.clone(), first]),
            [(1_010, 4_000, true, rto("f1", 2_990), vec!["f2".to_owned()])]
        );
        assert_eq!(
            told(&writes(&ops), &[second]),
            [(1_010, 4_000, true, vec![], vec!["f2".to_owned()])]
        );
    }

    #[test]
    fn the_pause_in_which_a_fault_came_counts_from_its_injection() {
        let mut ops = steady([2_950, 4_200]);
        ops.push((2_950, Some(3_950), "info"));
        assert_eq!(
            told(&writes(&ops), &[fault("f1", 3_000, 6_000)]),
            [(2_950, 4_200, true, rto("f1", 1_200), vec![])]
        );
    }

    #[test]
    fn two_faults_in_force_when_it_began_share_an_outage() {
        let mut ops = steady([2_990, 3_050, 3_150, 3_250, 3_295, 4_180]);
        // One hangs through all of it and beyond: by itself it is no outage of the others.
        ops.extend([(3_000, Some(5_000), "info"), (3_295, Some(4_295), "info")]);
        let faults = [fault("f1", 3_000, 6_000), fault("f2", 3_300, 6_300)];
        let both = vec![("f1".to_owned(), 885), ("f2".to_owned(), 880)];
        assert_eq!(told(&writes(&ops), &faults), [(3_295, 4_180, true, both, vec![])]);
    }

    #[test]
    fn a_write_in_flight_through_a_fault_ends_the_outage_when_it_is_acknowledged() {
        // Asked before the fault, acknowledged 1.2 s into it; the answer already under way at the
        // injection is an acknowledgement like any other.
        let ops = [(2_900, Some(3_010), "ok"), (2_990, Some(4_200), "ok")];
        assert_eq!(
            told(&writes(&ops), &[fault("f1", 3_000, 6_000)]),
            [(3_010, 4_200, true, rto("f1", 1_190), vec![])]
        );
    }

    #[test]
    fn one_that_hangs_while_others_are_served_is_no_outage() {
        // Two writes a second, each acknowledged at once, and one that is never answered.
        let mut ops = steady((1..20).map(|n| n * 500));
        ops.push((3_100, Some(8_100), "info"));
        // Until the first after it is served nobody can know that it hangs alone.
        assert_eq!(told(&writes(&ops), &[]), [(3_100, 3_500, true, vec![], vec![])]);
    }

    #[test]
    fn a_time_in_which_nobody_asked_is_no_outage() {
        // Two writes a second, each acknowledged at once.
        let writes = writes(&steady((1..20).map(|n| n * 500)));
        assert_eq!(told(&writes, &[fault("f1", 3_000, 6_000)]), []);
        assert_eq!(writes.longest_pause(0, 9_000 * MS), Some(500 * MS));
    }

    #[test]
    fn a_fault_without_a_proven_effect_is_charged_with_nothing() {
        let mut ops = steady([2_990, 4_180]);
        ops.push((2_991, Some(3_991), "info"));
        let idle = FaultSpan { effect: false, ..fault("f1", 3_000, 6_000) };
        assert_eq!(told(&writes(&ops), &[idle]), [(2_991, 4_180, true, vec![], vec![])]);
    }

    #[test]
    fn what_comes_after_a_fault_is_over_is_not_its_doing_but_for_one_that_is_over_at_once() {
        let mut ops = steady([2_990, 6_500, 7_500]);
        ops.extend(steady((0..34).map(|n| 3_050 + n * 100)));
        ops.push((6_505, Some(7_505), "info"));
        let kill = fault("f1", 3_000, 6_000);
        assert_eq!(
            told(&writes(&ops), std::slice::from_ref(&kill)),
            [(6_505, 7_500, true, vec![], vec![])]
        );
        let brief = FaultSpan { watched: 7_000 * MS, ..kill };
        assert_eq!(told(&writes(&ops), &[brief])[0].3, rto("f1", 995));
    }
}
