//! A deposed leader whose log went its own way finds back while writes go on, without a flood of
//! messages.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use history::{MicroOp, Role};
use splitbrain_store::config::{CoreConfig, Failover, Replication};
use splitbrain_store::sim::World;
use splitbrain_store::wire::TxnRequest;

const MS: u64 = 1_000_000;

fn position(world: &World, node: usize) -> (Role, u64) {
    let shard = world.status(node).unwrap().shards[0].clone();
    (shard.role, shard.position)
}

/// Writes once a millisecond to every node that leads, until then.
fn write(world: &mut World, next: &mut i64, until: u64, now: &mut u64) {
    while *now < until {
        *now += MS;
        world.advance_to(*now);
        world.take_replies();
        for node in 0..3 {
            if position(world, node).0 == Role::Leader {
                let ops = vec![MicroOp::append(0, *next)];
                world.submit(node, *next as u64, TxnRequest { ops, leader: true });
                *next += 1;
            }
        }
    }
}

#[test]
fn a_tail_of_its_own_is_cut_off_under_load() {
    for seed in 0..20 {
        let config = CoreConfig {
            node: 0,
            names: vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
            shards: 1,
            replication: Replication::Sync { k: 1 },
            failover: Failover::Vote,
            committed_reads: false,
            heartbeat_ms: 50,
            election_timeout_ms: 300,
            ship_ms: 50,
            wait_ms: 500,
            seed,
        };
        let mut world = World::new(config, seed);
        let (mut next, mut now) = (1, 0);
        write(&mut world, &mut next, 500 * MS, &mut now);
        let old = (0..3).find(|node| position(&world, *node).0 == Role::Leader).unwrap();
        let links: Vec<(usize, usize)> =
            (0..3).filter(|n| *n != old).flat_map(|n| [(old, n), (n, old)]).collect();
        for (at, from) in &links {
            world.cut(*at, *from);
        }
        write(&mut world, &mut next, 2_000 * MS, &mut now);
        for (at, from) in &links {
            world.restore(*at, *from);
        }
        let (sent, before) = (world.counters().sent, next);
        write(&mut world, &mut next, 2_400 * MS, &mut now);
        let leader = (0..3).filter(|n| *n != old).find(|n| position(&world, *n).0 == Role::Leader);
        let (_, last) = position(&world, leader.unwrap());
        let (role, reached) = position(&world, old);
        assert_eq!(role, Role::Follower, "seed {seed}: it follows after 0.4 s");
        assert!(last - reached < 40, "seed {seed}: {reached} of {last}");
        let (sent, wrote) = (world.counters().sent - sent, (next - before) as u64);
        assert!(sent < 8 * wrote, "seed {seed}: {sent} messages for {wrote} writes");
    }
}
