//! The clock of this machine, and whether it may be set.

use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use super::{Clock, Rate, Reading};

/// By which its owner allows it; the harness has read it too.
const MARKER: &str = "/etc/splitbrain.allow";
/// The bit of `CAP_SYS_TIME`.
const SYS_TIME: u32 = 25;
/// What the kernel calls the namespaces that it began with: `PROC_*_INIT_INO`.
const FIRST: [(&str, &str); 2] = [("pid", "4026531836"), ("user", "4026531837")];
/// Of so many looks at all clocks the one that took the shortest counts.
const LOOKS: u32 = 8;

/// See the module's doc.
pub struct Kernel;

impl Clock for Kernel {
    fn read(&self) -> Result<Reading, String> {
        let get = |clock| {
            let now = clock_gettime(clock).map_err(|error| format!("clock_gettime: {error}"))?;
            Ok::<i64, String>(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
        };
        let mut best: Option<(i64, Reading)> = None;
        for _ in 0..LOOKS {
            let before = get(ClockId::CLOCK_REALTIME)?;
            let raw = get(ClockId::CLOCK_MONOTONIC_RAW)?;
            let boottime = get(ClockId::CLOCK_BOOTTIME)?;
            let monotonic = get(ClockId::CLOCK_MONOTONIC)?;
            let took = get(ClockId::CLOCK_REALTIME)? - before;
            // Less than nothing if somebody set it in between.
            if 0 <= took && best.is_none_or(|(least, _)| took < least) {
                let realtime = before + took / 2;
                best = Some((took, Reading { realtime, boottime, monotonic, raw }));
            }
        }
        best.map(|(_, reading)| reading).ok_or("the clock is set by somebody else".to_owned())
    }

    fn rate(&self) -> Result<Rate, String> {
        let told = adjtimex(Times::default())?;
        Ok(Rate {
            frequency: told.freq,
            tick: told.tick,
            status: told.status,
            max_error: told.maxerror,
            error: told.esterror,
        })
    }

    fn set_time(&mut self, realtime: i64) -> Result<(), String> {
        let (seconds, rest) =
            (realtime.div_euclid(1_000_000_000), realtime.rem_euclid(1_000_000_000));
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, rest))
            .map_err(|error| format!("clock_settime: {error}"))
    }

    fn set_rate(&mut self, rate: &Rate) -> Result<(), String> {
        let modes = libc::ADJ_FREQUENCY
            | libc::ADJ_TICK
            | libc::ADJ_STATUS
            | libc::ADJ_MAXERROR
            | libc::ADJ_ESTERROR;
        let mut times = Times::default();
        (times.0.modes, times.0.freq, times.0.tick) = (modes, rate.frequency, rate.tick);
        (times.0.status, times.0.maxerror) = (rate.status, rate.max_error);
        times.0.esterror = rate.error;
        adjtimex(times).map(drop)
    }
}

/// What `adjtimex` takes; as it begins it changes nothing.
struct Times(libc::timex);

impl Default for Times {
    fn default() -> Times {
        // SAFETY: numbers alone, all of which may be zero: no mode is set.
        Times(unsafe { std::mem::zeroed() })
    }
}

fn adjtimex(mut times: Times) -> Result<libc::timex, String> {
    // SAFETY: the struct is the kernel's own and lives through the call.
    match unsafe { libc::adjtimex(&raw mut times.0) } {
        0.. => Ok(times.0),
        _ => Err(format!("adjtimex: {}", Error::last_os_error())),
    }
}

/// Why the clock cannot be set here and what would help, if it cannot. Nothing is set for it, not
/// even to what it is: that would disturb it. `adjtimex` is asked, and rights are read.
pub fn lack() -> Option<(String, &'static str)> {
    let other = FIRST.iter().find(|(name, first)| !is_first(name, first));
    if let Some((name, _)) = other {
        let why = format!(
            "it is a container (its {name} namespace is not the machine's first): its clock is \
             that of the machine, and of all else there"
        );
        return Some((why, "name the machine itself in the inventory"));
    }
    if let Err(error) = Kernel.rate() {
        return Some((error, "a kernel with adjtimex"));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    (!has(&status, SYS_TIME)).then(|| {
        let why = "the right CAP_SYS_TIME is missing (CapEff of /proc/self/status)".to_owned();
        (why, "be root there, with all of root's rights")
    })
}

/// Whether this process is in the namespace of that kind that the machine began with. One that
/// cannot be read is another one; a kernel without that kind has no other.
fn is_first(name: &str, first: &str) -> bool {
    match fs::read_link(format!("/proc/self/ns/{name}")) {
        Ok(link) => link.to_string_lossy().contains(first),
        Err(error) if error.kind() == ErrorKind::NotFound => Path::new("/proc/self/ns").is_dir(),
        Err(_) => false,
    }
}

/// Whether a process with this status has a right.
fn has(status: &str, bit: u32) -> bool {
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok());
    rights.is_some_and(|rights| (rights >> bit) & 1 == 1)
}

/// Refuses to set it where it cannot be, or where the host's owner has not allowed it. The harness
/// asked for both before: this holds for whoever else speaks to an agent.
pub fn allowed() -> Result<(), String> {
    if let Some((why, help)) = lack() {
        return Err(format!("the host's clock cannot be set: {why}; {help}"));
    }
    let by_root = |path: &Path| fs::metadata(path).is_ok_and(|about| about.uid() == 0);
    let marker = fs::read_to_string(MARKER).unwrap_or_default();
    match by_root(Path::new(MARKER)) && allows(&marker) {
        true => Ok(()),
        false => Err(format!("{MARKER} does not allow clock: the host's clock is left alone")),
    }
}

/// Whether a marker's list of families has that of clocks.
fn allows(marker: &str) -> bool {
    let plain = |line: &str| line.split('#').next().unwrap_or_default().to_owned();
    let text: String = marker.lines().map(plain).collect();
    let list = text.split_once("allow").and_then(|(_, rest)| rest.split_once(']'));
    list.is_some_and(|(list, _)| list.contains("\"clock\"") || list.contains("'clock'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_and_the_owners_word_are_read() {
        assert!(has("Name:\ta\nCapEff:\t000001ffffffffff\n", SYS_TIME));
        assert!(!has("CapEff:\t000001fffdffffff\n", SYS_TIME));
        assert!(!has("CapEff:\t00000000a80425fb\n", SYS_TIME), "as containers have it");
        assert!(!has("", SYS_TIME));
        assert!(allows("cluster_id = \"a\"\nallow = [\"network\", \"clock\"]\nexpires = \"x\"\n"));
        assert!(allows("allow = [\n  'clock', # yes\n]\n"));
        for marker in
            ["", "allow = [\"network\"]", "# allow = [\"clock\"]", "allow = []\n\"clock\""]
        {
            assert!(!allows(marker), "{marker}");
        }
    }

    #[test]
    fn the_clocks_are_read_at_one_moment() {
        let (first, second) = (Kernel.read().unwrap(), Kernel.read().unwrap());
        for passed in [
            second.realtime - first.realtime,
            second.raw - first.raw,
            second.boottime - first.boottime,
        ] {
            assert!((0..1_000_000_000).contains(&passed), "{first:?} {second:?}");
        }
        let rate = Kernel.rate().unwrap();
        assert!((9_000..=11_000).contains(&rate.tick), "{rate:?}");
    }
}
