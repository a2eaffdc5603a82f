//! Histories of others, in every form; and that none is read otherwise than told.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::event::EventKind;
use crate::reader::{Form, ReadError, ReadHistory, Reading, read_events, read_file};
use crate::source::{Limits, size};

fn line(index: usize, kind: &str, process: &str, value: &str, more: &str) -> String {
    format!(
        "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"time\":{index},\
         \"f\":\"txn\",\"value\":{value}{more}}}\n"
    )
}

/// An append and a read of it, with something more in the second line.
fn history(more: &str) -> String {
    let append = r#"[["append",1,2]]"#;
    line(0, "invoke", "0", append, "")
        + &line(1, "ok", "0", append, more)
        + &line(2, "invoke", "1", r#"[["r",1,null]]"#, "")
        + &line(3, "ok", "1", r#"[["r",1,[2]]]"#, "")
}

fn read(text: &str) -> ReadHistory {
    read_events(text.as_bytes())
}

fn damage(text: &str) -> (u64, String) {
    let damage = read(text).damage.unwrap_or_else(|| panic!("no damage: {text}"));
    (damage.line, damage.why)
}

/// Reads a text as a file, with nothing known but its bytes.
fn read_bytes(bytes: &[u8], reading: &Reading) -> Result<ReadHistory, ReadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_file(file.path(), reading)
}

const ODD: [&str; 9] =
    ["true", "{}", "[]", "[1,\"x\"]", "{\"a\":[1]}", "1.5", "1e308", "[[[]]]", "{\"a\":{\"b\":1}}"];

#[test]
fn an_optional_field_of_any_type_ends_no_reading_and_is_told() {
    let plain = read(&history(""));
    for field in ["error", "node", "target", "hops", "final", "position"] {
        for odd in ODD {
            let taken = read(&history(&format!(",\"{field}\":{odd}")));
            assert_eq!(taken.damage, None, "{field} {odd}");
            assert_eq!(taken.history.mops, plain.history.mops, "{field} {odd}");
            let told = taken.notes.join("\n");
            // A position is whatever a system says; a number for a name is taken as that; an empty
            // list of hops is none.
            let as_it_is = match field {
                "position" => true,
                "final" => odd == "true",
                "hops" => odd == "[]",
                "node" | "target" => odd.starts_with('1'),
                _ => false,
            };
            assert_eq!(told.is_empty(), as_it_is, "{field} {odd}: {told}");
            assert!(as_it_is || told.contains("line 2"), "{field} {odd}: {told}");
        }
    }
    for odd in ODD {
        let text = history("").replacen("\"time\":1", &format!("\"time\":{odd}"), 1);
        let taken = read(&text);
        assert_eq!((taken.damage, taken.notes.len()), (None, 1), "time {odd}");
        let text =
            line(0, "invoke", "0", r#"[["append",1,2]]"#, "") + &line(1, "info", "0", odd, "");
        let taken = read(&text);
        assert_eq!(taken.history.ops[0].kind, EventKind::Info, "value {odd}");
        assert_eq!((taken.damage, taken.notes.len()), (None, usize::from(odd != "[]")), "{odd}");
    }
}

#[test]
fn a_process_that_is_no_integer_and_no_name_is_damage_wherever_it_stands() {
    let odd = ["9223372036854775808", "18446744073709551616", "null", "2147483648", "1.0"];
    for process in ODD.into_iter().chain(odd) {
        for at in 0..4 {
            let text = history("");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let own = format!("\"process\":{},", at / 2);
            lines[at] = lines[at].replace(&own, &format!("\"process\":{process},"));
            let (place, why) = damage(&(lines.join("\n") + "\n"));
            assert_eq!(place, at as u64 + 1, "{process}: {why}");
            assert!(why.contains("process"), "{process}: {why}");
        }
    }
}

#[test]
fn named_processes_are_processes_and_only_the_nemesis_is_left_out() {
    let value = r#"[["append",1,2]]"#;
    let text = line(0, "invoke", "\"c1\"", value, "")
        + &line(1, "info", "\"nemesis\"", "null", ",\"error\":[1]")
        + &line(2, "ok", "\"c1\"", value, "")
        + &line(3, "invoke", "\"c2\"", value, ",\"session\":\"alice\"")
        + &line(4, "invoke", "\"7\"", value, "");
    let read = read(&text);
    assert_eq!((read.damage.clone(), read.skipped), (None, 1));
    let ops = &read.history.ops;
    assert_eq!((ops.len(), ops[0].kind, ops[2].process()), (3, EventKind::Ok, 7));
    assert_ne!(ops[0].process(), ops[1].process());
    assert_ne!(ops[1].session(), ops[1].process());
    let told = format!("session {} process {}", ops[1].session(), ops[0].process());
    let told = read.history.names().told(&told, str::to_owned).into_owned();
    assert_eq!(told, "session alice process c1");
    assert_eq!(read.notes, ["line 5: process is a number written as text"]);
    let reserved = line(0, "invoke", "-1500000000", value, "");
    assert!(damage(&reserved).1.contains("kept for names"), "a number is no name by chance");
}

#[test]
fn a_field_that_stands_twice_is_damage_whatever_it_says() {
    for field in [
        "\"index\":1",
        "\"type\":\"ok\"",
        "\"type\":\"fail\"",
        "\"process\":0",
        "\"process\":\"nemesis\"",
        "\"session\":0,\"session\":0",
        "\"node\":\"n1\",\"node\":\"n2\"",
        "\"time\":1",
        "\"f\":\"txn\"",
        "\"value\":[]",
        "\"final\":true,\"final\":false",
        "\"error\":\"a\",\"error\":[]",
        "\"target\":\"a\",\"target\":\"b\"",
        "\"position\":1,\"position\":2",
        "\"position\":1,\"position\":[{\"a\":1,\"a\":2}]",
        "\"hops\":[],\"hops\":[]",
    ] {
        let (place, why) = damage(&history(&format!(",{field}")));
        assert_eq!(place, 2, "{field}");
        assert!(why.contains("stands twice"), "{field}: {why}");
        let edn = "{:index 0 :type :ok :type :fail :process 0}";
        let edn = read_bytes(edn.as_bytes(), &Reading::default()).unwrap_err().to_string();
        assert!(edn.contains("stands twice"), "{edn}");
    }
}

#[test]
fn a_completion_is_of_what_was_invoked() {
    let lines = |invoked: &str, done: &str, kind: &str| {
        line(0, "invoke", "0", invoked, "") + &line(1, kind, "0", done, "")
    };
    for kind in ["ok", "fail", "info"] {
        for (invoked, done) in [
            (r#"[["append",1,1]]"#, r#"[["append",1,2]]"#),
            (r#"[["w",1,"a"]]"#, r#"[["w",1,"b"]]"#),
            (r#"[["w",1,1]]"#, r#"[["append",1,1]]"#),
            (r#"[["inc",1,1]]"#, r#"[["inc",1,2]]"#),
            (r#"[["r",1,null]]"#, r#"[["r",2,null]]"#),
        ] {
            let (place, why) = damage(&lines(invoked, done, kind));
            assert!(place == 2 && why.contains("another transaction"), "{done} {kind}: {why}");
        }
    }
    let two = r#"[["r",1]]"#;
    assert_eq!(read(&lines(two, r#"[["r",1,[]]]"#, "ok")).damage, None);
    assert_eq!(read(&lines(two, two, "info")).damage, None);
    let (place, why) = damage(&lines(two, two, "ok"));
    assert!(place == 2 && why.contains("what it read"), "{why}");
    let other = line(0, "invoke", "0", two, ",\"session\":1")
        + &line(1, "info", "0", two, ",\"session\":2");
    assert!(damage(&other).1.contains("another session"));
    let (place, why) = damage(&history("").replacen("\"index\":2,", "", 1));
    assert!(place == 3 && why.contains("index"), "{why}");
}

#[test]
fn completions_alone_are_read_and_a_head_that_is_missing_is_damage() {
    let alone = line(0, "ok", "0", r#"[["append",1,2]]"#, "")
        + &line(1, "ok", "1", r#"[["r",1,[2]]]"#, "")
        + &line(2, "ok", "0", r#"[["r",1,[]]]"#, "");
    let all = read(&alone);
    assert_eq!((all.damage, all.history.ops.len()), (None, 3));
    assert!(all.history.is_untimed() && all.notes[0].contains("completions alone"));
    assert!(all.history.ops.iter().all(|op| op.completed_index().is_none()), "no real time");
    let cut: String = history("").lines().skip(1).fold(String::new(), |text, l| text + l + "\n");
    let headless = read(&cut);
    assert_eq!((headless.damage.unwrap().line, headless.history.ops.len()), (1, 0));
}

#[test]
fn all_forms_are_told_apart_by_what_is_in_them() {
    let lines = history("");
    let array = format!("\u{feff} [{}]", lines.trim().replace('\n', ",\n"));
    let mut edn = String::from("; a comment\n");
    for (at, kind, process, value) in [
        (0, "invoke", 0, "[[:append 1 2]]"),
        (1, "ok", 0, "[[:append 1 2]]"),
        (2, "invoke", 1, "[[:r 1]]"),
        (3, "ok", 1, "[[:r 1 [2]]]"),
    ] {
        let _ = writeln!(
            edn,
            "#jepsen.history.Op{{:index {at}, :type :{kind}, :process {process}, :f :txn, \
             :value {value}, :time {at}, :error [:conn \"reset\"]}}"
        );
    }
    let vector = format!("[{edn}]");
    let plain = read(&lines).history.mops;
    for (text, form) in
        [(&lines, Form::Lines), (&array, Form::Array), (&edn, Form::Edn), (&vector, Form::Edn)]
    {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for bytes in [text.as_bytes().to_vec(), gz.finish().unwrap(), zst] {
            let read = read_bytes(&bytes, &Reading::default()).unwrap();
            assert_eq!((read.form, read.damage), (form, None));
            assert_eq!(read.history.mops, plain, "{text}");
        }
    }
}

#[test]
fn bounds_hold_in_every_form_and_name_the_flag_that_raises_them() {
    let limits = |line, size| Reading { limits: Limits { line, size }, ..Reading::default() };
    let zeros = zstd::encode_all(&vec![0; 5 << 20][..], 1).unwrap();
    let list = format!("{}[{}1", &history("")[..60], "1,".repeat(1 << 20));
    let edn = format!("[{{:index 0 :value [{}", "1 ".repeat(1 << 20));
    let array = format!("[{list}");
    for bytes in [&zeros[..], list.as_bytes(), edn.as_bytes(), array.as_bytes()] {
        let why = read_bytes(bytes, &limits(1 << 20, 1 << 30)).unwrap_err().to_string();
        assert!(why.contains("longer than 1 MiB: --max-line"), "{why}");
    }
    let many = zstd::encode_all(history("").as_bytes(), 1).unwrap();
    let short = read_bytes(&many, &limits(1 << 20, 300)).unwrap().damage.unwrap();
    assert!(short.why.contains("longer than 300 bytes: --max-size"), "{}", short.why);
    let exact = limits(1 << 20, history("").len() as u64);
    assert_eq!(read_bytes(&many, &exact).unwrap().damage, None, "as long as allowed is allowed");
    let lists: String = (0..8)
        .map(|at| {
            let list = format!(r#"[["r",1,[{at}{}]]]"#, ",1".repeat(99));
            line(2 * at, "invoke", "0", r#"[["r",1,null]]"#, "")
                + &line(2 * at + 1, "ok", "0", &list, "")
        })
        .collect();
    let apart = read_bytes(lines_as_array(&lists).as_bytes(), &limits(1 << 20, 16 * 400)).unwrap();
    let why = apart.damage.unwrap().why;
    assert!(why.contains("more than 400 elements in all: --max-size"), "{why}");
    let apart = read_bytes(lists.as_bytes(), &limits(1 << 20, 16 * 400)).unwrap();
    assert_eq!((apart.damage.unwrap().line, apart.history.ops.len()), (10, 5));
    assert_eq!((size("64M"), size("2G"), size("7")), (Ok(64 << 20), Ok(2 << 30), Ok(7)));
    for wrong in ["", "M", "-1", "0", "1T", "99999999999G"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
}

fn lines_as_array(lines: &str) -> String {
    format!("[{}]", lines.trim().replace('\n', ","))
}

#[test]
fn any_scalar_is_a_value_and_no_two_are_one() {
    let values = ["1", "\"1\"", "true", "\"true\"", "1.5", "\"1.5\"", "9223372036854775808"];
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        text += &line(at, "invoke", &at.to_string(), &format!("[[\"w\",1,{value}]]"), "");
    }
    let read = read(&text);
    assert_eq!(read.damage, None);
    let mut kept: Vec<i64> = read.history.mops.iter().map(|mop| mop.value).collect();
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len(), values.len());
    for broken in ["null", "{}", "[1]", "1e300"] {
        let (_, why) = damage(&line(0, "invoke", "0", &format!("[[\"w\",1,{broken}]]"), ""));
        assert!(why.contains("value"), "{broken}: {why}");
    }
}

#[test]
fn what_is_no_file_is_refused_by_name_and_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    std::fs::write(&real, history("")).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let zero = folder.path().join("zero");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    let refused = |path: &std::path::Path, inside| {
        let reading = Reading { inside, ..Reading::default() };
        let error = read_file(path, &reading).err()?;
        std::error::Error::source(&error).map(ToString::to_string)
    };
    assert_eq!(refused(&link, false), None, "a link that somebody names is what it leads to");
    for (path, inside, what) in [
        (link.as_path(), true, "a link"),
        (zero.as_path(), true, "a link"),
        (zero.as_path(), false, "a device"),
        (folder.path(), true, "a folder"),
    ] {
        let why = refused(path, inside).unwrap();
        assert!(why.contains(what), "{why}");
    }
    let (records, damage) = crate::reader::read_lines::<serde_json::Value>(&link);
    assert!(records.is_empty() && damage.unwrap().why.contains("a link"));
}
