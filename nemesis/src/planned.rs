//! A fault placed on the timeline, and its resolution to nodes when it is injected.

use history::{FaultEvent, FaultPhase, Role};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::act::{Act, ActReport};
use crate::clock::ClockChange;
use crate::cluster_view::ClusterView;
use crate::disk::DiskAct;
use crate::fault::Fault;
use crate::life;
use crate::parameters::Parameters;
use crate::selector::Selector;
use crate::shape::Shape;
use crate::topology;

/// How much longer than it is planned a leader stands down at most: it is told to stand again when
/// the fault is healed, and this is for a harness that has died.
const STEP_DOWN_EXTRA_S: u64 = 10;

/// A fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// `f1`, `f2`, ...
    pub id: String,
    /// What.
    pub fault: Fault,
    /// Whom.
    pub selector: Selector,
    /// The shard that a role speaks of.
    pub shard: u32,
    /// When, ns since the run's start.
    pub start: u64,
    /// How long, ns.
    pub duration: u64,
    /// Whether the verdict needs its effect.
    pub required: bool,
    /// What it was told besides.
    pub parameters: Parameters,
}

/// Whom a fault hits, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Names of the nodes that it is about.
    pub targets: Vec<String>,
    /// What to do.
    pub act: Act,
}

/// Nothing matched, yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{selector} of shard {shard} matches no node")]
pub struct Unresolved {
    /// What was looked for.
    pub selector: String,
    /// Where.
    pub shard: u32,
}

impl Resolved {
    /// One that hits no node.
    fn of_nobody(act: Act) -> Resolved {
        Resolved { targets: Vec::new(), act }
    }
}

impl PlannedFault {
    /// When it is to be healed, ns since the run's start.
    pub fn end(&self) -> u64 {
        self.start + self.duration
    }

    /// Decides whom it hits from what is believed now.
    pub fn resolve(
        &self,
        view: &ClusterView,
        rng: &mut ChaCha8Rng,
    ) -> Result<Resolved, Unresolved> {
        let nodes = self.hit(view, rng)?;
        let names = |nodes: &[usize]| nodes.iter().map(|n| view.names()[*n].clone()).collect();
        let rest: Vec<usize> = (0..view.names().len()).filter(|n| !nodes.contains(n)).collect();
        let act = match self.fault {
            Fault::Kill => Act::Kill { nodes: nodes.clone() },
            Fault::Pause => Act::Pause { nodes: nodes.clone() },
            Fault::Slow => self.slow(nodes.clone()),
            Fault::Load | Fault::ReadLoad | Fault::CpuLimit | Fault::MemoryLimit => {
                self.press(nodes.clone())
            }
            Fault::Isolate | Fault::LeaderAlone => topology::alone(&nodes, view.names().len()),
            Fault::Halves => {
                let side = self.parameters.text("side");
                let (minority, majority) = topology::halves(&nodes, rest, side, rng);
                let act = Act::drop_between(&minority, &majority);
                return Ok(Resolved { targets: names(&minority), act });
            }
            Fault::Cut => self.cut(&nodes, view)?,
            Fault::ClientsCut => Act::CutClients { nodes: nodes.clone() },
            Fault::RegionCut => Act::drop_between(&nodes, &rest),
            Fault::RegionLost => self.lost(nodes.clone()),
            Fault::Remove => Act::Remove { nodes: nodes.clone() },
            Fault::Replace => Act::Replace { nodes: nodes.clone() },
            Fault::StepDown => self.step_down(nodes.clone()),
            Fault::Promote => Act::Promote { nodes: nodes.clone() },
            Fault::Bridge => {
                // All but the bridge lose links.
                let targets = names(&rest);
                let (one, other) = topology::split(rest, rng);
                return Ok(Resolved { targets, act: Act::drop_between(&one, &other) });
            }
            Fault::MajoritiesRing => {
                let all: Vec<usize> = (0..view.names().len()).collect();
                let targets = names(&all);
                return Ok(Resolved { targets, act: topology::majorities_ring(all, rng) });
            }
            Fault::RollingRestart => {
                let nodes = life::leaders_last(nodes, view);
                return Ok(Resolved { targets: names(&nodes), act: self.life(&nodes) });
            }
            Fault::Stop | Fault::Restart | Fault::CrashLoop | Fault::KillInStart => {
                self.life(&nodes)
            }
            Fault::ClockBump | Fault::ClockStrobe | Fault::ClockDrift | Fault::ClockJumpBack => {
                self.clock(&nodes)?
            }
            Fault::Delay
            | Fault::Loss
            | Fault::Reorder
            | Fault::Duplicate
            | Fault::Corrupt
            | Fault::Bandwidth
            | Fault::Flapping => self.shape(&nodes, view.names().len(), rng)?,
            Fault::OneWay => topology::one_way(&nodes, &rest, self.parameters.text("direction")),
            Fault::Nothing => return Ok(Resolved::of_nobody(Act::Nothing)),
            Fault::ApprovalWithheld => return Ok(Resolved::of_nobody(Act::WithholdApproval)),
            fault @ (Fault::LoseUnsynced
            | Fault::TornTail
            | Fault::BitFlip
            | Fault::DiskFull
            | Fault::DiskError
            | Fault::SlowSync) => DiskAct::on(&nodes, fault, &self.parameters, rng.random()),
        };
        Ok(Resolved { targets: names(&nodes), act })
    }

    /// Whom the selector means, and of a fault of regions all around them.
    fn hit(&self, view: &ClusterView, rng: &mut ChaCha8Rng) -> Result<Vec<usize>, Unresolved> {
        let mut nodes = self.select(view, rng)?;
        if self.fault.is_of_regions() {
            nodes = view.regions().around(&nodes);
        }
        if nodes.is_empty() { Err(self.unresolved()) } else { Ok(nodes) }
    }

    fn lost(&self, nodes: Vec<usize>) -> Act {
        match self.parameters.text("how") {
            "pause" => Act::Pause { nodes },
            _ => Act::Kill { nodes },
        }
    }

    fn step_down(&self, nodes: Vec<usize>) -> Act {
        let seconds = self.duration.div_ceil(1_000_000_000) + STEP_DOWN_EXTRA_S;
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Act::StepDown { nodes, seconds }
    }

    fn slow(&self, nodes: Vec<usize>) -> Act {
        Act::Slow { nodes, stopped_percent: self.parameters.number("stopped") as u32 }
    }

    fn clock(&self, nodes: &[usize]) -> Result<Act, Unresolved> {
        let change = ClockChange::of(self.fault, &self.parameters);
        let change = change.ok_or_else(|| self.unresolved())?;
        Ok(Act::Clock { nodes: nodes.to_vec(), change })
    }

    fn shape(
        &self,
        nodes: &[usize],
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Act, Unresolved> {
        let shape = Shape::of(self.fault, &self.parameters).ok_or_else(|| self.unresolved())?;
        Ok(Act::Shape { links: topology::around(nodes, count), shape, seed: rng.random() })
    }

    fn cut(&self, nodes: &[usize], view: &ClusterView) -> Result<Act, Unresolved> {
        let leader = view.leader(self.shard).and_then(|name| number(view, name));
        let leader = leader.filter(|leader| !nodes.contains(leader));
        let leader = leader.ok_or_else(|| self.unresolved())?;
        Ok(Act::drop_between(nodes, &[leader]))
    }

    fn unresolved(&self) -> Unresolved {
        Unresolved { selector: self.selector.to_string(), shard: self.shard }
    }

    fn select(&self, view: &ClusterView, rng: &mut ChaCha8Rng) -> Result<Vec<usize>, Unresolved> {
        let count = view.names().len();
        let with_role = |role| -> Vec<usize> {
            let found = view.with_role(self.shard, role);
            found.iter().filter_map(|(_, name)| number(view, name)).collect()
        };
        let one = |mut nodes: Vec<usize>, rng: &mut ChaCha8Rng| {
            nodes.sort_unstable();
            let place = if nodes.len() < 2 { 0 } else { rng.random_range(0..nodes.len()) };
            nodes.get(place).map(|node| vec![*node]).unwrap_or_default()
        };
        let nodes = match &self.selector {
            Selector::Leader => with_role(Role::Leader).into_iter().take(1).collect(),
            Selector::AllLeaders => with_role(Role::Leader),
            Selector::Deposed => one(with_role(Role::Deposed), rng),
            Selector::AFollower => self.a_follower(with_role(Role::Follower), view, rng),
            Selector::One => vec![rng.random_range(0..count)],
            Selector::Minority => {
                let mut all: Vec<usize> = (0..count).collect();
                all.shuffle(rng);
                all.truncate(count.saturating_sub(1) / 2);
                all.sort_unstable();
                all
            }
            Selector::All => (0..count).collect(),
            Selector::Region(name) => view.regions().of(name).to_vec(),
            Selector::ARegion => {
                let names = view.regions().names();
                let drawn = (!names.is_empty()).then(|| names[rng.random_range(0..names.len())]);
                drawn.map_or_else(Vec::new, |name| view.regions().of(name).to_vec())
            }
            Selector::Node(name) => number(view, name).into_iter().collect(),
        };
        if nodes.is_empty() { Err(self.unresolved()) } else { Ok(nodes) }
    }

    /// A follower of the shard; one that leads no other shard where there is such a one, so that
    /// the fault hits a follower and nothing else.
    fn a_follower(
        &self,
        mut nodes: Vec<usize>,
        view: &ClusterView,
        rng: &mut ChaCha8Rng,
    ) -> Vec<usize> {
        nodes.sort_unstable();
        let leads = |node: &usize| view.leads_any(&view.names()[*node]);
        let pure: Vec<usize> = nodes.iter().copied().filter(|node| !leads(node)).collect();
        let from = if pure.is_empty() { nodes } else { pure };
        if from.is_empty() { Vec::new() } else { vec![from[rng.random_range(0..from.len())]] }
    }

    /// Its line for a phase of its life at `time` (ns since the run's start).
    pub fn event(&self, time: u64, phase: FaultPhase) -> FaultEvent {
        let mut parameters = std::collections::BTreeMap::new();
        if self.shard != 0 {
            parameters.insert("shard".to_owned(), self.shard.into());
        }
        for (name, value) in self.parameters.written() {
            parameters.insert(name.to_owned(), value.into());
        }
        FaultEvent {
            time: time as i64,
            id: self.id.clone(),
            phase,
            family: self.fault.family().as_str().to_owned(),
            fault: self.fault.name().to_owned(),
            selector: self.selector.to_string(),
            targets: Vec::new(),
            duration: self.duration as i64,
            required: self.required,
            parameters,
            mechanism: None,
            result: None,
            evidence: Vec::new(),
            unprovable: Vec::new(),
            took: None,
            asked: None,
            answered: None,
            error: None,
        }
    }

    /// Its line once a port has reported.
    pub fn report(
        &self,
        time: u64,
        phase: FaultPhase,
        targets: &[String],
        report: ActReport,
    ) -> FaultEvent {
        FaultEvent {
            targets: targets.to_vec(),
            mechanism: Some(report.mechanism),
            result: Some(report.result),
            evidence: report.evidence,
            unprovable: report.unprovable,
            took: Some(report.took),
            error: report.error,
            ..self.event(time, phase)
        }
    }
}

fn number(view: &ClusterView, name: &str) -> Option<usize> {
    view.names().iter().position(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::{ShardTelemetry, TelemetryEvent};
    use rand_chacha::rand_core::SeedableRng;

    fn view(leaders: &[(&str, u64)]) -> ClusterView {
        let names: Vec<String> = (1..=5).map(|n| format!("n{n}")).collect();
        let mut view = ClusterView::new(&names);
        for name in &names {
            let led = leaders.iter().find(|(leader, _)| leader == name);
            view.learn(&TelemetryEvent {
                sent: 0,
                received: 0,
                node: name.clone(),
                alive: true,
                shards: vec![ShardTelemetry {
                    shard: 0,
                    role: if led.is_some() { Role::Leader } else { Role::Follower },
                    term: led.map_or(1, |(_, term)| *term),
                    leader: None,
                    position: 0,
                    committed: 0,
                    lag: Some(0),
                    aside: Some(0),
                }],
                error: None,
                details: Default::default(),
            });
        }
        view
    }

    fn planned(fault: Fault, selector: Selector) -> PlannedFault {
        PlannedFault {
            id: "f1".into(),
            fault,
            selector,
            shard: 0,
            start: 0,
            duration: 1,
            required: true,
            parameters: Parameters::defaults(fault),
        }
    }

    fn resolve(fault: Fault, selector: Selector, leaders: &[(&str, u64)]) -> Resolved {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        planned(fault, selector).resolve(&view(leaders), &mut rng).unwrap()
    }

    #[test]
    fn the_leader_is_the_one_with_the_highest_term() {
        let resolved = resolve(Fault::Kill, Selector::Leader, &[("n2", 3), ("n4", 5)]);
        assert_eq!(resolved.targets, ["n4"]);
        assert_eq!(resolved.act, Act::Kill { nodes: vec![3] });
        let resolved = resolve(Fault::Pause, Selector::AllLeaders, &[("n2", 3), ("n4", 5)]);
        assert_eq!(resolved.targets, ["n4", "n2"]);
    }

    #[test]
    fn halves_put_the_target_in_the_minority() {
        let resolved = resolve(Fault::Halves, Selector::Leader, &[("n2", 3)]);
        assert_eq!(resolved.targets.len(), 2);
        assert!(resolved.targets.contains(&"n2".to_owned()));
        let Act::Drop { links } = resolved.act else { panic!("halves drop packets") };
        assert_eq!(links.len(), 2 * 2 * 3);
    }

    #[test]
    fn a_region_is_cut_or_lost_as_a_whole() {
        let regions = [("eu".to_owned(), vec![0, 1]), ("us".to_owned(), vec![2, 3])];
        let view = view(&[("n2", 3)]).with_regions(crate::Regions::new(regions.into()));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut of = |fault, selector, how: Option<&str>| {
            let mut planned = planned(fault, selector);
            let how = how.map(|how| ("how".to_owned(), how.to_owned()));
            planned.parameters = Parameters::of(fault, &how.into_iter().collect()).unwrap();
            planned.resolve(&view, &mut rng)
        };
        let us = Selector::Region("us".into());
        let cut = of(Fault::RegionCut, us.clone(), None).unwrap();
        assert_eq!(cut.targets, ["n3", "n4"]);
        assert_eq!(cut.act, Act::drop_between(&[2, 3], &[0, 1, 4]));
        // The leader's region; nodes of a region for a fault of any kind.
        let lost = of(Fault::RegionLost, Selector::Leader, Some("pause")).unwrap();
        assert_eq!(lost.act, Act::Pause { nodes: vec![0, 1] });
        let lost = of(Fault::RegionLost, us.clone(), None).unwrap();
        assert_eq!(lost.act, Act::Kill { nodes: vec![2, 3] });
        assert_eq!(of(Fault::Isolate, us, None).unwrap().targets, ["n3", "n4"]);
        let drawn = of(Fault::RegionCut, Selector::ARegion, None).unwrap();
        assert_eq!(drawn.targets.len(), 2);
        assert!(of(Fault::RegionCut, Selector::Node("n5".into()), None).is_err(), "in none");
    }

    #[test]
    fn a_cut_takes_one_link_and_an_isolation_all() {
        let resolved = resolve(Fault::Cut, Selector::Node("n5".into()), &[("n2", 3)]);
        assert_eq!(resolved.act, Act::drop_between(&[4], &[1]));
        let resolved = resolve(Fault::LeaderAlone, Selector::Leader, &[("n2", 3)]);
        assert_eq!(resolved.act, Act::drop_between(&[1], &[0, 2, 3, 4]));
    }

    #[test]
    fn a_leader_stands_down_for_longer_than_planned() {
        let mut planned = planned(Fault::StepDown, Selector::Leader);
        planned.duration = 2_500_000_000;
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let resolved = planned.resolve(&view(&[("n2", 3)]), &mut rng).unwrap();
        assert_eq!(resolved.act, Act::StepDown { nodes: vec![1], seconds: 13 });
        assert_eq!(resolved.act.nodes(), [1]);
        assert_eq!(planned.event(0, FaultPhase::Planned).family, "failover");
    }

    #[test]
    fn a_rolling_restart_comes_to_the_leader_last() {
        let resolved = resolve(Fault::RollingRestart, Selector::All, &[("n2", 3)]);
        assert_eq!(resolved.targets, ["n1", "n3", "n4", "n5", "n2"]);
        let Act::Live { nodes, .. } = resolved.act else { panic!("it is a life") };
        assert_eq!(nodes, [0, 2, 3, 4, 1]);
    }

    #[test]
    fn nothing_matches_without_a_leader() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let error = planned(Fault::Kill, Selector::Leader).resolve(&view(&[]), &mut rng);
        assert!(error.is_err());
    }
}
