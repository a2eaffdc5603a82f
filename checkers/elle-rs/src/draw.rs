//! Cycles as drawings: SVG without any other program, and DOT for Graphviz.
//!
//! The transactions stand below one another in boxes, arrows lead from each to the next and from
//! the last around to the first, and beside each arrow stands why.

use std::fmt::Write;

use history::History;

use crate::cases::Why;
use crate::explain;
use crate::options::Workload;
use crate::verdict::CycleFound;

/// A cycle, as it is drawn. The `n`th is called `Tn`, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// What it is: `G-single-item`.
    pub title: String,
    /// Its steps; each leads to the next, the last to the first.
    pub steps: Vec<Drawn>,
}

/// A step of a drawn cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The transaction: `r x [1], append y 2`.
    pub transaction: String,
    /// Where it is found: `process 3, line 214`.
    pub place: String,
    /// The kind of dependency that leads on: `ww`, `wr`, `rw`, `process`, `realtime`.
    pub kind: String,
    /// Why it exists.
    pub because: String,
}

/// The word for a kind of dependency.
pub fn word(why: Why) -> &'static str {
    match why {
        Why::Overwrote { .. } => "ww",
        Why::Read { .. } => "wr",
        Why::ReadBefore { .. } => "rw",
        Why::Process => "process",
        Why::Realtime => "realtime",
    }
}

impl Drawing {
    /// Of a cycle that was found.
    pub fn of(history: &History, workload: Workload, found: &CycleFound) -> Drawing {
        let steps = found.steps.iter().enumerate().map(|(at, step)| {
            let op = &history.ops[step.op as usize];
            let next = (at + 1) % found.steps.len() + 1;
            let (from, to) = (format!("T{}", at + 1), format!("T{next}"));
            Drawn {
                transaction: explain::transaction(history, op),
                place: format!("process {}, line {}", op.process(), op.index()),
                kind: word(step.why).to_owned(),
                because: explain::because(history, workload, &from, &to, step.why),
            }
        });
        Drawing { title: found.anomaly.name().to_owned(), steps: steps.collect() }
    }

    /// For Graphviz.
    pub fn dot(&self) -> String {
        let mut text = format!("digraph \"{}\" {{\n  node [shape=box];\n", quoted(&self.title));
        for (at, step) in self.steps.iter().enumerate() {
            let (this, next) = (at + 1, (at + 1) % self.steps.len() + 1);
            let (what, place) = (quoted(&step.transaction), quoted(&step.place));
            let _ = writeln!(text, "  T{this} [label=\"T{this}: {what}\\n{place}\"];");
            let (kind, why) = (quoted(&step.kind), quoted(&step.because));
            let _ = writeln!(text, "  T{this} -> T{next} [label=\"{kind}\", tooltip=\"{why}\"];");
        }
        text.push_str("}\n");
        text
    }

    /// As a picture that stands by itself or in a page, light or dark: lines and texts take the
    /// colour of what is around them.
    pub fn svg(&self) -> String {
        let mut canvas = Canvas { text: String::new(), y: 8, box_end: 0 };
        let mut middles = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            middles.push(canvas.transaction(at + 1, step));
            canvas.arrow(step, at + 1, at + 1 == self.steps.len());
        }
        if let Some(&first) = middles.first() {
            canvas.back(first, self.steps.last().map_or("", |step| &step.kind));
        }
        let label = escaped(&self.title);
        let (height, body) = (canvas.y + 8, canvas.text);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cycle\" viewBox=\"0 0 {WIDTH} \
             {height}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"cycle: {label}\" \
             color=\"currentColor\" font-family=\"system-ui,sans-serif\" font-size=\"12\">\n\
             {body}</svg>\n"
        )
    }
}

const WIDTH: usize = 800;
/// Left edge of boxes; the way back is to the left of it.
const LEFT: usize = 44;
const LINE: usize = 16;
/// Where arrows between boxes are.
const ARROW: usize = LEFT + 28;
/// Characters that fit in a box, and beside an arrow.
const BOX_CHARACTERS: usize = 98;
const BESIDE_CHARACTERS: usize = 96;

struct Canvas {
    text: String,
    y: usize,
    /// Where the last box ended.
    box_end: usize,
}

impl Canvas {
    /// A box; gives the height of its middle.
    fn transaction(&mut self, number: usize, step: &Drawn) -> usize {
        let lines = wrapped(&step.transaction, BOX_CHARACTERS);
        let height = LINE * (lines.len() + 1) + 12;
        let _ = writeln!(
            self.text,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{height}\" rx=\"5\" \
             fill=\"currentColor\" fill-opacity=\"0.05\" stroke=\"currentColor\" \
             stroke-opacity=\"0.45\"/>",
            self.y,
            WIDTH - LEFT - 8,
        );
        let (x, first) = (LEFT + 10, self.y + LINE + 2);
        let place = escaped(&step.place);
        let _ = writeln!(
            self.text,
            "<text x=\"{x}\" y=\"{first}\" fill=\"currentColor\">\
             <tspan font-weight=\"600\">T{number}</tspan> \
             <tspan fill-opacity=\"0.7\">{place}</tspan></text>"
        );
        for (at, line) in lines.iter().enumerate() {
            let _ = writeln!(
                self.text,
                "<text x=\"{x}\" y=\"{}\" fill=\"currentColor\" \
                 font-family=\"ui-monospace,monospace\">{}</text>",
                first + LINE * (at + 1),
                escaped(line)
            );
        }
        let middle = self.y + height / 2;
        self.y += height;
        self.box_end = self.y;
        middle
    }

    /// The way on from a box, with why. The last one's leads out, to the way back.
    fn arrow(&mut self, step: &Drawn, number: usize, last: bool) {
        let lines = wrapped(&step.because, BESIDE_CHARACTERS);
        let height = LINE * lines.len() + 16;
        let (from, to) = (self.y, self.y + height);
        let (colour, dash) = (colour(&step.kind), dash(&step.kind));
        if !last {
            let _ = writeln!(
                self.text,
                "<path d=\"M{ARROW} {from}V{}\" stroke=\"{colour}\" stroke-width=\"2\"{dash} \
                 fill=\"none\"/>\n<path d=\"M{} {}h10l-5 8z\" fill=\"{colour}\"/>",
                to - 7,
                ARROW - 5,
                to - 8,
            );
        }
        let on = if last { "back to T1".to_owned() } else { format!("to T{}", number + 1) };
        for (at, line) in lines.iter().enumerate() {
            let x = ARROW + 14;
            let y = from + 8 + LINE * at + 12;
            let kind = match at {
                0 => format!(
                    "<tspan font-weight=\"600\" fill=\"{colour}\">{}</tspan> \
                     <tspan fill-opacity=\"0.7\">{on}:</tspan> ",
                    escaped(&step.kind)
                ),
                _ => String::new(),
            };
            let line = escaped(line);
            let _ = writeln!(
                self.text,
                "<text x=\"{x}\" y=\"{y}\" fill=\"currentColor\">{kind}{line}</text>"
            );
        }
        self.y = to;
    }

    /// The way back to the first box, whose middle is at this height.
    fn back(&mut self, first: usize, kind: &str) {
        let (colour, dash) = (colour(kind), dash(kind));
        let (from, x) = (self.y - 4, LEFT / 2 - 4);
        let last = self.box_end;
        let _ = writeln!(
            self.text,
            "<path d=\"M{ARROW} {last}V{from}H{x}V{first}H{}\" stroke=\"{colour}\" \
             stroke-width=\"2\"{dash} fill=\"none\"/>\n<path d=\"M{} {}v10l8 -5z\" \
             fill=\"{colour}\"/>",
            LEFT - 7,
            LEFT - 8,
            first - 5,
        );
    }
}

/// A tone that is read on light and on dark.
fn colour(kind: &str) -> &'static str {
    match kind {
        "ww" => "#8250df",
        "wr" => "#1f7a3d",
        "rw" => "#c2255c",
        _ => "#7d8590",
    }
}

fn dash(kind: &str) -> &'static str {
    match kind {
        "process" | "realtime" => " stroke-dasharray=\"5 4\"",
        _ => "",
    }
}

/// Lines of at most so many characters, broken at spaces where there are some.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is always one");
            let used = line.chars().count();
            let space = usize::from(0 < used);
            if used + space + rest.len() <= most {
                line.extend(std::iter::repeat_n(' ', space));
                line.extend(rest);
                break;
            }
            if rest.len() > most && used == 0 {
                line.extend(rest.drain(..most));
            }
            lines.push(String::new());
        }
    }
    lines
}

/// For XML: what is markup is written out, and what XML may not hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// For a quoted string of DOT.
fn quoted(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
