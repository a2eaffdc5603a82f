//! What a restart may set otherwise than before: `set=NAME=VALUE`.

use nemesis::Fault;
use systems::postgres::spec::Failover;
use systems::{bundled, changing, postgres};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// The shortest and the longest of the store's times, ms. A node with none would do nothing but
/// tick, and send; those of years are no longer counted in ns.
pub const TIMES_MS: (u64, u64) = (1, 600_000);

/// Refuses a setting that a restart cannot change.
pub fn check(spec: &TestSpec, fault: Fault, set: &str) -> Result<(), UserError> {
    if matches!(set, "" | "nothing") {
        return Ok(());
    }
    let refused = |why: String, hint: &str| {
        let what = format!("{} with set={set} is refused: {why}", fault.name());
        Err(UserError::usage(what).at("fault").hint(hint))
    };
    let Some((name, value)) = changing::parse(set) else {
        return refused("expected NAME=VALUE".to_owned(), "set=ship_ms=20, set=work_mem=8MB");
    };
    if spec.lab == LabSpec::Sim {
        let why = "simulated nodes have the settings that they begin with";
        return refused(why.to_owned(), "leave --lab sim out");
    }
    if crate::gate::inventory(spec)?.is_some_and(|i| i.attach.is_some()) {
        let why = "the servers' settings are not ours to change";
        return refused(why.to_owned(), "leave [attach] out");
    }
    // PostgreSQL takes names in any case; those of the others are in one.
    let folded = name.to_ascii_lowercase();
    match spec.system {
        SystemKind::Store => match of_store(name, value) {
            Ok(()) => Ok(()),
            Err(why) => refused(why, "in ms"),
        },
        SystemKind::Postgres if postgres::PROMISED.contains(&folded.as_str()) => refused(
            format!("what PostgreSQL promises depends on {folded}"),
            "a test says it for the whole cluster: --set postgres.NAME=VALUE",
        ),
        SystemKind::Postgres if spec.postgres.failover == Failover::Patroni => {
            refused("Patroni writes the settings of its servers".to_owned(), "leave Patroni out")
        }
        _ => Ok(()),
    }
}

/// A setting of the store's: one of its times.
fn of_store(name: &str, value: &str) -> Result<(), String> {
    let known = bundled::CHANGEABLE;
    let value = value.parse::<u64>().ok().filter(|_| known.contains(&name));
    let value =
        value.ok_or_else(|| format!("a node of the store can get another {}", known.join(", ")))?;
    let (least, most) = TIMES_MS;
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{value} is not between {least} and {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(system: SystemKind, set: &str) -> Result<(), String> {
        let spec = TestSpec { system, ..TestSpec::default() };
        check(&spec, Fault::Restart, set).map_err(|error| error.what)
    }

    #[test]
    fn what_postgres_promises_by_is_refused_in_any_case() {
        for name in ["fsync", "FSYNC", "Synchronous_Commit", "Default_Transaction_Isolation"] {
            let said = told(SystemKind::Postgres, &format!("{name}=off")).unwrap_err();
            let part = format!("promises depends on {}", name.to_ascii_lowercase());
            assert!(said.ends_with(&part), "{said}");
        }
        assert_eq!(told(SystemKind::Postgres, "Work_Mem=8MB"), Ok(()));
    }

    #[test]
    fn the_stores_times_are_bounded() {
        for set in ["heartbeat_ms=1", "ship_ms=20", "election_timeout_ms=600000"] {
            assert_eq!(told(SystemKind::Store, set), Ok(()));
        }
        for set in ["heartbeat_ms=0", "election_timeout_ms=600001", "ship_ms=99999999999999999"] {
            let said = told(SystemKind::Store, set).unwrap_err();
            assert!(said.ends_with("is not between 1 and 600000"), "{said}");
        }
        for set in ["fsync=0", "Heartbeat_ms=5", "ship_ms=-1", "ship_ms=now"] {
            let said = told(SystemKind::Store, set).unwrap_err();
            assert!(said.contains("a node of the store can get another heartbeat_ms"), "{said}");
        }
    }
}
