//! What the command that repeats a run repeats, and what it cannot.

use history::RunInfo;

/// One sentence, for terminal and page alike.
pub fn sentence(run: &RunInfo) -> String {
    of(&run.lab, &run.command)
}

fn of(lab: &str, command: &str) -> String {
    if lab == "sim" {
        return "in the simulator the same command gives the same records, byte for byte"
            .to_owned();
    }
    let often = match command.starts_with("splitbrain run ") {
        true => "; --count 10 runs ten seeds and tells how often",
        false => "",
    };
    format!(
        "the seed repeats the plan (operations, faults, their times), not the timing of real \
         servers: what is found may differ from run to run{often}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_simulator_is_said_to_repeat_all_of_a_run() {
        assert!(of("sim", "splitbrain run").contains("byte for byte"));
        for lab in ["local", "hosts"] {
            let said = of(lab, "splitbrain run --seed 1");
            assert!(said.contains("the plan"), "{said}");
            assert!(said.contains("not the timing"), "{said}");
            assert!(said.contains("--count 10"), "{said}");
            assert!(!of(lab, "splitbrain recover").contains("--count"));
        }
    }
}
