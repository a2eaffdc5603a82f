//! What a cut does to a busy TCP connection after it was healed: the kernel tries again at times
//! that double, and says so.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use agent::sockets::Waiting;
use nix::sched::{CloneFlags, setns};

use super::{Agent, pair};

/// From one byte of a busy connection to the next.
const GAP: Duration = Duration::from_millis(20);
/// How often agents are told that we live.
const RENEW: Duration = Duration::from_secs(2);
/// Further from the kernel's word than this no byte is, beside what its timers are coarse by: an
/// eighth of what they are set to.
const NEAR: Duration = Duration::from_millis(250);

/// A connection that carries a byte every [`GAP`], from one namespace to the other; tells when each
/// arrives.
struct Busy {
    arrived: Receiver<Instant>,
}

/// Does something in an agent's namespace, on a thread of its own.
fn inside<R: Send + 'static>(
    agent: &Agent,
    act: impl FnOnce() -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let net = std::fs::File::open(format!("/proc/{}/ns/net", agent.pid())).unwrap();
    thread::spawn(move || {
        setns(net.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        act()
    })
}

impl Busy {
    fn begin(from: &Agent, to: &Agent, address: IpAddr) -> Busy {
        let listener = inside(to, move || TcpListener::bind((address, 0)).unwrap());
        let listener = listener.join().unwrap();
        let target = listener.local_addr().unwrap();
        let sender = inside(from, move || TcpStream::connect(target).unwrap());
        let mut sender = sender.join().unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        sender.set_nodelay(true).unwrap();
        let (told, arrived) = channel();
        thread::spawn(move || {
            // A timer, so that the sender is busy and no more; it ends with the connection.
            let (_held, never) = channel::<()>();
            while sender.write_all(b".").is_ok() {
                let _ = never.recv_timeout(GAP);
            }
        });
        thread::spawn(move || {
            let mut byte = [0];
            while receiver.read_exact(&mut byte).is_ok() && told.send(Instant::now()).is_ok() {}
        });
        Busy { arrived }
    }

    /// Takes all that has arrived, and sees that the connection is alive.
    fn flows(&self) {
        while self.arrived.try_recv().is_ok() {}
        for _ in 0..5 {
            self.arrived.recv_timeout(Duration::from_secs(5)).unwrap();
        }
    }

    /// Nothing arrives for so long, but what was under way when the cut was made.
    fn is_silent(&self, from: Instant, long: Duration, agents: &mut [&mut Agent; 2]) {
        while from.elapsed() < long {
            let left = (from + long).saturating_duration_since(Instant::now());
            match self.arrived.recv_timeout(left.min(RENEW)) {
                Err(RecvTimeoutError::Timeout) => {}
                // What had arrived may be read a little later.
                Ok(at) => assert!(at <= from + UNDER_WAY, "a byte got past the cut"),
                Err(error) => panic!("{error}"),
            }
            renew(agents);
        }
    }

    /// How long after this moment the next byte comes; agents are kept alive meanwhile.
    fn next(&self, after: Instant, limit: Duration, agents: &mut [&mut Agent; 2]) -> Duration {
        loop {
            match self.arrived.recv_timeout(RENEW) {
                Ok(at) => return at.saturating_duration_since(after),
                Err(error) => assert!(after.elapsed() < limit, "{error} within {limit:?}"),
            }
            renew(agents);
        }
    }
}

/// How late a byte may be read that had arrived before the cut.
const UNDER_WAY: Duration = Duration::from_millis(50);

fn renew(agents: &mut [&mut Agent; 2]) {
    for agent in agents {
        agent.ask(Ask::Renew).unwrap();
    }
}

fn waiting(agent: &mut Agent, peer: IpAddr) -> Vec<Waiting> {
    match agent.ask(Ask::Sockets { peers: vec![peer] }).unwrap() {
        Answer::Sockets { sockets } => {
            assert_eq!(sockets.open, 1, "{sockets:?}");
            sockets.waiting
        }
        other => panic!("{other:?}"),
    }
}

/// How long the next byte took after a cut at both hosts' INPUT, and what the kernel had said.
fn after_input(one: &mut Agent, other: &mut Agent, there: IpAddr, cut: Duration) -> Duration {
    let back = if there.is_ipv4() { "198.19.0.1" } else { "fd00::1" }.parse().unwrap();
    let busy = Busy::begin(one, other, there);
    busy.flows();
    assert_eq!(waiting(one, there), [], "nothing waits while bytes flow");
    for (agent, from) in [(&mut *one, there), (&mut *other, back)] {
        agent.ask(Ask::Drop { fault: "f1".to_owned(), from: vec![from] }).unwrap();
    }
    busy.is_silent(Instant::now(), cut, &mut [one, other]);
    one.heal("f1");
    other.heal("f1");
    let healed = Instant::now();
    let said = waiting(one, there).pop().expect("a retransmission is awaited");
    assert!(0 < said.retransmits && 0 < said.unacked && !said.connecting, "{said:?}");
    let took = busy.next(healed, 2 * cut + Duration::from_secs(5), &mut [one, other]);
    let next = Duration::from_millis(said.next_ms);
    let near = NEAR + Duration::from_micros(said.rto_us / 8);
    assert!(took.abs_diff(next) < near, "{took:?} after the heal, and the kernel said {said:?}");
    busy.flows();
    assert_eq!(waiting(one, there), [], "it waits no more");
    eprintln!("INPUT, {there}, {cut:?}: {took:?} after the heal; {said:?}");
    took
}

/// How long the next byte took after a cut at both hosts' OUTPUT.
fn after_output(one: &mut Agent, other: &mut Agent, there: IpAddr, cut: Duration) -> Duration {
    let program = if there.is_ipv4() { "iptables" } else { "ip6tables" };
    let busy = Busy::begin(one, other, there);
    busy.flows();
    let rule = |agent: &Agent, how: &str| {
        agent.inside(&[program, "-w", how, "OUTPUT", "-o", "data0", "-p", "tcp", "-j", "DROP"]);
    };
    rule(one, "-A");
    rule(other, "-A");
    busy.is_silent(Instant::now(), cut, &mut [one, other]);
    rule(other, "-D");
    let healed = Instant::now();
    rule(one, "-D");
    let took = busy.next(healed, 2 * cut + Duration::from_secs(5), &mut [one, other]);
    eprintln!("OUTPUT, {there}, {cut:?}: {took:?} after the heal");
    took
}

#[test]
fn after_a_cut_the_next_byte_comes_when_the_kernel_tries_again() {
    let Some((mut one, mut other, addresses)) = pair() else { return };
    let seconds = std::env::var("SPLITBRAIN_CUTS").unwrap_or("1,5".to_owned());
    for seconds in seconds.split(',') {
        let cut = Duration::from_secs(seconds.parse().unwrap());
        for there in addresses {
            let input = after_input(&mut one, &mut other, there, cut);
            // Back-off doubles: the wait is no longer than the cut was, give or take one try.
            assert!(input < cut + Duration::from_secs(1), "{input:?} after {cut:?}");
            let output = after_output(&mut one, &mut other, there, cut);
            assert!(output < Duration::from_millis(700), "{output:?} after {cut:?}");
        }
    }
}
