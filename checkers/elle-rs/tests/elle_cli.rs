//! The binary `elle`, in the place of elle-cli: words, exit codes, and what it says of bad input.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output, standard error.
fn elle(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_elle"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Lines of transactions, one after the other: what each did, as JSON.
fn history(transactions: &[&str]) -> String {
    let mut text = String::new();
    for (at, value) in transactions.iter().enumerate() {
        for (index, kind) in [(2 * at, "invoke"), (2 * at + 1, "ok")] {
            let _ = writeln!(
                text,
                r#"{{"index":{index},"type":"{kind}","process":{at},"f":"txn","value":[{value}]}}"#
            );
        }
    }
    text
}

const APPENDS: [&str; 2] = [r#"["append","x",1]"#, r#"["r","x",[1]]"#];
/// The second reads nothing of what the first was done writing.
const STALE: [&str; 2] = [r#"["append","x",1]"#, r#"["r","x",[]]"#];
/// A transaction that does nothing, as EDN.
const EMPTY: &str = "{:index 0 :type :invoke :process 0 :value []}\n";
const REGISTER: [&str; 2] = [r#"["w","x",1]"#, r#"["r","x",1]"#];

fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[test]
fn each_file_gets_a_word_and_the_worst_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "good.jsonl", &history(&APPENDS));
    write(folder, "stale.jsonl", &history(&STALE));
    write(folder, "lone.jsonl", &history(&APPENDS[..1]));
    let lists = |files: &[&str]| {
        let (code, told, _) = elle(folder, &[&["--model", "list-append"], files].concat());
        (code, told)
    };
    let word = |words: &[(&str, &str)]| {
        words.iter().map(|(file, word)| format!("{file}\t{word}\n")).collect::<String>()
    };
    let (good, stale, lone) =
        (("good.jsonl", "true"), ("stale.jsonl", "false"), ("lone.jsonl", "unknown"));
    assert_eq!(lists(&["good.jsonl"]), (0, word(&[good])));
    assert_eq!(lists(&["stale.jsonl", "good.jsonl"]), (1, word(&[stale, good])));
    assert_eq!(lists(&["lone.jsonl", "good.jsonl"]), (2, word(&[lone, good])));
    // A violation is never hidden by a file that cannot be told, in either order.
    assert_eq!(lists(&["lone.jsonl", "stale.jsonl"]), (1, word(&[lone, stale])));
    assert_eq!(lists(&["stale.jsonl", "lone.jsonl"]), (1, word(&[stale, lone])));
    assert_eq!(lists(&["-c", "serializable", "stale.jsonl"]).0, 0, "another level");
    assert_eq!(lists(&["--consistency-models=PL-SS", "stale.jsonl"]).0, 1);
    assert_eq!(lists(&["-c", "serializable,strict-serializable", "stale.jsonl"]).0, 1);
    assert_eq!(lists(&["-s", "10", "-p", "svg", "-t", "5", "-b", "9", "good.jsonl"]).0, 0);
    assert_eq!(lists(&["nowhere.jsonl"]).0, 2);
}

#[test]
fn the_three_forms_come_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines = history(&STALE);
    let array = format!("[{}]", lines.trim().replace('\n', ",\n"));
    // Without :f, as elle-cli's own examples are.
    let edn = "{:index 0, :type :invoke, :process 0, :value [[:append :x 1]]}\n\
               {:index 1, :type :ok, :process 0, :value [[:append :x 1]]}\n\
               {:index 2, :type :invoke, :process 1, :value [[:r :x nil]]}\n\
               {:index 3, :type :info, :process :nemesis, :f :start, :value nil}\n\
               {:index 4, :type :ok, :process 1, :value [[:r :x []]]}\n"
        .to_owned();
    write(folder, "a.jsonl", &lines);
    write(folder, "a.json", &array);
    write(folder, "a.edn", &edn);
    write(folder, "vector.edn", &format!("[{edn}]"));
    for (name, text) in [("b.jsonl.gz", &lines), ("b.json.gz", &array), ("b.edn.gz", &edn)] {
        std::fs::write(folder.join(name), packed(text)).unwrap();
    }
    for name in ["a.jsonl", "a.json", "a.edn", "vector.edn", "b.jsonl.gz", "b.json.gz", "b.edn.gz"]
    {
        let (code, told, said) = elle(folder, &["-m", "list-append", name]);
        assert_eq!((code, said.as_str()), (1, ""), "{name}: {told}{edn}");
    }
    std::fs::rename(folder.join("a.edn"), folder.join("edn.txt")).unwrap();
    assert_eq!(elle(folder, &["-m", "list-append", "-f", "edn", "edn.txt"]).0, 1);
}

#[test]
fn the_analysis_has_the_originals_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "stale.jsonl", &history(&STALE));
    write(folder, "register.jsonl", &history(&REGISTER));
    for flags in [&["--output", "json"][..], &["--verbose"], &["-v", "json"], &["-v"]] {
        let arguments = [&["-m", "list-append"], flags, &["stale.jsonl"]].concat();
        let (code, told, _) = elle(folder, &arguments);
        let analysis: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(code, 1);
        assert_eq!(analysis["valid?"], false);
        assert_eq!(analysis["anomaly-types"][0], "G-single-item-realtime");
        assert_eq!(analysis["not"][0], "strong-snapshot-isolation");
        let cycle = &analysis["anomalies"]["G-single-item-realtime"][0];
        assert_eq!(cycle["steps"].as_array().unwrap().len(), 2);
    }
    let (code, told, _) = elle(folder, &["-m", "rw-register", "--verbose", "register.jsonl"]);
    let analysis: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &analysis["valid?"]), (0, &true.into()));
    assert_eq!(analysis["assuming"], serde_json::json!(["initial-state"]), "never valid without");
    let (_, told, _) = elle(folder, &["-m", "list-append", "--explain", "stale.jsonl"]);
    insta::assert_snapshot!("explained", told);
}

#[test]
fn cycles_are_drawn_into_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "stale.jsonl", &history(&STALE));
    let arguments = ["-m", "list-append", "--directory", "out", "stale.jsonl"];
    assert_eq!(elle(folder, &arguments).0, 1);
    let drawn = folder.join("out/stale.jsonl");
    let text = |ending: &str| {
        std::fs::read_to_string(drawn.join(format!("G-single-item-realtime.{ending}"))).unwrap()
    };
    assert!(text("svg").starts_with("<svg "));
    assert!(text("dot").starts_with("digraph "));
    assert!(text("txt").contains("T1 < T2"));
}

#[test]
fn help_and_wrong_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let (code, told, said) = elle(folder.path(), &["--help"]);
    assert_eq!((code, said.as_str()), (0, ""));
    insta::assert_snapshot!("help", told);
    assert!(elle(folder.path(), &["--version"]).1.starts_with("elle "));
    let mut all = String::new();
    for arguments in [
        &[][..],
        &["-m", "list-append"],
        &["a.json"],
        &["-m", "bank", "a.json"],
        &["-m", "list", "a.json"],
        &["-m"],
        &["-m", "list-append", "-c", "serialisable", "a.json"],
        &["-m", "list-append", "-c", "causal", "a.json"],
        &["-m", "list-append", "-c", "", "a.json"],
        &["-m", "list-append", "-a", "G7", "a.json"],
        &["-m", "list-append", "-a", "GSIa", "a.json"],
        &["-m", "list-append", "-f", "xml", "a.json"],
        &["-m", "list-append", "-p", "png", "a.json"],
        &["-m", "list-append", "-s", "soon", "a.json"],
        &["-m", "list-append", "--output", "yaml", "a.json"],
        &["-m", "list-append", "--group-size", "3", "a.json"],
        &["-m", "list-append", "--colour", "a.json"],
    ] {
        let (code, told, said) = elle(folder.path(), arguments);
        assert_eq!((code, told.as_str()), (64, ""), "{arguments:?}");
        let _ = writeln!(all, "elle {}\n{}", arguments.join(" "), said.lines().next().unwrap());
    }
    insta::assert_snapshot!("wrong_arguments", all);
}

/// Line `at` of a good history, put another way.
fn with(at: usize, line: &str) -> String {
    let good = history(&APPENDS);
    let mut lines: Vec<&str> = good.lines().collect();
    lines[at] = line;
    lines.join("\n") + "\n"
}

#[test]
fn bad_input_is_told_with_its_line_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = history(&APPENDS);
    let stale = history(&STALE);
    let array = format!("[{}]", good.trim().replace('\n', ",\n"));
    let invoke = |value: &str| {
        with(2, &format!(r#"{{"index":2,"type":"invoke","process":1,"f":"txn","value":{value}}}"#))
    };
    let cut = |text: &str, less: usize| text[..text.len() - less].to_owned();
    let cases = [
        ("append twice", "a.jsonl", history(&[APPENDS[0], APPENDS[0]])),
        ("write twice", "register.jsonl", history(&[REGISTER[0], REGISTER[0]])),
        ("another model's", "b.jsonl", history(&REGISTER)),
        ("a list in a register", "register-b.jsonl", history(&[r#"["r","x",[1]]"#])),
        ("no type", "c.jsonl", with(2, r#"{"index":2,"process":1,"value":[]}"#)),
        ("no key", "d.jsonl", invoke(r#"[["r"]]"#)),
        ("a key that is null", "e.jsonl", invoke(r#"[["r",null,null]]"#)),
        ("a value that is a map", "f.jsonl", invoke(r#"[["append","x",{"a":1}]]"#)),
        ("a value that cannot be kept", "g.jsonl", invoke(r#"[["append","x",1e300]]"#)),
        (
            "a list of lists",
            "h.jsonl",
            with(3, r#"{"index":3,"type":"ok","process":1,"f":"txn","value":[["r","x",[[1]]]]}"#),
        ),
        (
            "another value in the completion",
            "value.jsonl",
            good.replacen(
                r#""ok","process":0,"f":"txn","value":[["append","x",1"#,
                r#""ok","process":0,"f":"txn","value":[["append","x",2"#,
                1,
            ),
        ),
        (
            "a field twice",
            "twice.jsonl",
            with(3, r#"{"index":3,"type":"ok","type":"fail","process":1,"f":"txn","value":[]}"#),
        ),
        (
            "a process that is no number and no name",
            "process.jsonl",
            with(3, r#"{"index":3,"type":"ok","process":1.0,"f":"txn","value":[["r","x",[1]]]}"#),
        ),
        ("a comma before the end", "comma.json", format!("{},]", &array[..array.len() - 1])),
        ("not EDN that is read", "octal.edn", "[{:index 0 :process 017}]".to_owned()),
        (
            "no invocation",
            "i.jsonl",
            with(2, r#"{"index":2,"type":"ok","process":1,"f":"txn","value":[["r","x",[1]]]}"#),
        ),
        (
            "two at once",
            "j.jsonl",
            with(
                1,
                r#"{"index":1,"type":"invoke","process":0,"f":"txn","value":[["r","x",null]]}"#,
            ),
        ),
        (
            "another completion",
            "k.jsonl",
            with(3, r#"{"index":3,"type":"ok","process":1,"f":"txn","value":[["r","y",[1]]]}"#),
        ),
        ("index goes back", "l.jsonl", good.replace("\"index\":3", "\"index\":2")),
        ("cut", "m.jsonl", cut(&good, 20)),
        ("cut after a violation", "n.jsonl", stale + "{\"index\":4,"),
        ("cut array", "o.json", cut(&array, 20)),
        ("array not closed", "p.json", cut(&array, 1)),
        ("text after the array", "q.json", array.clone() + "]"),
        ("cut EDN", "r.edn", format!("{EMPTY}{{:index")),
        ("EDN vector not closed", "s.edn", format!("[{EMPTY}")),
        ("nothing", "t.json", " \n".to_owned()),
    ];
    let mut all = String::new();
    let mut told_of = |case: &str, name: &str| {
        let model = if name.starts_with("register") { "rw-register" } else { "list-append" };
        let (code, told, said) = elle(folder, &["--model", model, name]);
        let violated = case.contains("violation");
        assert_eq!(code, if violated { 1 } else { 2 }, "{case}: {told}{said}");
        assert_eq!(said.lines().count(), 1, "{case}: one error: {said}");
        let _ = writeln!(all, "{case}: {said}    {told}");
    };
    for (case, name, text) in &cases {
        write(folder, name, text);
        told_of(case, name);
    }
    for name in ["u.jsonl.gz", "v.json.gz", "w.edn.gz"] {
        // Enough that something is unpacked before the end is missed.
        let text = match name {
            "v.json.gz" => array.clone(),
            "w.edn.gz" => EMPTY.to_owned(),
            _ => good.clone(),
        };
        let bytes = packed(&text);
        std::fs::write(folder.join(name), &bytes[..bytes.len() - 6]).unwrap();
        told_of("cut in the packed file", name);
    }
    told_of("no file", "nowhere.jsonl");
    insta::assert_snapshot!("bad_input", all);
}

#[test]
fn a_reader_that_has_gone_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good.jsonl", &history(&APPENDS));
    write(folder.path(), "stale.jsonl", &history(&STALE));
    for (arguments, code) in [
        (&["-m", "list-append", "good.jsonl"][..], 0),
        (&["-m", "list-append", "good.jsonl", "stale.jsonl"], 1),
        (&["-m", "list-append", "missing.jsonl"], 2),
        (&["--help"], 0),
        (&["--no-such-option"], 64),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elle"));
        command.args(arguments).current_dir(folder.path());
        let gone = || std::io::pipe().unwrap().1;
        let status = command.stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
