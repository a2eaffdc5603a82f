//! Every command that is printed as the one that repeats something must repeat it: over all flags
//! and all settings that there are.

mod samples;
mod schema;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command as Process;

use clap::Parser;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cli, Command, RunFlags};
use crate::config::{FaultSpec, LabSpec, SystemKind, TestFile, TestSpec, command, to_toml};
use crate::matrix::{MatrixPlan, Profile};
use samples::{FLAGS, NOT_OF_A_TEST, SETTINGS};

const INVENTORY: &str = "cluster_id = \"c\"\n\
    [[host]]\nname = \"nginx1\"\naddress = \"127.0.0.1\"\n\
    [[host]]\nname = \"db2.example\"\naddress = \"127.0.0.2\"\n\
    [[host]]\nname = \"db-x3\"\naddress = \"127.0.0.3\"\n\
    [[host]]\nname = \"d\"\naddress = \"127.0.0.4\"\n";

const FILE: &str = "name = \"of-a-file\"\nseed = 4\nrate = 55\n\
    [store]\nship_ms = 9\nfsync = false\n[coverage]\nok_outside_min = 3\n\
    [[fault]]\nkind = \"torn-tail\"\nbytes = 7\n";

/// What a shell makes of a line: the words behind `splitbrain`.
fn words(line: &str) -> Vec<String> {
    let script = format!("splitbrain() {{ printf '%s\\0' \"$@\"; }}; {line}");
    let output = Process::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// What is parsed of a line that somebody types.
fn typed(line: &str) -> Command {
    let words = words(line);
    let all = ["splitbrain".to_owned()].into_iter().chain(words);
    Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

/// Flags of `run`, their files in this folder.
fn flags(line: &str, folder: &Path) -> RunFlags {
    let Command::Run(mut flags) = typed(line) else { panic!("{line}") };
    for path in flags.config.iter_mut().chain(&mut flags.hosts_file) {
        *path = folder.join(&*path);
    }
    *flags
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("inventory.toml", INVENTORY), ("-odd.toml", INVENTORY), ("test.toml", FILE)]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The test that a command says.
fn resolve(line: &str, folder: &Path) -> Result<TestSpec, String> {
    let spec = flags(line, folder).spec();
    spec.map_err(|error| format!("{line}: {error}"))
}

/// Holds that the command of a test says that test, and gives it.
fn repeats(spec: &TestSpec, folder: &Path) -> String {
    let line = command(spec);
    assert_eq!(resolve(&line, folder).as_ref(), Ok(spec), "{line}");
    line
}

/// The system that a setting is of.
fn system_of(setting: &str) -> &'static str {
    match setting.split('.').next() {
        Some("postgres") => " --system postgres",
        Some("mongodb") => " --system mongodb",
        _ => "",
    }
}

#[test]
fn every_setting_and_every_flag_has_its_rule_here() {
    let named = |rules: &[(&'static str, &'static str)]| -> BTreeSet<String> {
        rules.iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    let settings: BTreeSet<String> = schema::settings().into_iter().collect();
    let mut flags = named(FLAGS);
    flags.extend(NOT_OF_A_TEST.map(str::to_owned));
    for (there, ruled) in
        [(settings, named(SETTINGS)), (schema::flags("run").into_iter().collect(), flags)]
    {
        let without: Vec<_> = there.difference(&ruled).collect();
        let what = "the printed command must say it: give it a sample in repeats/samples.rs";
        assert!(without.is_empty(), "{without:?}: {what}");
        let gone: Vec<_> = ruled.difference(&there).collect();
        assert!(gone.is_empty(), "{gone:?}: there is nothing of that name");
    }
}

#[test]
fn the_command_of_every_setting_resolves_to_the_same_test() {
    let folder = folder();
    for (setting, arguments) in SETTINGS {
        let of = system_of(setting);
        let with = resolve(&format!("splitbrain run{of} {arguments}"), folder.path()).unwrap();
        // A sample that changes nothing would show nothing.
        let own = |set: &str| {
            let name = set.trim_matches('\'').split('=').next().unwrap_or_default();
            name == *setting || name.starts_with(&format!("{setting}."))
        };
        let others = arguments.split("--set ").map(str::trim).filter(|set| !own(set));
        let others: Vec<&str> = others.filter(|set| !set.is_empty()).collect();
        let others = others.iter().map(|set| match set.starts_with("--") {
            true => (*set).to_owned(),
            false => format!("--set {set}"),
        });
        let others = others.collect::<Vec<_>>().join(" ");
        let without = resolve(&format!("splitbrain run{of} {others}"), folder.path()).unwrap();
        assert_ne!(with, without, "{setting}: {arguments} changes nothing");
        repeats(&with, folder.path());
        // A setting of a system that is not the tested one is told too.
        if !of.is_empty() && setting != &"system" {
            let other = resolve(&format!("splitbrain run {arguments}"), folder.path());
            other.iter().for_each(|other| drop(repeats(other, folder.path())));
        }
    }
}

#[test]
fn the_command_of_every_flag_resolves_to_the_same_test() {
    let folder = folder();
    let plain = resolve("splitbrain run", folder.path()).unwrap();
    for (flag, arguments) in FLAGS {
        assert!(arguments.contains(&format!("--{flag}")), "{flag}: {arguments}");
        let spec = resolve(&format!("splitbrain run {arguments}"), folder.path()).unwrap();
        assert_ne!(spec, plain, "{arguments} changes nothing");
        repeats(&spec, folder.path());
    }
    let line = command(&resolve("splitbrain run --lab=-kept", folder.path()).unwrap());
    assert!(line.contains(" --lab=-kept "), "{line}");
}

#[test]
fn the_command_of_every_fault_and_parameter_resolves_to_the_same_fault() {
    for fault in nemesis::fault::ALL {
        let base = format!("splitbrain run --fault {}", fault.name());
        let told = fault.parameters().iter().map(|p| format!("{}={}", p.name, p.default));
        let all: Vec<String> = told.collect();
        for parameters in [Vec::new(), all] {
            let text = [std::slice::from_ref(&base), &parameters[..]].concat().join(",");
            let faults = match faults(&text) {
                Ok(faults) => faults,
                // Some defaults do not go together; without parameters every fault is one.
                Err(_) if !parameters.is_empty() => continue,
                Err(error) => panic!("{text}: {error}"),
            };
            let spec = TestSpec { faults, ..TestSpec::default() };
            assert_eq!(faults_of(&command(&spec)), spec.faults, "{text}");
        }
    }
    // Nodes of an inventory, whose names read like a count or a parameter.
    for selector in ["nginx1", "db-x3", "db2.example", "region:eu-x2"] {
        for (count, required) in [(1, None), (3, Some(true)), (1, Some(false))] {
            let fault = FaultSpec {
                selector: selector.to_owned(),
                count,
                required,
                ..crate::cli::run_flags::fault("kill")
            };
            let spec = TestSpec { faults: vec![fault], ..TestSpec::default() };
            assert_eq!(faults_of(&command(&spec)), spec.faults);
        }
    }
}

/// The faults that a command names, without a look at what the test has means for.
fn faults(line: &str) -> Result<Vec<FaultSpec>, String> {
    let Command::Run(flags) = typed(line) else { panic!("{line}") };
    let texts = crate::config::join_parameters(&flags.faults);
    let read = texts.iter().map(|text| crate::config::parse_fault(text));
    read.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn faults_of(line: &str) -> Vec<FaultSpec> {
    faults(line).unwrap()
}

/// Samples drawn together, of one system each time.
#[test]
fn the_command_of_many_settings_at_once_resolves_to_the_same_test() {
    let folder = folder();
    let mut random = ChaCha8Rng::seed_from_u64(15);
    let mut told = 0;
    for _ in 0..400 {
        let system = SystemKind::ALL.choose(&mut random).unwrap();
        let mut line = format!("splitbrain run --system {}", system.name());
        for (setting, arguments) in SETTINGS {
            let of = system_of(setting);
            let other = !of.is_empty() && !of.ends_with(system.name());
            if *setting != "system" && !other && random.random_ratio(1, 6) {
                line.push_str(&format!(" {arguments}"));
            }
        }
        let Ok(Command::Run(flags)) = parse(&line) else { continue };
        // What does not go together is refused, and printed nowhere.
        if let Ok(spec) = flags.spec() {
            repeats(&spec, folder.path());
            told += 1;
        }
    }
    assert!(60 <= told, "only {told} of 400 drawn tests are possible");
}

fn parse(line: &str) -> Result<Command, clap::Error> {
    let all = ["splitbrain".to_owned()].into_iter().chain(words(line));
    Cli::try_parse_from(all).map(|cli| cli.command)
}

#[test]
fn the_test_file_of_every_setting_reads_back_as_the_same_test() {
    let folder = folder();
    let of_settings = SETTINGS.iter().map(|(name, arguments)| (system_of(name), arguments));
    for (of, arguments) in of_settings.chain(FLAGS.iter().map(|(_, arguments)| ("", arguments))) {
        let line = format!("splitbrain run{of} {arguments}");
        let spec = resolve(&line, folder.path()).unwrap();
        let file: TestFile = toml::from_str(&to_toml(&spec)).unwrap();
        let mut read = TestSpec::default();
        file.apply(&mut read).unwrap();
        // Where hosts come from is no part of the file.
        let lab = LabSpec::Local;
        let spec = TestSpec { lab, max_duration_ms: None, ..spec };
        assert_eq!(read, spec, "{line}");
    }
}

#[test]
fn the_command_of_every_row_of_a_matrix_resolves_to_the_same_test() {
    let folder = folder();
    for system in SystemKind::ALL {
        let plan = MatrixPlan {
            system,
            profile: Profile::Normal,
            duration_ms: 20_000,
            seed: 3,
            hosts: 3,
            lab: "local".to_owned(),
        };
        let matrix = plan.matrix(String::new()).unwrap();
        assert!(!matrix.rows.is_empty());
        for row in &matrix.rows {
            repeats(&plan.spec(row).unwrap(), folder.path());
        }
        let only = [matrix.rows[0].name.clone()];
        let Command::Matrix(flags) = typed(&plan.command(&only)) else { panic!() };
        assert_eq!(flags.plan().unwrap(), plan);
        assert_eq!(flags.only, only);
    }
}

#[test]
fn the_words_of_flags_parse_to_the_same_flags() {
    for (flag, arguments) in FLAGS {
        let Command::Run(flags) = typed(&format!("splitbrain run {arguments}")) else { panic!() };
        let Command::Run(again) = typed(&flags.words().line()) else { panic!() };
        assert_eq!(*again, *flags, "{flag}");
    }
    let line = "splitbrain run --seeds 1..4 --until-found --time-budget 3m --json --dry-run";
    for line in [line, "splitbrain run --count 3 --plan"] {
        let Command::Run(flags) = typed(line) else { panic!() };
        let Command::Run(again) = typed(&flags.words().line()) else { panic!() };
        assert_eq!(*again, *flags, "{line}");
    }
}

#[test]
fn the_command_of_a_recovery_parses_to_the_same_flags() {
    let line = "splitbrain recover --seed 4 --hosts 5 --replication any:2 --rate 60 \
                --delete-at 5s --noticed-after 2s --set postgres.isolation=serializable";
    for line in ["splitbrain recover", line] {
        let Command::Recover(flags) = typed(line) else { panic!() };
        let Command::Recover(again) = typed(&flags.command()) else { panic!() };
        assert_eq!(again, flags);
    }
    let not_told = ["json", "runs-dir"].map(str::to_owned);
    let told = schema::flags("recover").into_iter().filter(|flag| !not_told.contains(flag));
    let whole = typed(line);
    let Command::Recover(flags) = whole else { panic!() };
    for flag in told {
        assert!(flags.command().contains(&format!("--{flag} ")), "{flag}");
    }
}

#[test]
fn old_spellings_are_still_understood() {
    for line in [
        "splitbrain heal --hosts inventory.toml",
        "splitbrain heal --hosts-file inventory.toml",
        "splitbrain doctor --hosts inventory.toml",
        "splitbrain doctor --hosts-file inventory.toml",
        "splitbrain lab down kept",
        "splitbrain lab down --name kept",
    ] {
        typed(line);
    }
}
