//! Reading suites: what is understood, and what is refused at which place.

use super::*;
use crate::config::ReplicationSpec;

fn read(text: &str) -> Result<SuiteFile, UserError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suite.toml");
    std::fs::write(&path, text).unwrap();
    SuiteFile::load(&path)
}

const HEAD: &str = "name = \"s\"\n[[case]]\nname = \"a\"\n";

#[test]
fn tables_and_settings_come_to_the_same_test() {
    let table = "expect = \"valid\"\n[case.store]\nk = 2\nreplication = \"sync\"\n";
    let set = "expect = \"valid\"\nset = [\"store.replication=sync\", \"store.k=2\"]\n";
    for rest in [table, set] {
        let suite = read(&format!("{HEAD}{rest}")).unwrap();
        let spec = suite.cases[0].flags().spec().unwrap();
        assert_eq!(spec.store.replication, ReplicationSpec::Sync { k: 2 }, "{rest}");
    }
    let late = "system = \"postgres\"\nexpect = \"valid\"\n\
                [case.postgres.apply_delay_ms]\nn2 = 5\nn3 = 50\n";
    let suite = read(&format!("{HEAD}{late}")).unwrap();
    let delays = suite.cases[0].flags().spec().unwrap().postgres.apply_delay_ms;
    assert_eq!((delays["n2"], delays["n3"]), (5, 50));
}

#[test]
fn mistakes_are_told_with_their_case_and_what_to_try() {
    for (rest, place, part) in [
        ("", "case a: expect", "nothing is expected"),
        ("finds = [\"lost-write\"]", "case a: finds", "unknown checker \"lost-write\""),
        ("shows = [\"G2-itm\"]", "case a: shows", "\"G2-itm\" is no anomaly of isolation"),
        ("finds = [\"bank\"]", "case a: finds", "checker bank is not built yet"),
        ("holds = [\"session\"]", "case a: holds", "several checkers"),
        ("expect = \"fine\"", "case a: expect", "\"fine\" cannot be expected"),
        ("expect = \"valid\"\nfinds = [\"lost-writes\"]", "case a: expect", "not expected"),
        ("expect = \"valid\"\nworkload = \"leger\"", "case a: --workload", "unknown workload"),
        ("expect = \"valid\"\nseeds = \"3..1\"", "case a: --seeds", "is not a range"),
        ("expect = \"valid\"\ntimeout = \"soon\"", "case a: timeout", "not a duration"),
        ("expect = \"valid\"\ntimeout = \"soon\"", "suite.toml:5: case", "not a duration"),
        ("expect = \"valid\"\ntime_limit = \"1ms\"", "suite.toml:5: case a: --time", "between"),
        ("expect = \"valid\"\n[case.store]\nshards = 99", "suite.toml:6: case a", "between"),
        ("expect = \"valid\"\n[case.store]\nk = 9", "suite.toml:5: case a", "9 followers"),
        ("expect = \"valid\"\nfaults = [\"kil\"]", "case a: faults", "unknown fault"),
        ("finds = [\"lost-writes\"]\nat_least = 2", "case a: at_least", "there are 1 seeds"),
        ("finds = [\"lost-writes\"]\nat_least = \"9/10\"", "suite.toml:5", "nor \"8 of 10\""),
        ("expekt = \"valid\"", "suite.toml:4", "unknown field `expekt`"),
        ("expect = \"valid\"\n[[case]]\nname = \"a\"\nexpect = \"valid\"", "case a", "two cases"),
        ("expect = \"valid\"\n[[case]]\nname = \"a/b\"", "case a/b: name", "is no name"),
        ("expect = \"valid\"\ncanary = \"sing\"", "case a: --canary", "unknown canary"),
    ] {
        let error = read(&format!("{HEAD}{rest}\n")).unwrap_err();
        let at = error.place.clone().unwrap_or_default();
        assert!(at.contains(place), "{rest:?}: {at}");
        assert!(error.what.contains(part), "{rest:?}: {}", error.what);
    }
    assert!(read("name = \"s\"\n").unwrap_err().what.contains("at least one"));
}

#[test]
fn faults_of_a_case_may_be_tables() {
    let table = "expect = \"valid\"\nfaults = [\"pause\"]\n[[case.fault]]\nkind = \"slow\"\n\
                 at = \"2s\"\nfor = \"1s\"\nstopped = 50\n";
    let suite = read(&format!("{HEAD}{table}")).unwrap();
    assert_eq!(suite.cases[0].flags().faults, ["pause", "slow:a-follower@2s+1s,stopped=50"]);
    let wrong = table.replace("stopped = 50", "stoped = 50");
    let error = read(&format!("{HEAD}{wrong}")).unwrap_err();
    let place = error.place.unwrap_or_default();
    assert!(place.ends_with("suite.toml:10: case a: fault[0].stoped"), "{place}");
}

#[test]
fn the_command_of_a_case_says_all_of_it() {
    let rest = "finds = [\"lost-writes\"]\nfaults = [\"kill:leaderx2\"]\nseeds = \"4..6\"\n\
                lab = \"sim\"\nrate = 800\n";
    let case = read(&format!("{HEAD}{rest}")).unwrap().cases.remove(0);
    assert_eq!(
        case.words().line(),
        "splitbrain run --name a --seeds 4..6 --lab sim --rate 800 --fault kill:leaderx2"
    );
    let changed = Case { rate: Some(900), ..case.clone() };
    assert_ne!(case.definition(), changed.definition());
}
