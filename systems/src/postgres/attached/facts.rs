//! What the servers say of themselves, and whether they are one cluster.

use std::collections::BTreeMap;

use tokio_postgres::Error;

use crate::postgres::connection::{Connection, Login};
use crate::postgres::spec::{Isolation, Replication, SynchronousCommit};
use crate::system::SystemError;

/// Oldest version that is supported.
const VERSION_MIN: i32 = 150_000;

/// Settings as this login's sessions have them, and what it may do.
const ASK: &str = "SELECT pg_is_in_recovery() AS follower, \
    current_setting('server_version') AS version, \
    current_setting('server_version_num')::int4 AS number, \
    current_setting('synchronous_standby_names') AS standby_names, \
    current_setting('synchronous_commit') AS commit, \
    current_setting('fsync') = 'on' AS fsync, \
    has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE') AS promotes, \
    current_setting('default_transaction_isolation') AS isolation, \
    pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitors, \
    has_database_privilege(current_database(), 'CREATE') AS creates";

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it follows.
    pub follower: bool,
    /// `server_version`.
    pub version: String,
    pub(super) number: i32,
    /// `synchronous_standby_names`.
    pub standby_names: String,
    /// `synchronous_commit`; `None` if it is none of its words.
    pub synchronous_commit: Option<SynchronousCommit>,
    /// `fsync`.
    pub fsync: bool,
    /// `default_transaction_isolation`.
    pub isolation: Isolation,
    pub(super) monitors: bool,
    pub(super) creates: bool,
    pub(super) promotes: bool,
    /// Names the cluster; `None` where one may not ask.
    pub(super) system: Option<i64>,
}

/// Asks a server.
pub async fn ask(connection: &Connection) -> Result<Facts, Error> {
    let client = &connection.client;
    let rows = client.query_typed(ASK, &[]).await?;
    let row = rows.into_iter().next().expect("a SELECT without FROM gives one row");
    // Managed databases may not let one ask.
    let sql = "SELECT system_identifier FROM pg_control_system()";
    let system = client.query_typed(sql, &[]).await.ok();
    let commit: String = row.get("commit");
    let isolation: String = row.get("isolation");
    Ok(Facts {
        follower: row.get("follower"),
        version: row.get("version"),
        number: row.get("number"),
        standby_names: row.get("standby_names"),
        synchronous_commit: commit_by_name(&commit),
        fsync: row.get("fsync"),
        isolation: isolation_by_name(&isolation),
        monitors: row.get("monitors"),
        creates: row.get("creates"),
        promotes: row.get("promotes"),
        system: system.and_then(|rows| rows.first().map(|row| row.get(0))),
    })
}

fn commit_by_name(name: &str) -> Option<SynchronousCommit> {
    use SynchronousCommit::{Local, Off, On, RemoteApply, RemoteWrite};
    [Off, Local, RemoteWrite, On, RemoteApply].into_iter().find(|commit| commit.as_str() == name)
}

fn isolation_by_name(name: &str) -> Isolation {
    match name {
        "repeatable read" => Isolation::RepeatableRead,
        "serializable" => Isolation::Serializable,
        // READ UNCOMMITTED is READ COMMITTED in PostgreSQL.
        _ => Isolation::ReadCommitted,
    }
}

/// How commits wait for standbys, out of `synchronous_standby_names`: `ANY 2 (a, b, c)`,
/// `FIRST 1 (a, b)`, `2 (a, b)`, `a, b`.
pub fn replication(names: &str) -> (Replication, usize) {
    let names = names.trim();
    if names.is_empty() {
        return (Replication::Async, 0);
    }
    let Some((head, _)) = names.split_once('(') else {
        return (Replication::First, 1);
    };
    let head = head.trim().to_ascii_uppercase();
    let number = |text: &str| text.trim().parse().unwrap_or(1);
    match (head.strip_prefix("ANY"), head.strip_prefix("FIRST")) {
        (Some(k), _) => (Replication::Any, number(k)),
        (None, Some(k)) => (Replication::First, number(k)),
        (None, None) => (Replication::First, number(&head)),
    }
}

impl Facts {
    /// Whether an acknowledged write is flushed on another node too.
    pub fn synchronous(&self) -> bool {
        use SynchronousCommit::{On, RemoteApply};
        let waits = matches!(self.synchronous_commit, Some(On | RemoteApply));
        self.fsync && waits && replication(&self.standby_names).0 != Replication::Async
    }

    /// For the record.
    pub fn settings(&self) -> BTreeMap<String, serde_json::Value> {
        let commit = self.synchronous_commit.map_or("unknown", SynchronousCommit::as_str);
        BTreeMap::from([
            ("synchronous_standby_names".to_owned(), self.standby_names.clone().into()),
            ("synchronous_commit".to_owned(), commit.into()),
            ("fsync".to_owned(), self.fsync.into()),
            ("default_transaction_isolation".to_owned(), self.isolation.as_sql().into()),
            ("server_version".to_owned(), self.version.clone().into()),
        ])
    }
}

/// What all nodes said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// By node.
    pub nodes: Vec<Facts>,
    /// Which one leads.
    pub leader_node: usize,
}

impl Cluster {
    /// Finds the leader; `declared` must be it, if there is one.
    pub fn of(
        nodes: Vec<Facts>,
        names: &[String],
        declared: Option<&str>,
    ) -> Result<Cluster, SystemError> {
        let leaders: Vec<usize> = (0..nodes.len()).filter(|n| !nodes[*n].follower).collect();
        let named: Vec<&str> = leaders.iter().map(|node| names[*node].as_str()).collect();
        let leader_node = match leaders[..] {
            [leader] => leader,
            [] => {
                let what = format!("none of {} leads: all are in recovery", names.join(", "));
                return Err(SystemError::new(what).hint("put the leader into the inventory"));
            }
            _ => {
                let what = format!("{} all say that they lead", named.join(", "));
                let hint = "the nodes of an inventory are one leader and its followers";
                return Err(SystemError::new(what).hint(hint));
            }
        };
        if let Some(declared) = declared.filter(|declared| *declared != names[leader_node]) {
            let what = format!("leader = \"{declared}\" in the inventory, but {} leads", named[0]);
            return Err(SystemError::new(what));
        }
        Ok(Cluster { nodes, leader_node })
    }

    /// The leader's facts.
    pub fn leader(&self) -> &Facts {
        &self.nodes[self.leader_node]
    }

    /// Refuses a cluster that cannot be tested, naming what is missing; `promote` is whether an
    /// operator of ours will have to.
    pub fn check(&self, names: &[String], login: &Login, promote: bool) -> Result<(), SystemError> {
        let system = self.leader().system;
        for (node, facts) in self.nodes.iter().enumerate() {
            let name = &names[node];
            if facts.number < VERSION_MIN {
                let what = format!("node {name}: PostgreSQL {}", facts.version);
                return Err(SystemError::new(what).hint("version 15 or later is needed"));
            }
            if facts.system.zip(system).is_some_and(|(own, leaders)| own != leaders) {
                let leader = &names[self.leader_node];
                let what = format!("node {name} belongs to another cluster than {leader}");
                return Err(SystemError::new(format!("{what}: their system identifiers differ")));
            }
            if !facts.monitors {
                let what = format!("node {name}: {} may not see replication", login.user);
                let hint = format!("GRANT pg_monitor TO \"{}\";", login.user);
                return Err(SystemError::new(what).hint(hint));
            }
        }
        if promote && !self.leader().promotes {
            let what = format!("{} may not promote a follower", login.user);
            let grant = format!("GRANT EXECUTE ON FUNCTION pg_promote TO \"{}\";", login.user);
            let hint = format!("in the database {}: {grant}", login.database);
            return Err(SystemError::new(what).hint(hint));
        }
        if !self.leader().creates {
            let (user, database) = (&login.user, &login.database);
            let what = format!("{user} may not create a schema in the database {database}");
            let hint = format!("GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\";");
            return Err(SystemError::new(what).hint(hint));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::postgres::attached) fn facts(follower: bool, names: &str) -> Facts {
        Facts {
            follower,
            version: "15.8".to_owned(),
            number: 150_008,
            standby_names: names.to_owned(),
            synchronous_commit: Some(SynchronousCommit::On),
            fsync: true,
            isolation: Isolation::ReadCommitted,
            monitors: true,
            creates: true,
            promotes: true,
            system: Some(7),
        }
    }

    #[test]
    fn every_form_of_the_names_is_read() {
        for (text, meant) in [
            ("", (Replication::Async, 0)),
            ("  ", (Replication::Async, 0)),
            ("ANY 2 (a, b, c)", (Replication::Any, 2)),
            ("any 1 (*)", (Replication::Any, 1)),
            ("FIRST 2 (\"a\", b)", (Replication::First, 2)),
            ("2 (a, b)", (Replication::First, 2)),
            ("a, b", (Replication::First, 1)),
            ("*", (Replication::First, 1)),
        ] {
            assert_eq!(replication(text), meant, "{text}");
        }
        assert!(!facts(false, "").synchronous() && facts(false, "*").synchronous());
        let local = Facts { synchronous_commit: None, ..facts(false, "*") };
        assert!(!local.synchronous(), "what is not known is not promised");
    }

    #[test]
    fn one_leader_of_one_cluster_that_may_be_watched() {
        let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let of = |nodes: [Facts; 2], leader| Cluster::of(nodes.to_vec(), &names, leader);
        let (leads, follows) = (facts(false, ""), facts(true, ""));
        let cluster = of([follows.clone(), leads.clone()], Some("b")).unwrap();
        assert_eq!(cluster.leader_node, 1);
        let told = |result: Result<Cluster, SystemError>| result.unwrap_err().what;
        assert!(told(of([follows.clone(), leads.clone()], Some("a"))).contains("but b leads"));
        assert!(told(of([leads.clone(), leads.clone()], None)).contains("a, b all say"));
        assert!(told(of([follows.clone(), follows.clone()], None)).contains("none of a, b leads"));
        let login = Login { user: "app".into(), database: "orders".into(), ..Login::default() };
        let check = |follower: Facts| {
            let cluster = of([leads.clone(), follower], None).unwrap();
            cluster.check(&names, &login, false).err().map(|error| format!("{:?}", error))
        };
        assert_eq!(check(follows.clone()), None);
        let other = Facts { system: Some(8), ..follows.clone() };
        assert!(check(other).unwrap().contains("another cluster"));
        let blind = Facts { monitors: false, ..follows.clone() };
        assert!(check(blind).unwrap().contains("GRANT pg_monitor"));
        let old = Facts { number: 140_000, ..follows };
        assert!(check(old).unwrap().contains("version 15"));
    }
}
