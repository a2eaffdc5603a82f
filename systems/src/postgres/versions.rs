//! Which server a host runs: what is there is looked at, one is chosen, and a mix that nobody asked
//! for is refused.
//!
//! Every folder of a server is asked by running it. The newest that runs there is never taken in
//! place of a newer one that does not: that is said, and the test names the one it wants.

use std::time::Duration;

use cluster::shell_quote;
use serde::de::{Deserializer, Error, Visitor};

use super::provision::Programs;
use super::spec::PostgresSpec;
use crate::system::{Nodes, SystemError};

/// What `splitbrain lab install postgres-17` fills: one folder a version. A server in there is
/// taken where its version is asked for, or where the host has no other.
pub const CACHE: &str = "/var/cache/splitbrain/postgres";
/// Oldest version that is supported.
const VERSION_MIN: u32 = 15;
/// What to type to get one.
const INSTALL: &str = "apt-get install postgresql, or splitbrain lab install postgres-17";
/// How long a host may take to look.
const LIMIT: Duration = Duration::from_secs(20);

/// A folder that holds a server, as its host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The folder.
    pub bin: String,
    /// `postgres --version`, or why it does not run.
    pub said: Result<String, String>,
}

impl Candidate {
    /// `15.20`, if it runs.
    pub fn number(&self) -> Option<&str> {
        number(self.said.as_deref().ok()?)
    }

    /// For people.
    fn text(&self) -> String {
        match &self.said {
            Ok(said) => format!("{} in {}", number(said).unwrap_or(said), self.bin),
            Err(why) => format!("{}, which does not run: {why}", self.bin),
        }
    }
}

/// `15.20` of `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`.
pub fn number(version: &str) -> Option<&str> {
    version.split(' ').nth(2).filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// The first number of a version; 0 if it has none.
pub fn major(number: &str) -> u32 {
    let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    digits.parse().unwrap_or(0)
}

/// Whether a server of this number is what was asked for: `17` is every 17, `17.10` that one.
pub fn fits(number: &str, asked: &str) -> bool {
    let rest = number.strip_prefix(asked);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Names every folder of a server on a host: its path, whether its programs run, what it says.
/// Packages' folders come first, the newest of them before others.
pub fn find_line(spec: &PostgresSpec) -> String {
    let places = match &spec.binary {
        Some(path) => format!("\"$(dirname {})\"", shell_quote(path)),
        None => format!(
            "$(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV) \
             \"$(dirname \"$(command -v postgres || echo /nonexistent/x)\")\" \
             $(ls -d {CACHE}/*/bin 2>/dev/null | sort -rV)"
        ),
    };
    format!(
        "for bin in {places}; do [ -e \"$bin/postgres\" ] || continue; code=0; \
         for program in initdb pg_basebackup pg_rewind postgres; do \
         said=$(\"$bin/$program\" --version 2>&1) || {{ code=$?; break; }}; done; \
         echo \"$bin|$code|$(echo \"$said\" | head -n 1)\"; done"
    )
}

/// What [`find_line`] has a host say.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, '|');
        let (Some(bin), Some(code), Some(said)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let said = match (code, number(said)) {
            ("0", Some(_)) => Ok(said.to_owned()),
            ("0", None) => Err(format!("it says \"{said}\" for a version")),
            _ => Err(format!("it ends with {code}: {said}")),
        };
        // The PATH may name a folder that was there before.
        if found.iter().all(|other| other.bin != bin) {
            found.push(Candidate { bin: bin.to_owned(), said });
        }
    }
    found
}

/// The server that a node is to run, out of what its host has.
fn choose(name: &str, found: &[Candidate], spec: &PostgresSpec) -> Result<Programs, SystemError> {
    let there = || found.iter().map(Candidate::text).collect::<Vec<_>>().join("; ");
    let asked = spec.version_of(name);
    let wanted = |one: &&Candidate| match asked {
        Some(asked) => one.number().is_some_and(|number| fits(number, asked)),
        None => true,
    };
    let Some(taken) = found.iter().find(wanted) else {
        let what = match (asked, &spec.binary) {
            (_, None) if found.is_empty() => "no PostgreSQL server in /usr/lib/postgresql/*/bin, \
                on the PATH or by lab install"
                .to_owned(),
            (_, Some(path)) if found.is_empty() => format!("postgres.binary: there is no {path}"),
            (asked, _) => {
                let asked = asked.unwrap_or_default();
                format!("no PostgreSQL {asked} that runs is there: there is {}", there())
            }
        };
        let hint = match found.is_empty() {
            true => format!("install its server package there: {INSTALL}"),
            false => format!("choose one that is there with --set postgres.version=, or {INSTALL}"),
        };
        return Err(SystemError::new(format!("host {name}: {what}")).hint(hint));
    };
    let said = match &taken.said {
        Ok(said) => said,
        Err(why) => {
            let what = format!("host {name}: the PostgreSQL server in {} does not run: {why}", {
                &taken.bin
            });
            let runs = found.iter().find_map(Candidate::number);
            let hint = match runs {
                Some(number) => format!(
                    "mend or remove it, or choose one that runs: --set postgres.version={number}"
                ),
                None => format!("mend it, or install another: {INSTALL}"),
            };
            return Err(SystemError::new(what).hint(hint));
        }
    };
    if major(number(said).unwrap_or_default()) < VERSION_MIN {
        let what = format!("host {name}: {}/postgres is \"{said}\"", taken.bin);
        let hint = format!("version {VERSION_MIN} or later is needed: {INSTALL}");
        return Err(SystemError::new(what).hint(hint));
    }
    Ok(Programs { bin: taken.bin.clone(), version: said.clone() })
}

/// The server that one host is to run.
pub fn find(nodes: &Nodes, node: usize, spec: &PostgresSpec) -> Result<Programs, SystemError> {
    let found = nodes.shell(node, "looking for PostgreSQL", find_line(spec), LIMIT)?;
    choose(&nodes.names[node], &candidates(&found), spec)
}

/// Refuses servers of several versions that nobody asked for.
pub fn check_mix(
    names: &[String],
    programs: &[Programs],
    spec: &PostgresSpec,
) -> Result<(), SystemError> {
    let numbers: Vec<&str> =
        programs.iter().map(|one| number(&one.version).unwrap_or(&one.version)).collect();
    let asked = |node: usize| spec.versions.contains_key(&names[node]);
    let plain: Vec<usize> = (0..names.len()).filter(|node| !asked(*node)).collect();
    let Some(other) = plain.iter().find(|node| numbers[**node] != numbers[plain[0]]) else {
        return Ok(());
    };
    let all: Vec<String> =
        names.iter().zip(&numbers).map(|(name, number)| format!("{name} has {number}")).collect();
    let (name, number) = (&names[*other], numbers[*other]);
    let what =
        format!("PostgreSQL of several versions, and no mix was asked for: {}", { all.join(", ") });
    Err(SystemError::new(what).hint(format!(
        "choose one that all hosts have: --set postgres.version={}; or ask for the mix: --set \
         postgres.versions.{name}={number}",
        numbers[plain[0]]
    )))
}

/// A version as people write it: `"17.10"`, or `17`. A fraction is not taken: 17.10 would be 17.1.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl<'de> serde::Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        deserializer.deserialize_any(VersionVisitor)
    }
}

struct VersionVisitor;

impl Visitor<'_> for VersionVisitor {
    type Value = Version;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a version such as 17 or, in quotes, \"17.10\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Version, E> {
        Err(E::custom(format!("{number} is a fraction: write a version in quotes, \"17.10\"")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Version, E> {
        let plain = text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        match plain && 0 < major(text) {
            true => Ok(Version(text.to_owned())),
            false => Err(E::custom(format!("\"{text}\" is no version such as 17 or 17.10"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SAID: &str = "/usr/lib/postgresql/16/bin|127|postgres: not found\n\
        /usr/lib/postgresql/15/bin|0|postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n\
        /usr/lib/postgresql/15/bin|0|postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n\
        /var/cache/splitbrain/postgres/17.10/bin|0|postgres (PostgreSQL) 17.10\n\
        /old/bin|0|postgres (PostgreSQL) 14.2\n";

    fn asked(version: &str) -> PostgresSpec {
        PostgresSpec { version: Some(Version(version.to_owned())), ..PostgresSpec::default() }
    }

    fn chosen(spec: &PostgresSpec) -> Result<String, SystemError> {
        choose("n1", &candidates(SAID), spec).map(|programs| programs.bin)
    }

    #[test]
    fn the_version_that_was_asked_for_is_taken_and_no_other() {
        assert_eq!(candidates(SAID).len(), 4, "a folder counts once");
        assert_eq!(chosen(&asked("15")).unwrap(), "/usr/lib/postgresql/15/bin");
        assert_eq!(chosen(&asked("15.20")).unwrap(), "/usr/lib/postgresql/15/bin");
        assert_eq!(chosen(&asked("17")).unwrap(), "/var/cache/splitbrain/postgres/17.10/bin");
        for absent in ["1", "15.2", "17.1", "18", "16"] {
            let error = chosen(&asked(absent)).unwrap_err();
            assert!(error.what.contains(&format!("no PostgreSQL {absent} that runs")), "{error}");
            assert!(error.what.contains("17.10 in /var/cache"), "what is there is said: {error}");
        }
        let old = chosen(&asked("14")).unwrap_err();
        assert!(old.hint.unwrap().starts_with("version 15 or later is needed"));
    }

    #[test]
    fn a_server_that_does_not_run_is_named_and_never_passed_over() {
        let error = chosen(&PostgresSpec::default()).unwrap_err();
        assert!(error.what.contains("/usr/lib/postgresql/16/bin does not run"), "{error}");
        assert!(error.what.contains("it ends with 127: postgres: not found"), "{error}");
        assert!(error.hint.unwrap().contains("postgres.version=15.20"));
        let none = choose("n1", &[], &PostgresSpec::default()).unwrap_err();
        assert!(none.hint.unwrap().contains("lab install postgres-17"));
    }

    /// The line itself, run by a shell on programs that say what they are told to.
    #[test]
    fn a_hosts_own_answer_tells_servers_that_run_from_those_that_do_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("find-line-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |program: &str, script: &str| {
            let path = folder.join(program);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        for program in ["initdb", "pg_basebackup", "pg_rewind", "postgres"] {
            write(program, &format!("echo '{program} (PostgreSQL) 17.10'"));
        }
        let binary = Some(folder.join("postgres").display().to_string());
        let spec = PostgresSpec { binary, ..PostgresSpec::default() };
        let look = || {
            let mut shell = std::process::Command::new("sh");
            let output = shell.arg("-c").arg(find_line(&spec)).output().unwrap();
            candidates(&String::from_utf8_lossy(&output.stdout))
        };
        let bin = folder.display().to_string();
        let said = Ok("postgres (PostgreSQL) 17.10".to_owned());
        assert_eq!(look(), [Candidate { bin: bin.clone(), said }]);
        write("pg_rewind", "echo 'pg_rewind: no libpq' >&2; exit 127");
        let said = Err("it ends with 127: pg_rewind: no libpq".to_owned());
        assert_eq!(look(), [Candidate { bin, said }], "a program beside it that does not run");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(look(), []);
    }

    #[test]
    fn a_mix_is_refused_unless_every_odd_one_was_asked_for() {
        let names = ["n1", "n2", "n3"].map(str::to_owned);
        let programs = ["15.20", "15.20", "15.19"].map(|number| Programs {
            bin: "/bin".to_owned(),
            version: format!("postgres (PostgreSQL) {number}"),
        });
        let plain = PostgresSpec::default();
        let error = check_mix(&names, &programs, &plain).unwrap_err();
        assert!(error.what.contains("n1 has 15.20, n2 has 15.20, n3 has 15.19"), "{error}");
        assert!(error.hint.unwrap().contains("postgres.versions.n3=15.19"));
        let versions = BTreeMap::from([("n3".to_owned(), Version("15.19".to_owned()))]);
        let spec = PostgresSpec { versions, ..plain.clone() };
        assert_eq!(check_mix(&names, &programs, &spec), Ok(()));
        assert_eq!(check_mix(&names[..2], &programs[..2], &plain), Ok(()));
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Version>(text);
        assert_eq!(read("17").unwrap().0, "17");
        assert_eq!(read("\"17.10\"").unwrap().0, "17.10");
        assert_eq!(read("\"18beta1\"").unwrap().0, "18beta1");
        assert!(read("17.10").unwrap_err().to_string().contains("in quotes"));
        for wrong in ["\"\"", "\"newest\"", "\"17.\"", "\"17;x\"", "true"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
