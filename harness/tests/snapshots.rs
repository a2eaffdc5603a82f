//! What people see, as it is: help texts, errors, the summary, the words of a report. A change here
//! is a change for users; `INSTA_UPDATE=always cargo nextest run` writes it down.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use support::{errors, only_run, run};

#[test]
fn help_texts() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for command in [
        "", "demo", "run", "matrix", "suite", "merge", "check", "report", "lab", "doctor", "list",
        "heal", "recover", "drill",
    ] {
        let arguments: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        let output = run(&[&arguments[..], &["--help"]].concat(), folder.path());
        assert!(output.status.success());
        text.push_str(&format!("$ splitbrain {command} --help\n"));
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_list_of_faults() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["list", "faults"], folder.path());
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout));
}

#[test]
fn error_texts() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for line in [
        "run --workload leger",
        "run --fault kil",
        "run --fault halves,side=mayority",
        "drill --only kil",
        "drill --only remove",
        "drill --lab sim",
        "run --replication sync:9",
        "run --hosts-file none.toml",
        "check nowhere",
        "report",
        "lab exec n1 --name none -- true",
    ] {
        let output = run(&line.split(' ').collect::<Vec<_>>(), folder.path());
        text.push_str(&format!("$ splitbrain {line}\n{}", errors(&output)));
        text.push_str(&format!("exit {}\n\n", output.status.code().unwrap()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn refusals_of_a_cluster_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let host = "[[host]]\nname = \"a\"\naddress = \"127.0.0.1\"\n";
    let write = |name: &str, top: &str, attach: &str| {
        let text = format!("{top}\n[attach]\n{attach}\n{host}");
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let open = "cluster_id = \"x\"\nallow = [\"process\"]\ndata_is_disposable = true\nmax_hurt = 1";
    write("set.toml", open, "system = \"mongodb\"\nuri = \"mongodb://app@/\"");
    write("other.toml", "", "system = \"oracle\"");
    let mut text = String::new();
    for line in [
        "run --hosts-file other.toml",
        "run --hosts-file set.toml --system postgres",
        "run --hosts-file set.toml --set mongodb.port=27018",
        "run --hosts-file set.toml --fault isolate:leader",
        "run --hosts-file set.toml --fault step-down",
        "run --hosts-file set.toml --fault kill:a",
    ] {
        let output = run(&line.split(' ').collect::<Vec<_>>(), folder.path());
        text.push_str(&format!("$ splitbrain {line}\n{}", errors(&output)));
        text.push_str(&format!("exit {}\n\n", output.status.code().unwrap()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_run_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--fault", "kill:leader", "--seed", "4", "--name", "shot"];
    let output = run(&flags, folder.path());
    let stamp = |text: String| {
        let words = text.split(' ').map(|word| match word.contains("shot/2") {
            true => "shot/RUN",
            false => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let lines = errors(&output);
    let lines = lines.lines().map(|line| stamp(line.to_owned())).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("summary", lines);
    let page = std::fs::read_to_string(only_run(folder.path(), "shot").join("report.html"));
    insta::assert_snapshot!("report", words_of(&page.unwrap()));
}

/// The text of a page without its marks, styles, scripts and drawings.
fn words_of(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        let skipped = ["style", "script", "svg"]
            .into_iter()
            .find(|name| rest[start + 1..].starts_with(*name));
        let end = match skipped {
            Some(name) => rest[start..].find(&format!("</{name}>")).unwrap(),
            None => 0,
        };
        let close = rest[start + end..].find('>').unwrap();
        let block = ["<p", "<h", "<li", "<tr", "<se", "<ar", "<dt", "<pre"];
        if block.iter().any(|mark| rest[start..].starts_with(mark)) {
            text.push('\n');
        } else if rest[start..].starts_with("<td") {
            text.push_str("  ");
        }
        rest = &rest[start + end + close + 1..];
    }
    text
}
