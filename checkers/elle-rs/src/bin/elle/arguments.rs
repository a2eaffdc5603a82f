//! The arguments of elle-cli.

use elle_rs::{Anomaly, Model, Options, Workload};
use history::Reading;

/// What `--help` prints.
pub const HELP: &str = "\
Usage: elle --model MODEL [OPTIONS] FILE...

Judges histories of transactions: JSON lines, a JSON array, or EDN; also packed (gzip, zstd).
Prints each file's name, a tab, and true, false or unknown.

  -m, --model MODEL                list-append or rw-register
  -f, --format FORMAT              json or edn; without, by what the file holds
  -c, --consistency-models LEVELS  levels to hold, with commas between;
                                   without, strict-serializable
  -a, --anomalies ANOMALIES        anomalies forbidden besides, with commas between
  -d, --directory DIRECTORY        write each cycle there, as text, SVG and DOT
  -v, --output FORMAT              text, or json: the whole analysis instead of a word
      --verbose                    the same as --output json
      --explain                    text: anomalies, levels and witnesses below each word
      --wfr-keys                   registers: writes follow reads in a transaction
      --sequential-keys            registers: each key is sequentially consistent
      --linearizable-keys          registers: each key is linearizable
      --max-size SIZE              text of a packed file at most; without, 1G
      --max-line SIZE              one line or operation at most; without, 16M
  -h, --help                       this
      --version                    the version

Taken for scripts written for elle-cli, and without effect here:
  -s, --cycle-search-timeout MS    levels are decided without search
  -p, --plot-format svg, -t, --plot-timeout MS, -b, --max-plot-bytes BYTES

Exit status: 0 all true, 1 one is false, else 2 if one is unknown or could not be judged, 64 wrong
arguments. (elle-cli ends with 0 where all it has is unknown, and with 255 where it fails.)";

/// Models of elle-cli that are not judged here.
const OTHER_MODELS: [&str; 9] = [
    "bank",
    "cas-register",
    "comments",
    "counter",
    "long-fork",
    "mutex",
    "sequential",
    "set",
    "set-full",
];

/// What is to be done.
#[derive(Debug)]
pub enum Asked {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Judge files.
    Judge(Arguments),
}

/// How, and which files.
#[derive(Debug)]
pub struct Arguments {
    /// What to judge, against what.
    pub options: Options,
    /// How files are read, and how far.
    pub reading: Reading,
    /// The analysis as JSON.
    pub json: bool,
    /// Witnesses in words.
    pub explain: bool,
    /// Where cycles are drawn.
    pub directory: Option<String>,
    /// The files.
    pub files: Vec<String>,
    /// What the user should know of arguments without effect.
    pub notes: Vec<String>,
}

/// Reads the arguments.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut parser = Parser {
        words: split(words).into_iter(),
        model: None,
        arguments: Arguments {
            options: Options::new(Workload::ListAppend),
            reading: Reading::default(),
            json: false,
            explain: false,
            directory: None,
            files: Vec::new(),
            notes: Vec::new(),
        },
    };
    while let Some(word) = parser.words.next() {
        match word.as_str() {
            "-h" | "--help" => return Ok(Asked::Help),
            "--version" => return Ok(Asked::Version),
            "--" => parser.arguments.files.extend(parser.words.by_ref()),
            option if option.starts_with('-') && option.len() > 1 => parser.option(option)?,
            _ => parser.arguments.files.push(word),
        }
    }
    parser.arguments.options.workload =
        parser.model.ok_or("no model: --model list-append or --model rw-register")?;
    match parser.arguments.files.is_empty() {
        true => Err("no file to judge".to_owned()),
        false => Ok(Asked::Judge(parser.arguments)),
    }
}

/// `--name=value` is `--name value`.
fn split(words: impl Iterator<Item = String>) -> Vec<String> {
    let two = |word: String| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        _ => vec![word],
    };
    words.flat_map(two).collect()
}

struct Parser {
    words: std::vec::IntoIter<String>,
    model: Option<Workload>,
    arguments: Arguments,
}

impl Parser {
    fn option(&mut self, option: &str) -> Result<(), String> {
        let options = &mut self.arguments.options;
        match option {
            "--explain" => self.arguments.explain = true,
            "--verbose" => self.arguments.json = true,
            "--wfr-keys" => options.wfr_keys = true,
            "--sequential-keys" => options.sequential_keys = true,
            "--linearizable-keys" => options.linearizable_keys = true,
            "-m" | "--model" => self.model = Some(model(&self.value(option)?)?),
            "-f" | "--format" => {
                self.arguments.reading.edn = Some(format(&self.value(option)?)?);
            }
            "--max-size" => {
                self.arguments.reading.limits.size = history::source::size(&self.value(option)?)?;
            }
            "--max-line" => {
                self.arguments.reading.limits.line = history::source::size(&self.value(option)?)?;
            }
            "-c" | "--consistency-models" => {
                let levels = list(&self.value(option)?, level)?;
                self.arguments.options.models = levels;
            }
            "-a" | "--anomalies" => {
                let anomalies = list(&self.value(option)?, anomaly)?;
                self.arguments.options.anomalies = anomalies;
            }
            "-d" | "--directory" => self.arguments.directory = Some(self.value(option)?),
            "-v" | "--output" => match self.words.as_slice().first().map(String::as_str) {
                Some("json" | "text") => self.arguments.json = self.value(option)? == "json",
                // Older versions of elle-cli: -v alone is verbose.
                _ if option == "-v" => self.arguments.json = true,
                _ => return Err("--output is text or json".to_owned()),
            },
            "-p" | "--plot-format" => match self.value(option)?.as_str() {
                "svg" => {}
                other => return Err(format!("cycles are drawn as svg, not as {other}")),
            },
            "-s" | "--cycle-search-timeout" => {
                self.number(option)?;
                let note =
                    "--cycle-search-timeout has no effect: levels are decided without search";
                self.arguments.notes.push(note.to_owned());
            }
            "-t" | "--plot-timeout" | "-b" | "--max-plot-bytes" => {
                self.number(option)?;
                self.arguments.notes.push(format!("{option} has no effect"));
            }
            "-g" | "--group-size" => return Err(not_ours(option, "long-fork")),
            "-n" | "--allow-negative-balances" | "--max-transfer" | "-o" | "--total-amount" => {
                return Err(not_ours(option, "bank"));
            }
            other => return Err(format!("unknown option {other}")),
        }
        Ok(())
    }

    fn value(&mut self, option: &str) -> Result<String, String> {
        self.words.next().ok_or(format!("{option} needs a value"))
    }

    fn number(&mut self, option: &str) -> Result<u64, String> {
        let value = self.value(option)?;
        value.parse().map_err(|_| format!("{option} needs a number, not {value}"))
    }
}

fn not_ours(option: &str, model: &str) -> String {
    format!(
        "{option} belongs to the model {model}, which elle-cli judges and this program does not"
    )
}

fn model(name: &str) -> Result<Workload, String> {
    match name {
        "list-append" => Ok(Workload::ListAppend),
        "rw-register" => Ok(Workload::RwRegister),
        other if OTHER_MODELS.contains(&other) => Err(format!(
            "the model {other} is not judged here: this program judges list-append and \
             rw-register; for {other} use elle-cli"
        )),
        other => Err(format!("there is no model {other}: list-append or rw-register")),
    }
}

fn format(name: &str) -> Result<bool, String> {
    match name {
        "edn" => Ok(true),
        "json" => Ok(false),
        other => Err(format!("format {other} is neither json nor edn")),
    }
}

fn list<T>(text: &str, one: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let names = text.split(',').map(|name| name.trim().trim_start_matches(':'));
    let all: Vec<T> = names.filter(|name| !name.is_empty()).map(one).collect::<Result<_, _>>()?;
    match all.is_empty() {
        // A script's unset variable, where everything would be valid.
        true => Err(format!("expected names with commas between, not {text:?}")),
        false => Ok(all),
    }
}

fn level(name: &str) -> Result<Model, String> {
    let levels = || Model::all().filter(|model| model.is_judged()).map(Model::name);
    let model = Model::named(name).ok_or_else(|| {
        let names: Vec<&str> = levels().collect();
        format!("there is no level {name}; levels are {}", names.join(", "))
    })?;
    match model.is_judged() {
        true => Ok(model),
        // The original answers true to every history here, or to most of those that break it.
        false => Err(format!("no rule here decides the level {name}: it cannot be judged")),
    }
}

fn anomaly(name: &str) -> Result<Anomaly, String> {
    let name = match name {
        "GSIb" => "G-SIb",
        "GSIa" => return Err("the anomaly GSIa is not looked for, here as in elle-cli".to_owned()),
        other => other,
    };
    let known = Anomaly::named(name);
    known.ok_or_else(|| format!("there is no anomaly {name}; names are like G0, G1a, G-single"))
}
