//! Drawings with lanes: a witness by session, roles by node.

use std::collections::BTreeMap;

use checkers::WitnessOp;
use history::{Role, TelemetryEvent};
use maud::{Markup, html};

use crate::{ReportInput, seconds};

const WIDTH: f64 = 880.0;
const LEFT: f64 = 90.0;
const LANE: f64 = 54.0;

/// A witness: a lane a session, boxes from invocation to completion. Time is by order, not to
/// scale: what matters is what came before what, and moments are written on the boxes.
pub fn witness(ops: &[WitnessOp]) -> Markup {
    let mut moments: Vec<i64> =
        ops.iter().flat_map(|op| [op.invoked, op.completed.unwrap_or(i64::MAX)]).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut sessions: Vec<i64> = ops.iter().map(|op| op.session).collect();
    sessions.sort_unstable();
    sessions.dedup();
    let step = (WIDTH - LEFT - 10.0) / (moments.len().max(2) - 1) as f64;
    let x = |at: i64| LEFT + step * moments.iter().position(|m| *m == at).unwrap_or(0) as f64;
    let y =
        |session: i64| LANE * sessions.iter().position(|s| *s == session).unwrap_or(0) as f64 + 8.0;
    let height = LANE * sessions.len() as f64 + 16.0;
    let label = ops.iter().map(|op| op.note.as_str()).collect::<Vec<_>>().join("; ");
    html! {
        svg.witness viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(label) {
            @for session in &sessions {
                text.lane x="4" y=(y(*session) + 22.0) { (lane_name(ops, *session)) }
                line.rail x1=(LEFT) x2=(WIDTH - 10.0) y1=(y(*session) + 18.0)
                    y2=(y(*session) + 18.0) {}
            }
            @for op in ops {
                @let from = x(op.invoked);
                @let to = x(op.completed.unwrap_or(i64::MAX));
                @let top = y(op.session);
                @let node = op.node.as_deref().unwrap_or("");
                g {
                    title { (op.note) }
                    rect class={ "op " (op.kind.as_str()) } x=(from) y=(top + 4.0)
                        width=((to - from).max(14.0)) height="28" rx="4" {}
                    text.note x=(note_x(from)) y=(top + 22.0) text-anchor=(anchor(from)) {
                        (fitted(&op.note, room(ops, op, from, &x)))
                    }
                    text.when x=(note_x(from)) y=(top + 45.0) text-anchor=(anchor(from)) {
                        (seconds(op.invoked)) " " (node)
                    }
                }
            }
        }
    }
}

/// Whose lane it is. Final reads are nobody's: their sessions are numbers of the harness.
fn lane_name(ops: &[WitnessOp], session: i64) -> String {
    let mut own = ops.iter().filter(|op| op.session == session);
    match own.all(|op| op.note.starts_with("final read")) {
        true => "at the end".to_owned(),
        false => format!("session {session}"),
    }
}

/// Room for an operation's note, px: up to its neighbour in the lane, or the page's edge.
fn room(ops: &[WitnessOp], op: &WitnessOp, from: f64, x: &impl Fn(i64) -> f64) -> f64 {
    let lane = ops.iter().filter(|other| other.session == op.session && other.index != op.index);
    if anchor(from) == "end" {
        let ends = lane.map(|other| x(other.completed.unwrap_or(i64::MAX)));
        let before = ends.filter(|end| *end <= from).fold(LEFT, f64::max);
        return from - before;
    }
    let starts = lane.map(|other| x(other.invoked)).filter(|start| from < *start);
    starts.fold(WIDTH, f64::min) - from
}

/// A text cut to what fits; the whole is in the table and in the drawing's title.
fn fitted(text: &str, room: f64) -> String {
    const CHARACTER: f64 = 6.6;
    let most = ((room - 12.0) / CHARACTER).max(0.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let short: String = text.chars().take(most.saturating_sub(1)).collect();
    if short.is_empty() { short } else { format!("{short}…") }
}

/// Text of boxes on the right half ends at the box's start, so that it stays on the page.
fn anchor(from: f64) -> &'static str {
    if WIDTH * 0.6 < from { "end" } else { "start" }
}

fn note_x(from: f64) -> f64 {
    if WIDTH * 0.6 < from { from - 6.0 } else { from + 6.0 }
}

struct Stretch {
    from: i64,
    to: i64,
    /// When the last sample that shows it was asked for.
    last: i64,
    class: &'static str,
    term: u64,
}

impl Stretch {
    fn seen(sample: &TelemetryEvent, class: &'static str, term: u64) -> Stretch {
        Stretch { from: sample.received, to: sample.received, last: sample.sent, class, term }
    }
}

type Rows<'a> = BTreeMap<(u32, &'a str), Vec<Stretch>>;

const ROW: f64 = 26.0;

/// Roles by node and shard.
pub fn roles(input: &ReportInput<'_>) -> Markup {
    let end = input.end();
    let rows = stretches(input);
    let x = |at: i64| LEFT + (WIDTH - LEFT - 10.0) * at as f64 / end as f64;
    let height = ROW * rows.len() as f64 + 40.0;
    let sharded = rows.keys().any(|(shard, _)| *shard != 0);
    html! {
        svg.roles viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
            aria-label="roles of the nodes over time" {
            @for (place, ((shard, node), stretches)) in rows.iter().enumerate() {
                @let top = ROW * place as f64 + 4.0;
                text.lane x="4" y=(top + 15.0) { (node) @if sharded { " shard " (shard) } }
                @for stretch in stretches { (stretch_of(stretch, top, &x)) }
            }
            @for band in input.bands() {
                rect.band x=(x(band.start)) y="0" width=((x(band.end) - x(band.start)).max(1.0))
                    height=(height - 34.0) { title { (band.label) } }
            }
            @for tick in 0..=4 {
                @let at = end / 4 * tick;
                text.when x=(x(at)) y=(height - 16.0) text-anchor="middle" { (seconds(at)) }
            }
        }
        p.legend {
            @for name in ["leader", "follower", "candidate", "deposed", "silent"] {
                span { i class={ "swatch " (name) } {} " " (name) }
            }
        }
    }
}

/// Samples joined to stretches of one role and term.
fn stretches<'a>(input: &ReportInput<'a>) -> Rows<'a> {
    let mut rows: Rows<'a> = BTreeMap::new();
    let shards = input.telemetry.iter().flat_map(|s| &s.shards).map(|s| s.shard).max().unwrap_or(0);
    for sample in input.telemetry {
        for shard in 0..=shards {
            let replica = sample.shards.iter().find(|replica| replica.shard == shard);
            let (class, term) = match replica {
                Some(replica) => (class(replica.role), replica.term),
                None => ("silent", 0),
            };
            let row = rows.entry((shard, &sample.node)).or_default();
            match row.last_mut() {
                Some(last) if last.class == class && last.term == term => {
                    (last.to, last.last) = (sample.received, sample.sent);
                }
                Some(last) => {
                    last.to = sample.received;
                    row.push(Stretch::seen(sample, class, term));
                }
                None => row.push(Stretch { from: 0, ..Stretch::seen(sample, class, term) }),
            }
        }
    }
    rows
}

fn stretch_of(stretch: &Stretch, top: f64, x: &impl Fn(i64) -> f64) -> Markup {
    let (from, to) = (x(stretch.from), x(stretch.to));
    html! {
        rect class={ "role " (stretch.class) } x=(from) y=(top) width=((to - from).max(1.0))
            height="20" {
            title {
                (stretch.class) @if stretch.term != 0 { ", term " (stretch.term) }
                ", seen from " (seconds(stretch.from)) " to " (seconds(stretch.last))
            }
        }
        @if stretch.class == "leader" && 70.0 < to - from {
            text.on x=(from + 5.0) y=(top + 14.0) { "leader, term " (stretch.term) }
        }
    }
}

fn class(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Deposed => "deposed",
    }
}
