//! How each micro-operation is said to each system, as a page: `docs/systems/expressions.md` is
//! this module's output, and a test holds the two together.

use std::fmt::Write as _;

use history::{Key, MicroOp};

use crate::bundled;
use crate::client::{Capabilities, Model};
use crate::mongodb::spec::ReadConcern;
use crate::mongodb::{self, MongoSpec};
use crate::postgres::spec::Isolation;
use crate::postgres::{self, sql};

/// One of each, on key 1: what to write is 2, or 2 to be replaced by 3.
fn samples() -> [MicroOp; 7] {
    let key = || Key::Int(1);
    [
        MicroOp::read(1),
        MicroOp::write(1, 2),
        MicroOp::append(1, 2),
        MicroOp::Cas { key: key(), old: 2, new: 3 },
        MicroOp::Add { key: key(), value: 2 },
        MicroOp::Rem { key: key(), value: 2 },
        MicroOp::Inc { key: key(), delta: 2 },
    ]
}

const HEAD: &str = "\
# How micro-operations are expressed

Made from the code's own tables; the test fails when this page is out of date, and makes it anew by
`UPDATE=1 cargo nextest run -p splitbrain-systems --test expressions`. What a workload needs is held
against it before a run: a mismatch is refused with what is missing.
";
const STATEMENTS: &str = "
## Statements

The key is `1`; what is written is `2`, compared `2`, set then `3`.

| micro-operation | PostgreSQL | MongoDB | bundled store |
|---|---|---|---|
";
const ATOMIC: &str = "
## What is atomic

*Atomic*: what happens together or not at all. *Reads*: whether all reads of a transaction share one
moment (atomic) or each has its own, in transaction order (ordered).

| system | atomic | reads | refused |
|---|---|---|---|
";

/// The page.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    what_is_atomic(&mut text);
    text.push_str(STATEMENTS);
    let store = bundled::capabilities(1);
    for mop in &samples() {
        let name = mop.name();
        let kept = if store.micro_ops.contains(&name) { "itself, over HTTP" } else { "refused" };
        let models: &[Model] = match mop {
            MicroOp::Read { .. } => &[Model::List, Model::Register, Model::Set, Model::Counter],
            mop => &[Model::of(&[mop.name()])],
        };
        let sql: Vec<String> =
            models.iter().map(|model| format!("`{}`", sql::statement(mop, *model))).collect();
        let document = mongodb::documents::statement(mop);
        // Writing to a String cannot fail.
        let sql = sql.join("<br>").replace('|', "\\|");
        let _ = writeln!(text, "| `{name}` | {sql} | `{document}` | {kept} |");
    }
    text
}

fn what_is_atomic(text: &mut String) {
    text.push_str(ATOMIC);
    let mut row = |system: &str, able: &Capabilities| {
        let all = samples();
        let refused: Vec<String> = all
            .iter()
            .map(MicroOp::name)
            .filter(|name| !able.micro_ops.contains(name))
            .map(|name| format!("`{name}`"))
            .collect();
        let refused = if refused.is_empty() { "nothing".to_owned() } else { refused.join(" ") };
        let _ = writeln!(text, "| {system} | {} | {} | {refused} |", able.atomic, able.reads);
    };
    row("bundled store, one shard", &bundled::capabilities(1));
    row("bundled store, several shards", &bundled::capabilities(2));
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable]
    {
        let name = format!("PostgreSQL, {}", isolation.as_sql());
        row(&name, &postgres::client::capabilities(isolation));
    }
    let single = MongoSpec::default();
    row("MongoDB, single documents", &mongodb::client::capabilities(&single));
    let transactions = MongoSpec { transactions: true, ..single };
    row("MongoDB, transactions", &mongodb::client::capabilities(&transactions));
    let snapshot = MongoSpec { read_concern: ReadConcern::Snapshot, ..transactions };
    row("MongoDB, snapshot transactions", &mongodb::client::capabilities(&snapshot));
}
