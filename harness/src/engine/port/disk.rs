//! Faults of the disk: carried out by the layer under a node's data, and what it said.

use std::time::Instant;

use agent::disk::asks::{Damage, DiskAsk};
use agent::disk::trouble::{Operation, Trouble, Troubled};
use agent::proto::{Answer, Ask};
use history::{Evidence, FaultResult, OPERATIONS_MET};
use nemesis::{ActReport, DiskAct, DiskOperation, FileClass};
use systems::DiskLayout;

use super::HostPort;

/// What a probe says of a disk without trouble.
const SOUND: &str = "written, synced, read";

/// What a disk answered: words, a count, a sync's ms.
type Said = (String, u64, u64);

impl HostPort {
    /// Does it on all nodes at once, then probes.
    pub(super) fn inject_disk(&self, id: &str, nodes: &[usize], what: &DiskAct) -> ActReport {
        let started = Instant::now();
        let Some(layouts) = self.layouts(nodes) else {
            return none(started, "where its data is, is not known");
        };
        let asks = layouts.iter().map(|(node, l)| (*node, self.disk_ask(id, *node, what, l)));
        let (answers, mut errors) = self.ask_disks(asks.collect());
        let took = started.elapsed().as_nanos() as i64;
        let mut evidence = Vec::new();
        if matches!(what, DiskAct::Lose { .. }) && !answers.is_empty() {
            evidence.push(of_loss(answers.iter().map(|(n, said)| (self.name(*n), said))));
        }
        for (node, (said, ..)) in &answers {
            let expected = match what {
                DiskAct::Tear { .. } => "the log's last bytes taken",
                DiskAct::Flip { .. } => "one bit flipped",
                _ => continue,
            };
            let probe = format!("{} disk", self.name(*node));
            evidence.push(Evidence {
                probe,
                expected: expected.to_owned(),
                observed: said.clone(),
                holds: true,
            });
        }
        if what.kills() {
            evidence.extend(self.absent(nodes));
        } else if let Some(troubled) = Probed::of(what) {
            let (mut probes, mut failed) = self.probe_disks(&layouts, &troubled);
            evidence.append(&mut probes);
            errors.append(&mut failed);
        }
        report(evidence, errors, took)
    }

    /// Undoes it on all nodes at once, then probes. Who died of it runs again.
    pub(super) fn undo_disk(&self, id: &str, nodes: &[usize], what: &DiskAct) -> ActReport {
        let started = Instant::now();
        let Some(layouts) = self.layouts(nodes) else {
            return none(started, "where its data is, is not known");
        };
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        if Probed::of(what).is_some() {
            let relieve = |(node, layout): &(usize, DiskLayout)| {
                let (folder, fault) = (layout.folder.clone(), id.to_owned());
                (*node, DiskAsk::Relieve { folder, fault })
            };
            let (answers, mut failed) = self.ask_disks(layouts.iter().map(relieve).collect());
            errors.append(&mut failed);
            // A trouble that the system itself never met has shown nothing.
            evidence.extend(answers.into_iter().map(|(node, (_, met, _))| Evidence {
                probe: format!("{} disk", self.name(node)),
                expected: OPERATIONS_MET.to_owned(),
                observed: met.to_string(),
                holds: met != 0,
            }));
        } else {
            let heal = |node: &usize| (*node, Ask::Heal { fault: id.to_owned() });
            let answers = self.ask_all(nodes.iter().map(heal).collect());
            errors.extend(answers.into_iter().filter_map(|(_, answer)| answer.err()));
        }
        let took = started.elapsed().as_nanos() as i64;
        let (mut probes, mut failed) = self.probe_disks(&layouts, &Probed::Sound);
        evidence.append(&mut probes);
        errors.append(&mut failed);
        evidence.append(&mut self.running(nodes));
        report(evidence, errors, took)
    }

    /// Where each node's data is.
    fn layouts(&self, nodes: &[usize]) -> Option<Vec<(usize, DiskLayout)>> {
        nodes.iter().map(|node| Some((*node, self.system.disk(*node)?))).collect()
    }

    fn disk_ask(&self, id: &str, node: usize, what: &DiskAct, layout: &DiskLayout) -> DiskAsk {
        let (folder, fault) = (layout.folder.clone(), id.to_owned());
        let start = || self.system.start(node);
        let crash = |damage| {
            let (restart, pidfile) = (start(), start().pidfile);
            DiskAsk::Crash {
                folder: folder.clone(),
                fault: fault.clone(),
                pidfile,
                restart,
                damage,
            }
        };
        let trouble = |trouble, files: FileClass| {
            let troubled = Troubled { fault: fault.clone(), trouble, files: parts(layout, files) };
            DiskAsk::Trouble { folder: folder.clone(), troubled, restart: start() }
        };
        match what {
            DiskAct::Lose { torn } => crash(Damage::Unsynced(*torn)),
            DiskAct::Tear { bytes } => {
                crash(Damage::Tail { files: parts(layout, FileClass::Log), bytes: *bytes })
            }
            DiskAct::Flip { files, seed } => {
                let (files, restart, seed) = (parts(layout, *files), start(), *seed);
                DiskAsk::Flip { folder: folder.clone(), fault: fault.clone(), restart, files, seed }
            }
            DiskAct::Full => trouble(Trouble::Full, FileClass::Any),
            DiskAct::Error { on, files } => trouble(Trouble::Error { on: operation(*on) }, *files),
            DiskAct::SlowSync { delay_ms, files } => {
                trouble(Trouble::SlowSync { delay_ms: *delay_ms }, *files)
            }
        }
    }

    /// Asks several nodes; what they said, and what went wrong.
    fn ask_disks(&self, asks: Vec<(usize, DiskAsk)>) -> (Vec<(usize, Said)>, Vec<String>) {
        let asks = asks.into_iter().map(|(node, about)| (node, Ask::Disk { about }));
        let (mut said, mut errors) = (Vec::new(), Vec::new());
        for (node, answer) in self.ask_all(asks.collect()) {
            match answer {
                Ok(Answer::Disk { said: words, count, sync_ms }) => {
                    said.push((node, (words, count, sync_ms)));
                }
                Ok(other) => errors.push(format!("unexpected answer {other:?}")),
                Err(error) => errors.push(error),
            }
        }
        (said, errors)
    }

    fn probe_disks(
        &self,
        layouts: &[(usize, DiskLayout)],
        expected: &Probed,
    ) -> (Vec<Evidence>, Vec<String>) {
        let ask = |(node, layout): &(usize, DiskLayout)| {
            (*node, DiskAsk::Probe { folder: layout.folder.clone() })
        };
        let (answers, errors) = self.ask_disks(layouts.iter().map(ask).collect());
        let evidence = answers.into_iter().map(|(node, (said, _, sync_ms))| {
            expected.judge(format!("{} disk probe", self.name(node)), said, sync_ms)
        });
        (evidence.collect(), errors)
    }

    fn absent(&self, nodes: &[usize]) -> Vec<Evidence> {
        let mut evidence = self.running(nodes);
        for probe in &mut evidence {
            probe.expected = "absent".to_owned();
            probe.holds = matches!(probe.observed.as_str(), "absent" | "zombie");
        }
        evidence
    }
}

/// Whether anything was lost, on one of the nodes at least: a kill that took nothing unsynced with
/// it was a kill.
fn of_loss<'a>(answers: impl Iterator<Item = (&'a str, &'a Said)>) -> Evidence {
    let (mut names, mut told, mut pages) = (Vec::new(), Vec::new(), 0);
    for (name, (said, count, _)) in answers {
        names.push(name);
        told.push(said.clone());
        pages += count;
    }
    let observed = match &told[..] {
        [one] => one.clone(),
        _ => {
            let each = names.iter().zip(&told).map(|(name, said)| format!("{name} {said}"));
            each.collect::<Vec<_>>().join(", ")
        }
    };
    Evidence {
        probe: format!("{} disk", names.join(", ")),
        expected: "one unsynced page lost, or more".to_owned(),
        observed,
        holds: pages != 0,
    }
}

/// What a probe file is to show.
enum Probed {
    /// Nothing wrong.
    Sound,
    /// This, and nothing after it.
    Says(&'static str),
    /// A sync that takes at least so long, ms.
    Slow(u64),
}

impl Probed {
    fn of(what: &DiskAct) -> Option<Probed> {
        match what {
            DiskAct::Full => Some(Probed::Says("write: no space left")),
            DiskAct::Error { on: DiskOperation::Sync, .. } => {
                Some(Probed::Says("sync: input/output error"))
            }
            DiskAct::Error { on: DiskOperation::Write, .. } => {
                Some(Probed::Says("write: input/output error"))
            }
            DiskAct::Error { on: DiskOperation::Read, .. } => {
                Some(Probed::Says("read: input/output error"))
            }
            DiskAct::SlowSync { delay_ms, .. } => Some(Probed::Slow(*delay_ms)),
            DiskAct::Lose { .. } | DiskAct::Tear { .. } | DiskAct::Flip { .. } => None,
        }
    }

    fn judge(&self, probe: String, said: String, sync_ms: u64) -> Evidence {
        let (expected, observed, holds) = match self {
            Probed::Sound => (SOUND.to_owned(), said.clone(), said == SOUND),
            Probed::Says(words) => ((*words).to_owned(), said.clone(), said == *words),
            Probed::Slow(least) => {
                let observed = format!("{said}; the sync took {sync_ms} ms");
                (format!("a sync of {least} ms or more"), observed, *least <= sync_ms)
            }
        };
        Evidence { probe, expected, observed, holds }
    }
}

/// The parts of paths that make a file one of this class; none is any file.
fn parts(layout: &DiskLayout, files: FileClass) -> Vec<String> {
    let parts = match files {
        FileClass::Any => &[][..],
        FileClass::Log => layout.log,
        FileClass::Data => layout.data,
    };
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn operation(on: DiskOperation) -> Operation {
    match on {
        DiskOperation::Sync => Operation::Sync,
        DiskOperation::Write => Operation::Write,
        DiskOperation::Read => Operation::Read,
    }
}

fn report(evidence: Vec<Evidence>, errors: Vec<String>, took: i64) -> ActReport {
    let error = (!errors.is_empty()).then(|| errors.join("; "));
    let result = match error {
        Some(_) => FaultResult::Indeterminate,
        None => ActReport::judge(&evidence),
    };
    ActReport {
        mechanism: "fuse".to_owned(),
        result,
        evidence,
        took,
        error,
        ..ActReport::default()
    }
}

fn none(started: Instant, why: &str) -> ActReport {
    report(Vec::new(), vec![why.to_owned()], started.elapsed().as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_that_took_nothing_unsynced_has_not_had_its_effect() {
        let said = |pages: u64| (format!("{pages} unsynced pages of 1 files lost"), pages, 0);
        let (none, some) = (said(0), said(7));
        let kept = of_loss([("n1", &none)].into_iter());
        assert!(!kept.holds, "{kept:?}");
        assert_eq!(kept.observed, "0 unsynced pages of 1 files lost");
        let of_two = of_loss([("n1", &none), ("n2", &some)].into_iter());
        assert!(of_two.holds, "one of all that lost something shows it");
        let each = "n1 0 unsynced pages of 1 files lost, n2 7 unsynced pages of 1 files lost";
        assert_eq!((of_two.probe.as_str(), of_two.observed.as_str()), ("n1, n2 disk", each));
    }
}
