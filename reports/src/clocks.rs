//! How far servers' clocks were from the harness's: a lane a node.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::{ReportInput, seconds};

const WIDTH: f64 = 880.0;
const LEFT: f64 = 90.0;
const ROW: f64 = 44.0;
/// Half of what a lane's line may take, px.
const REACH: f64 = 17.0;

/// Moments (ns) with offsets (ms), by node.
type Offsets<'a> = BTreeMap<&'a str, Vec<(i64, i64)>>;

fn offsets<'a>(input: &ReportInput<'a>) -> Offsets<'a> {
    let mut found = Offsets::new();
    for sample in input.telemetry {
        let offset = sample.details.get("clock_offset_ms").and_then(serde_json::Value::as_i64);
        if let Some(offset) = offset {
            found.entry(&sample.node).or_default().push((sample.received, offset));
        }
    }
    found
}

/// A drawing, where the run has watched clocks. All lanes have one scale.
pub fn clocks(input: &ReportInput<'_>) -> Markup {
    let rows = offsets(input);
    let all = rows.values().flatten().map(|(_, offset)| offset.abs());
    let most = all.max().unwrap_or(0).max(1) as f64;
    let end = input.end();
    let x = |at: i64| LEFT + (WIDTH - LEFT - 10.0) * at as f64 / end as f64;
    let height = ROW * rows.len() as f64 + 40.0;
    html! {
        @if !rows.is_empty() {
            figure {
                figcaption { "Servers' clocks against the harness's; the line in grey is level" }
                svg.clocks viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
                    aria-label="offsets of the servers' clocks over time" {
                    @for (place, (node, line)) in rows.iter().enumerate() {
                        @let level = ROW * place as f64 + ROW / 2.0;
                        text.lane x="4" y=(level + 4.0) { (node) }
                        line.rail x1=(LEFT) x2=(WIDTH - 10.0) y1=(level) y2=(level) {}
                        polyline fill="none" stroke="var(--text)" stroke-width="2"
                            points=(points(line, level, most, &x)) {
                            title { (node) ": " (range(line)) }
                        }
                        text.when x=(LEFT + 4.0) y=(level - 7.0) { (range(line)) }
                    }
                    @for band in input.bands() {
                        rect.band x=(x(band.start)) y="0" height=(height - 34.0)
                            width=((x(band.end) - x(band.start)).max(1.0)) {
                            title { (band.label) }
                        }
                    }
                    @for tick in 0..=4 {
                        @let at = end * tick / 4;
                        text.when x=(x(at)) y=(height - 16.0) text-anchor="middle" { (seconds(at)) }
                    }
                }
            }
        }
    }
}

fn points(line: &[(i64, i64)], level: f64, most: f64, x: &impl Fn(i64) -> f64) -> String {
    let point = |(at, offset): &(i64, i64)| {
        format!("{:.1},{:.1}", x(*at), level - REACH * *offset as f64 / most)
    };
    line.iter().map(point).collect::<Vec<_>>().join(" ")
}

/// `-0.00 s to +30.01 s`.
fn range(line: &[(i64, i64)]) -> String {
    let offset = |found: Option<i64>| found.unwrap_or(0) as f64 / 1e3;
    let least = offset(line.iter().map(|(_, offset)| *offset).min());
    let most = offset(line.iter().map(|(_, offset)| *offset).max());
    format!("{least:+.2} s to {most:+.2} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_drawn_above_its_level() {
        let line = [(0, 0), (10, 30_000), (20, -15_000)];
        let drawn = points(&line, 22.0, 30_000.0, &|at| at as f64);
        assert_eq!(drawn, "0.0,22.0 10.0,5.0 20.0,30.5");
        assert_eq!(range(&line), "-15.00 s to +30.00 s");
        assert_eq!(range(&[]), "+0.00 s to +0.00 s");
    }
}
