//! What the cluster itself was seen to do that no verdict may pass over, whatever was promised: two
//! leaders at once, replicas that did not converge, acknowledged writes whose fate is open.

use std::collections::BTreeMap;

use checkers::{Outcome, TwoLeaders, Verdict, two_leaders};
use history::{Key, Role, RunInfo};
use nemesis::ClusterView;

use super::{Records, Selection, context};

/// Each in one sentence. Whoever names checkers asks about them alone.
pub(super) fn doubts(
    records: &Records,
    selection: &Selection,
    outcomes: &BTreeMap<String, Outcome>,
) -> Vec<String> {
    let Some(info) = &records.info else {
        return Vec::new();
    };
    if !selection.checkers.is_empty() || selection.model.is_some() {
        return Vec::new();
    }
    let mut doubts: Vec<String> = declared_wrongly(records).into_iter().collect();
    doubts.extend(split_brains(records, info).iter().map(together));
    if let Some(Err(why)) = context::converged(records, info)
        && !(attached(info) && kept(outcomes))
    {
        doubts.push(format!("the replicas did not converge before the final reads: {why}"));
    }
    doubts.extend(outcomes.get("lost-writes").iter().flat_map(|lost| fates(lost, info)));
    doubts
}

fn attached(info: &RunInfo) -> bool {
    info.system.settings.get("attached") == Some(&true.into())
}

/// Whether the final reads of every node show every acknowledged write. Positions of a cluster that
/// exists need not meet all the same: its owner's clients write to it too.
fn kept(outcomes: &BTreeMap<String, Outcome>) -> bool {
    outcomes.get("lost-writes").is_some_and(|lost| lost.verdict == Verdict::Valid)
}

/// What a run saw of a cluster whose owner declares that nobody replaces a leader there, if that is
/// not so: then nothing that rests on it is promised.
pub(super) fn declared_wrongly(records: &Records) -> Option<String> {
    let info = records.info.as_ref()?;
    let settings = &info.system.settings;
    if !attached(info) || settings.get("failover") != Some(&"none".into()) {
        return None;
    }
    let mut view = ClusterView::new(&info.nodes);
    records.telemetry.iter().for_each(|sample| view.learn(sample));
    if view.leader_changes() == 0 {
        return None;
    }
    let led = view
        .with_role(0, Role::Leader)
        .first()
        .map_or(String::new(), |(term, node)| format!(" (at the end {node}, in term {term})"));
    Some(format!(
        "the inventory declares failover = \"none\", but another node was seen to lead{led}: \
         nothing that rests on it is held against the system"
    ))
}

/// Every pair of nodes that acknowledged writes of one log at the same time. All systems that there
/// are have one leader a log.
fn split_brains(records: &Records, info: &RunInfo) -> Vec<TwoLeaders> {
    let shards = context::shards(info);
    let shard_of = |key: &Key| if shards == 1 { 0 } else { store::shard_of(key, shards) };
    two_leaders(&records.history, &records.telemetry, shard_of)
}

fn together(pair: &TwoLeaders) -> String {
    let leader = |(node, term): &(String, Option<u64>)| match term {
        Some(term) => format!("{node} (term {term})"),
        None => format!("{node} (term not told)"),
    };
    let [one, other] = [leader(&pair.leaders[0]), leader(&pair.leaders[1])];
    let of = if pair.shard == 0 { String::new() } else { format!(" of shard {}", pair.shard) };
    let [from, to] = [pair.from, pair.to].map(reports::seconds);
    format!("split brain: {one} and {other} both acknowledged writes{of} from {from} to {to}")
}

/// What became of acknowledged writes where nobody promised anything of it: a promised checker
/// decides by itself.
fn fates(outcome: &Outcome, info: &RunInfo) -> Vec<String> {
    if outcome.role == Some(checkers::Role::Promised) {
        return Vec::new();
    }
    let count = |list: &str| {
        let pairs = outcome.facts.get(list).and_then(|pairs| pairs.as_array());
        pairs.map_or(0, Vec::len)
    };
    let mut fates = Vec::new();
    if count("unresolved") != 0 {
        fates.push(format!("{} acknowledged writes unresolved (lost-writes)", count("unresolved")));
    }
    if count("diverged") != 0 {
        fates.push(format!(
            "{} acknowledged writes are on some nodes and not on others at the end: the replicas \
             did not converge (lost-writes)",
            count("diverged")
        ));
    }
    // Of all others it is known that they promise nothing of it.
    if count("lost") != 0 && info.system.settings.get("failover") == Some(&"unknown".into()) {
        fates.push(format!(
            "{} acknowledged writes lost (lost-writes): whether the failover of this cluster \
             promises to keep them is not known",
            count("lost")
        ));
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_are_named_with_their_terms_and_times() {
        let pair = TwoLeaders {
            shard: 0,
            leaders: [("n1".to_owned(), Some(1)), ("n2".to_owned(), None)],
            from: 4_710_000_000,
            to: 7_610_000_000,
        };
        let told = together(&pair);
        let both = "n1 (term 1) and n2 (term not told) both acknowledged writes";
        assert_eq!(told, format!("split brain: {both} from 4.71 s to 7.61 s"));
        let told = together(&TwoLeaders { shard: 3, ..pair });
        assert!(told.contains("acknowledged writes of shard 3 from"), "{told}");
    }
}
