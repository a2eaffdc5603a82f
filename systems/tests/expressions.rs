//! The page on how micro-operations are expressed is what the code does.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::path::Path;

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systems/expressions.md");
    let page = splitbrain_systems::expressions::page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, page, "run this test with UPDATE=1");
}
