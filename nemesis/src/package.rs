//! A package: faults of several families at random intervals, so many at once at most. Drawn from
//! the seed alone, before the run.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::clash;
use crate::fault::Fault;
use crate::planned::PlannedFault;
use crate::schedule::{FaultRequest, name};

/// ns of one ms: everything of a package is drawn in whole ms, so that it can be written down.
const MS: u64 = 1_000_000;

/// See the module's doc. Times are ms; both ends of a range are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// One of each is drawn in turn, and of several that stand for one, such as those of a family,
    /// one by chance.
    pub entries: Vec<Vec<FaultRequest>>,
    /// From one fault's start to the next one's.
    pub every: (u64, u64),
    /// How long a fault lasts, if it does not say so; never less than it takes to prove it.
    pub lasts: (u64, u64),
    /// How many are in force at once at most.
    pub max_faults: usize,
    /// When the first may begin, since the run's start.
    pub from: u64,
    /// When the last is over.
    pub until: u64,
}

impl Package {
    /// How long a fault of it lasts at least, ms.
    pub fn least_ms(request: &FaultRequest) -> u64 {
        request.duration.map_or(0, |ns| ns / MS).max(request.fault.least_ms())
    }

    /// Adds faults to those that are planned already, none of which it comes near.
    pub fn draw(
        &self,
        requests: &[FaultRequest],
        planned: &mut Vec<PlannedFault>,
        rng: &mut ChaCha8Rng,
    ) {
        let mut bag: Vec<usize> = Vec::new();
        let mut at = self.from;
        while at < self.until {
            let lasts = rng.random_range(self.lasts.0..=self.lasts.1);
            let mut found = self.take(&mut bag, at, lasts, planned, rng);
            if found.is_none() && bag.len() < self.entries.len() {
                // Those that are left do not fit now; all others come round again before them.
                self.fill(&mut bag, rng);
                found = self.take(&mut bag, at, lasts, planned, rng);
            }
            if let Some(fault) = found {
                // What comes after nothing comes after it.
                at = if fault.fault == Fault::Nothing { fault.end() / MS } else { at };
                planned.push(fault);
            }
            at += rng.random_range(self.every.0..=self.every.1).max(1);
        }
        name(requests, planned);
    }

    fn fill(&self, bag: &mut Vec<usize>, rng: &mut ChaCha8Rng) {
        let mut more: Vec<usize> = (0..self.entries.len()).collect();
        more.retain(|entry| !bag.contains(entry));
        more.shuffle(rng);
        bag.extend(more);
    }

    /// The first of the bag's entries, from its end, of which a fault fits at this moment.
    fn take(
        &self,
        bag: &mut Vec<usize>,
        at: u64,
        lasts: u64,
        planned: &[PlannedFault],
        rng: &mut ChaCha8Rng,
    ) -> Option<PlannedFault> {
        for place in (0..bag.len()).rev() {
            let mut requests: Vec<&FaultRequest> = self.entries[bag[place]].iter().collect();
            requests.shuffle(rng);
            let fits = |request| self.place(request, at, lasts, planned);
            if let Some(fault) = requests.into_iter().find_map(fits) {
                bag.remove(place);
                return Some(fault);
            }
        }
        None
    }

    /// A fault at this moment, or, if it is nothing, when all else is over; if there is room.
    fn place(
        &self,
        request: &FaultRequest,
        at: u64,
        lasts: u64,
        planned: &[PlannedFault],
    ) -> Option<PlannedFault> {
        let quiet = request.fault == Fault::Nothing;
        let over = planned.iter().map(|fault| fault.end().div_ceil(MS)).max().unwrap_or(0);
        let at = if quiet { at.max(over) } else { at };
        let lasts = request.duration.map_or(lasts, |ns| ns / MS);
        let fault = PlannedFault {
            id: String::new(),
            fault: request.fault,
            selector: request.selector.clone(),
            shard: request.shard,
            start: at * MS,
            duration: lasts.max(request.fault.least_ms()) * MS,
            required: false,
            parameters: request.parameters.clone(),
        };
        let beside: Vec<&PlannedFault> =
            planned.iter().filter(|other| clash::overlap(other, &fault)).collect();
        let room = beside.len() < self.max_faults
            && beside.iter().all(|other| !clash::keep_apart(other, &fault))
            && fault.end() <= self.until * MS;
        room.then_some(fault)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::family::Family;
    use crate::fault::ALL;
    use crate::parameters::Parameters;
    use crate::selector::Selector;
    use rand_chacha::rand_core::SeedableRng;

    fn request(fault: Fault) -> FaultRequest {
        let nodes: Vec<String> = (1..=5).map(|n| format!("n{n}")).collect();
        FaultRequest {
            fault,
            selector: Selector::parse(fault.default_selector(), &nodes).unwrap(),
            shard: 0,
            start: None,
            duration: None,
            count: 1,
            required: None,
            parameters: Parameters::defaults(fault),
        }
    }

    /// Every family as one entry, and nothing.
    fn package(max_faults: usize) -> Package {
        let families = Family::ALL.into_iter().chain([Family::Nothing]);
        let of = |family| ALL.into_iter().filter(move |fault| fault.family() == family);
        Package {
            entries: families.map(|family| of(family).map(request).collect()).collect(),
            every: (200, 1_500),
            lasts: (500, 2_500),
            max_faults,
            from: 2_000,
            until: 14_000,
        }
    }

    fn draw(package: &Package, seed: u64) -> Vec<PlannedFault> {
        let mut planned = Vec::new();
        package.draw(&[], &mut planned, &mut ChaCha8Rng::seed_from_u64(seed));
        planned
    }

    #[test]
    fn a_plan_keeps_to_its_package() {
        for max_faults in 1..=3 {
            let package = package(max_faults);
            let (mut families, mut most) = (BTreeSet::new(), 0);
            for seed in 0..120 {
                let plan = draw(&package, seed);
                assert_eq!(plan, draw(&package, seed), "seed {seed} gives one plan");
                assert!(!plan.is_empty());
                for (place, fault) in plan.iter().enumerate() {
                    assert_eq!(fault.id, format!("f{}", place + 1));
                    assert!(package.from * MS <= fault.start, "seed {seed}: {fault:?}");
                    assert!(fault.end() <= package.until * MS, "seed {seed}: {fault:?}");
                    assert_eq!(fault.start % MS + fault.duration % MS, 0, "whole ms");
                    let others = plan.iter().filter(|other| other.id != fault.id);
                    for other in others.clone() {
                        assert_eq!(clash::certain(fault, other), None, "seed {seed}");
                        let quiet = fault.fault == Fault::Nothing;
                        assert!(!(quiet && clash::overlap(fault, other)), "seed {seed}: {other:?}");
                    }
                    let begun = |other: &&PlannedFault| {
                        other.start <= fault.start && fault.start < other.end()
                    };
                    let at_once = 1 + others.filter(begun).count();
                    assert!(at_once <= max_faults, "seed {seed}: {at_once} at {}", fault.start);
                    most = most.max(at_once);
                    families.insert(fault.fault.family());
                }
            }
            assert_eq!(families.len(), 7, "every family and nothing: {families:?}");
            let many = max_faults.min(2)..=max_faults;
            assert!(many.contains(&most), "as many as may be at once are: {most}");
        }
    }

    #[test]
    fn named_nodes_let_more_be_in_force_at_once() {
        let on = |fault, node: &str| FaultRequest {
            selector: Selector::Node(node.to_owned()),
            ..request(fault)
        };
        let entries = vec![
            vec![on(Fault::Kill, "n1")],
            vec![on(Fault::Pause, "n2")],
            vec![on(Fault::SlowSync, "n3")],
            vec![request(Fault::Isolate)],
        ];
        let package = Package { entries, every: (1, 300), ..package(4) };
        let most = (0..50).map(|seed| {
            let plan = draw(&package, seed);
            let at_once = |at: u64| plan.iter().filter(|f| f.start <= at && at < f.end()).count();
            plan.iter().map(|fault| at_once(fault.start)).max().unwrap_or(0)
        });
        assert_eq!(most.max(), Some(4));
    }

    #[test]
    fn what_is_planned_already_is_not_come_near() {
        let package = package(2);
        for seed in 0..100 {
            let mut planned = Vec::new();
            let mut mine = package.place(&request(Fault::Nothing), 5_000, 3_000, &[]).unwrap();
            mine.id = "mine".to_owned();
            planned.push(mine.clone());
            package.draw(&[], &mut planned, &mut ChaCha8Rng::seed_from_u64(seed));
            let others = planned.iter().filter(|fault| fault.start != mine.start);
            assert!(1 < planned.len());
            assert!(others.clone().all(|fault| !clash::overlap(fault, &mine)), "seed {seed}");
        }
    }
}
