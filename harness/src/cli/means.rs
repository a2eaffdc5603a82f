//! By what commands a fault is made and undone on a host, for the dry run.

use nemesis::{Family, Fault, Parameters, Shape};

/// What happens on each host that a fault hits. `id` is the fault's, which its rules are named
/// after.
pub fn lines(id: &str, fault: Fault) -> Vec<String> {
    let table = agent::packet_filter::name(id);
    let shaped = Shape::of(fault, &Parameters::defaults(fault)).is_some();
    if fault == Fault::Duplicate {
        return vec![
            format!(
                "iptables-restore --noflush: chain {table} of mangle, -d PEER -m statistic \
                 --probability SHARE -j TEE --gateway PEER"
            ),
            format!("undone: iptables -t mangle -D POSTROUTING -j {table}; -F {table}; -X {table}"),
        ];
    }
    if shaped {
        return vec![
            format!(
                "iptables-restore --noflush: chain {table} of mangle, -s PEER -j NFQUEUE \
                 --queue-num QUEUE --queue-bypass, and a shaper that takes from that queue"
            ),
            format!("undone: iptables -t mangle -D INPUT -j {table}; -F {table}; -X {table}"),
        ];
    }
    match fault.family() {
        Family::Network => vec![
            format!("nf_tables: table inet {table}, saddr PEER drop (or iptables: chain {table})"),
            format!("undone: nft delete table inet {table}"),
        ],
        Family::Process if fault == Fault::CpuLimit => vec![
            format!(
                "mkdir CGROUP/{table}_NAMESPACE: cpu.max, or cpu.cfs_quota_us, is written \
                 there, and the server and its children to its cgroup.procs"
            ),
            "undone: they are written to cgroup.procs of where they were; rmdir".to_owned(),
        ],
        Family::Process if fault == Fault::MemoryLimit => vec![
            format!(
                "mkdir CGROUP/{table}_NAMESPACE: memory.high, or memory.limit_in_bytes, is \
                 written there, and the server and its children to its cgroup.procs"
            ),
            "undone: they are written to cgroup.procs of where they were; rmdir; the server's \
             start command, should it have died of it"
                .to_owned(),
        ],
        Family::Process => process(fault),
        Family::Clock => vec![
            "time-sync services are stopped (systemctl stop chrony.service and its like)"
                .to_owned(),
            match fault {
                Fault::ClockDrift => "adjtimex: the tick of the host's own clock",
                _ => "clock_settime: the host's own clock, for all that runs there",
            }
            .to_owned(),
            "undone: the true time and the earlier rate are set, and the services started"
                .to_owned(),
        ],
        Family::Disk => vec![
            "a FUSE layer over the server's data, mounted before it starts, is told what to do"
                .to_owned(),
            "undone: the layer is told to stop; it is unmounted at the end".to_owned(),
        ],
        Family::Membership | Family::Failover => {
            vec!["a command of the system's own; undone by another".to_owned()]
        }
        Family::Nothing => vec!["nothing, and nothing is undone".to_owned()],
    }
}

fn process(fault: Fault) -> Vec<String> {
    let (done, undone) = match fault {
        Fault::Kill => ("SIGKILL to the server and its children", "its start command"),
        Fault::Pause => ("SIGSTOP to the server and its children", "SIGCONT"),
        Fault::Slow => ("SIGSTOP and SIGCONT in turn", "SIGCONT"),
        Fault::ReadLoad => ("clients of this process read from it", "they end"),
        Fault::Load => ("busy processes are started beside it", "SIGKILL to these"),
        Fault::Stop => ("the server is asked to end", "its start command"),
        Fault::Restart | Fault::RollingRestart => {
            ("the server is asked to end, and started by its start command", "nothing is left")
        }
        _ => ("SIGKILL, and its start command, in turn", "its start command"),
    };
    vec![done.to_owned(), format!("undone: {undone}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_how_it_is_made_and_undone() {
        for fault in nemesis::fault::ALL {
            let said = lines("f1", fault).join("\n");
            assert!(said.contains("undone"), "{}: {said}", fault.name());
        }
        let cut = lines("f7", Fault::Isolate).join("\n");
        assert!(cut.contains("nft delete table inet splitbrain_f7"), "{cut}");
        let slow = lines("f7", Fault::Delay).join("\n");
        assert!(slow.contains("NFQUEUE") && slow.contains("-D INPUT -j splitbrain_f7"), "{slow}");
    }
}
