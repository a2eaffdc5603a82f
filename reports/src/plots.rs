//! Plots with fault bands, by plotters, as SVG that follows the page's colours.
//!
//! plotters writes fixed colours. Each colour used here is a mark that is replaced by a CSS
//! variable afterwards, so that one drawing serves light, dark and print.

use history::EventKind;
use plotters::prelude::*;

use crate::{Band, ReportInput};

const SIZE: (u32, u32) = (880, 230);
/// Buckets along the time axis.
const BUCKETS: usize = 120;
const OK: RGBColor = RGBColor(1, 0, 1);
const FAIL: RGBColor = RGBColor(2, 0, 2);
const INFO: RGBColor = RGBColor(3, 0, 3);
const TEXT: RGBColor = RGBColor(4, 0, 4);
const GRID: RGBColor = RGBColor(5, 0, 5);
const BAND: RGBColor = RGBColor(6, 0, 6);
const MARKS: [(RGBColor, &str); 6] = [
    (OK, "var(--ok)"),
    (FAIL, "var(--neutral)"),
    (INFO, "var(--unknown)"),
    (TEXT, "var(--text)"),
    (GRID, "var(--grid)"),
    (BAND, "var(--bad)"),
];

type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

/// What the lines of a plot are, with the CSS variables of their colours.
pub type Legend = [(&'static str, &'static str); 3];

/// Of [`throughput`].
pub const OUTCOMES: Legend =
    [("ok", "var(--ok)"), ("fail", "var(--neutral)"), ("info", "var(--unknown)")];
/// Of [`latency`].
pub const QUANTILES: Legend =
    [("median", "var(--ok)"), ("95th percentile", "var(--unknown)"), ("largest", "var(--neutral)")];

/// Operations a second by outcome.
pub fn throughput(input: &ReportInput<'_>) -> String {
    let width = bucket_s(input);
    let outcomes = [
        ("ok", OK, EventKind::Ok),
        ("fail", FAIL, EventKind::Fail),
        ("info", INFO, EventKind::Info),
    ];
    let lines = outcomes.map(|(name, colour, kind)| {
        let mut counts = vec![0.0; BUCKETS];
        for op in input.ops.iter().filter(|op| op.kind == kind && !op.final_read) {
            let at = op.completed.unwrap_or(op.invoked) as f64 / 1e9;
            counts[((at / width) as usize).min(BUCKETS - 1)] += 1.0 / width;
        }
        (name, colour, points(&counts, width))
    });
    draw(input, &lines, "ops/s")
}

/// Median, 95th percentile and largest latency of ok operations.
pub fn latency(input: &ReportInput<'_>) -> String {
    let width = bucket_s(input);
    let mut buckets: Vec<Vec<f64>> = vec![Vec::new(); BUCKETS];
    for op in input.ops.iter().filter(|op| op.kind == EventKind::Ok && !op.final_read) {
        if let Some(completed) = op.completed {
            let at = completed as f64 / 1e9;
            let bucket = &mut buckets[((at / width) as usize).min(BUCKETS - 1)];
            bucket.push(completed.saturating_sub(op.invoked) as f64 / 1e6);
        }
    }
    for bucket in &mut buckets {
        bucket.sort_by(f64::total_cmp);
    }
    let at = |share: f64| {
        let value = |bucket: &Vec<f64>| match bucket.len() {
            0 => 0.0,
            count => bucket[((count as f64 * share) as usize).min(count - 1)],
        };
        points(&buckets.iter().map(value).collect::<Vec<_>>(), width)
    };
    let lines = [("largest", FAIL, at(1.0)), ("95 %", INFO, at(0.95)), ("median", OK, at(0.5))];
    draw(input, &lines, "ms")
}

fn bucket_s(input: &ReportInput<'_>) -> f64 {
    input.end() as f64 / 1e9 / BUCKETS as f64
}

fn points(values: &[f64], width: f64) -> Vec<(f64, f64)> {
    values.iter().enumerate().map(|(place, v)| ((place as f64 + 0.5) * width, *v)).collect()
}

fn draw(input: &ReportInput<'_>, lines: &[Line], unit: &str) -> String {
    let end = input.end() as f64 / 1e9;
    let values = lines.iter().flat_map(|(_, _, points)| points).map(|(_, value)| *value);
    let top = values.fold(1.0, f64::max) * 1.1;
    let mut svg = String::new();
    if let Err(error) = try_draw(&mut svg, lines, &input.bands(), end, top, unit) {
        // A drawing that fails must not take the report with it.
        return format!("<p class=\"note\">the plot could not be drawn: {error}</p>");
    }
    for (mark, variable) in MARKS {
        let hex = format!("#{:02X}{:02X}{:02X}", mark.0, mark.1, mark.2);
        svg = svg.replace(&hex, variable);
    }
    // Sized by the page, not by the drawing.
    let size = format!("width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    svg.replacen(&size, "class=\"plot\" role=\"img\" ", 1)
}

fn try_draw(
    svg: &mut String,
    lines: &[Line],
    bands: &[Band],
    end: f64,
    top: f64,
    unit: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let font = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .x_label_area_size(26)
        .y_label_area_size(78)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(GRID)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(font(11))
        .y_labels(5)
        .x_labels(8)
        .x_label_formatter(&|second| format!("{second:.1} s"))
        .y_label_formatter(&|value| format!("{value:.0} {unit}"))
        .draw()?;
    for band in bands {
        let corners = [(band.start as f64 / 1e9, 0.0), (band.end as f64 / 1e9, top)];
        chart.draw_series([Rectangle::new(corners, BAND.mix(0.13).filled())])?;
    }
    for (_, colour, points) in lines {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}
