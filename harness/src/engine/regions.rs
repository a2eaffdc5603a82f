//! Regions of a run: by the test, or by the labels of its inventory.

use std::collections::BTreeMap;

use nemesis::{Fault, Regions, Selector};

use crate::config::{LabSpec, RegionsSpec, TestSpec};
use crate::error::UserError;

/// The regions of a test. Those that it names itself go before the labels of an inventory.
pub fn of(spec: &TestSpec) -> Result<RegionsSpec, UserError> {
    let mut regions = spec.regions.clone();
    if regions.is_empty()
        && let Some(inventory) = crate::gate::inventory(spec)?
    {
        let names = inventory.names();
        let labelled = inventory.hosts.iter().filter(|host| names.contains(&host.name));
        for host in labelled.take(spec.hosts) {
            if let Some(region) = &host.region {
                regions.members.entry(region.clone()).or_default().push(host.name.clone());
            }
        }
    }
    Ok(regions)
}

/// Likewise, with nodes by number.
pub fn numbered(spec: &TestSpec, names: &[String]) -> Result<Regions, UserError> {
    let number = |name: &String| names.iter().position(|known| known == name);
    let members = of(spec)?.members.into_iter();
    let numbers = members
        .map(|(region, nodes)| (region, nodes.iter().filter_map(number).collect::<Vec<usize>>()));
    Ok(Regions::new(numbers.collect::<BTreeMap<_, _>>()))
}

/// Refuses regions that cannot be, and a latency where packets cannot be shaped.
pub fn check(spec: &TestSpec, names: &[String]) -> Result<(), UserError> {
    let regions = of(spec)?;
    regions.check(names)?;
    if spec.lab == LabSpec::Sim && !regions.latency.is_empty() {
        let what = "a latency is refused: the simulator's network carries messages, not packets";
        let hint = "--lab local shapes packets; region-cut and region-lost are simulated";
        return Err(UserError::usage(what).at("--latency").hint(hint));
    }
    Ok(())
}

/// Refuses a fault of regions where there are none, or not that one.
pub fn check_fault(spec: &TestSpec, fault: Fault, selector: &Selector) -> Result<(), UserError> {
    if !fault.is_of_regions() && !selector.is_of_regions() {
        return Ok(());
    }
    let regions = of(spec)?.members;
    let refuse = |why: String, hint: String| {
        let what = format!("{}:{selector} is refused: {why}", fault.name());
        Err(UserError::usage(what).at("fault").hint(hint))
    };
    if regions.is_empty() {
        let hint = "give them by --region eu=n1+n2 --region us=n3, or on hosts of your own by \
                    region = \"eu\" under [[host]]";
        return refuse("no node is in a region".to_owned(), hint.to_owned());
    }
    let known: Vec<&str> = regions.keys().map(String::as_str).collect();
    let hint = format!("regions are {}", known.join(", "));
    if let Selector::Region(name) = selector
        && !regions.contains_key(name)
    {
        return refuse(format!("there is no region {name}"), hint);
    }
    if let Selector::Node(name) = selector
        && !regions.values().flatten().any(|node| node == name)
    {
        return refuse(format!("{name} is in no region"), hint);
    }
    if let Some((name, nodes)) = regions.iter().find(|(_, nodes)| nodes.len() == spec.hosts)
        && fault == Fault::RegionCut
    {
        let why = format!("all {} nodes are in {name}", nodes.len());
        return refuse(why, "there is nothing left that it could be cut from".to_owned());
    }
    Ok(())
}
