//! What the members say of themselves, and whether they are one replica set that can be tested.

use std::collections::BTreeMap;

use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::{Bson, Document};

use crate::system::SystemError;

/// Oldest version that is supported.
const VERSION_MIN: i64 = 6;

/// What a server is, as it tells anybody: `hello` needs no log-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The set that it is a member of.
    pub set: Option<String>,
    /// What the set calls it: host and port.
    pub me: Option<String>,
    /// Whom it believes to be primary.
    pub primary: Option<String>,
    /// Whether it believes to be that.
    pub leads: bool,
    /// What else it is, if it is no member that has data.
    other: Option<&'static str>,
}

impl Hello {
    /// Reads an answer.
    pub fn read(said: &Document) -> Hello {
        let text = |field: &str| said.get_str(field).ok().map(str::to_owned);
        let is = |field: &str| said.get_bool(field).unwrap_or(false);
        let set = text("setName");
        let other = match () {
            () if said.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") => {
                Some("is a mongos, a router of a sharded cluster")
            }
            () if is("isreplicaset") => Some("has not been put into a replica set yet"),
            () if set.is_none() => Some("is of no replica set: it stands alone"),
            () if is("arbiterOnly") => Some("is an arbiter, which has no data"),
            () => None,
        };
        Hello {
            set,
            me: text("me"),
            primary: text("primary"),
            leads: is("isWritablePrimary"),
            other,
        }
    }

    /// Refuses what can be told before anybody has logged in; `wanted` is the set's name, if it was
    /// said.
    pub fn check(&self, node: &str, wanted: Option<&str>) -> Result<(), SystemError> {
        if let Some(other) = self.other {
            let what = format!("node {node} {other}");
            return Err(SystemError::new(what).hint("members of one replica set are needed"));
        }
        match (&self.set, wanted) {
            (Some(set), Some(wanted)) if set != wanted => {
                let what = format!("node {node} is of the replica set {set}");
                Err(SystemError::new(what).hint(format!("replicaSet={wanted} in the uri")))
            }
            _ => Ok(()),
        }
    }
}

/// A member of the set's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `_id`, by which members name each other in a status.
    pub id: i32,
    /// Host and port.
    pub host: String,
    /// `secondaryDelaySecs`.
    pub delay_s: i64,
}

/// `replSetGetConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The set's own number.
    pub id: Option<ObjectId>,
    /// All members, listed in the inventory or not.
    pub members: Vec<Member>,
    /// `writeConcernMajorityJournalDefault`.
    pub journal: bool,
    /// `settings.electionTimeoutMillis`.
    pub election_timeout_ms: u64,
}

fn number(value: Option<&Bson>) -> i64 {
    match value {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}

impl Config {
    /// Reads an answer.
    pub fn read(said: &Document) -> Config {
        let empty = Document::new();
        let config = said.get_document("config").unwrap_or(&empty);
        let settings = config.get_document("settings").unwrap_or(&empty);
        let members = config.get_array("members").into_iter().flatten();
        let member = |member: &Document| Member {
            id: number(member.get("_id")) as i32,
            host: member.get_str("host").unwrap_or("").to_owned(),
            delay_s: number(member.get("secondaryDelaySecs")),
        };
        Config {
            id: settings.get_object_id("replicaSetId").ok(),
            members: members.filter_map(Bson::as_document).map(member).collect(),
            // It is true unless the configuration says otherwise.
            journal: config.get_bool("writeConcernMajorityJournalDefault").unwrap_or(true),
            election_timeout_ms: number(settings.get("electionTimeoutMillis")).max(0) as u64,
        }
    }
}

/// What a member says once one has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it tells anybody.
    pub hello: Hello,
    /// `buildInfo`'s.
    pub version: String,
    pub(super) major: i64,
    /// The set, as this member knows it.
    pub config: Config,
    /// The default write concern's `w`, as it is written.
    pub default_w: String,
    /// Whether its storage engine keeps anything over a restart.
    pub persistent: bool,
}

impl Facts {
    /// Puts answers together: of `buildInfo`, `replSetGetConfig`, `getDefaultRWConcern` and
    /// `serverStatus`.
    pub fn read(
        hello: Hello,
        build: &Document,
        config: &Document,
        concern: &Document,
        status: &Document,
    ) -> Facts {
        let version = build.get_array("versionArray").ok().and_then(|version| version.first());
        let w = concern.get_document("defaultWriteConcern").ok().and_then(|c| c.get("w"));
        let engine = status.get_document("storageEngine").ok();
        Facts {
            hello,
            version: build.get_str("version").unwrap_or("unknown").to_owned(),
            major: number(version),
            config: Config::read(config),
            default_w: match w {
                Some(Bson::String(w)) => w.clone(),
                None => "unknown".to_owned(),
                number_of => number(number_of).to_string(),
            },
            // What is not known is not promised.
            persistent: engine.is_some_and(|e| e.get_bool("persistent").unwrap_or(false)),
        }
    }

    /// Whether what a majority acknowledged is in its journals.
    pub fn journaled(&self) -> bool {
        self.config.journal && self.persistent
    }

    /// Whether an acknowledged write of anybody who asks for nothing else is on a majority, and in
    /// its journals.
    pub fn synchronous(&self) -> bool {
        self.default_w == "majority" && self.journaled()
    }

    /// For the record.
    pub fn settings(&self) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::from([
            ("replica_set".to_owned(), self.hello.set.clone().into()),
            ("members".to_owned(), self.config.members.len().into()),
            ("default_write_concern".to_owned(), self.default_w.clone().into()),
            ("write_concern_majority_journal_default".to_owned(), self.config.journal.into()),
            ("election_timeout_ms".to_owned(), self.config.election_timeout_ms.into()),
            ("server_version".to_owned(), self.version.clone().into()),
        ])
    }
}

/// What all nodes said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// By node.
    pub nodes: Vec<Facts>,
    /// The number of each node's member in the set's configuration: `_id`.
    pub ids: Vec<i32>,
}

impl Set {
    /// Refuses nodes that are not members of one set, or that cannot be tested.
    pub fn of(nodes: Vec<Facts>, names: &[String]) -> Result<Set, SystemError> {
        let first = &nodes[0];
        let mut ids = Vec::new();
        for (facts, name) in nodes.iter().zip(names) {
            if facts.major < VERSION_MIN {
                let what = format!("node {name}: MongoDB {}", facts.version);
                let hint = format!("version {VERSION_MIN} or later is needed");
                return Err(SystemError::new(what).hint(hint));
            }
            let (set, firsts) = (&facts.hello.set, &first.hello.set);
            if set != firsts {
                let [set, firsts] = [set, firsts].map(|set| set.as_deref().unwrap_or_default());
                let what = format!("node {name} is of the set {set}, and {} of {firsts}", names[0]);
                return Err(SystemError::new(what));
            }
            if facts.config.id != first.config.id {
                let what = format!("node {name} belongs to another replica set than {}", names[0]);
                return Err(SystemError::new(format!("{what}: their replicaSetIds differ")));
            }
            let me = facts.hello.me.as_deref().unwrap_or_default();
            let member = facts.config.members.iter().find(|member| member.host == me);
            let Some(member) = member else {
                let what = format!("node {name}: {me} is no member of the set's configuration");
                return Err(SystemError::new(what));
            };
            if let Some(other) = ids.iter().position(|id| *id == member.id) {
                let other = &names[other];
                let what = format!("nodes {other} and {name} are the same member, {me}");
                return Err(
                    SystemError::new(what).hint("see the hosts, addresses and uris of both")
                );
            }
            ids.push(member.id);
        }
        Ok(Set { nodes, ids })
    }

    /// Members that are no node of the inventory, by host.
    pub fn unlisted(&self) -> Vec<&str> {
        let members = self.nodes[0].config.members.iter();
        let unlisted = members.filter(|member| !self.ids.contains(&member.id));
        unlisted.map(|member| member.host.as_str()).collect()
    }

    /// How far a node is behind on purpose, s.
    pub fn delay_s(&self, node: usize) -> i64 {
        let members = &self.nodes[node].config.members;
        members.iter().find(|member| member.id == self.ids[node]).map_or(0, |member| member.delay_s)
    }

    /// Whether what a majority acknowledged is in its journals.
    pub fn journaled(&self) -> bool {
        self.nodes.iter().all(Facts::journaled)
    }

    /// As [`Facts::synchronous`], by all nodes' word.
    pub fn synchronous(&self) -> bool {
        self.nodes.iter().all(Facts::synchronous)
    }
}

/// Which of the nodes leads, by what each has just said: one, and no other.
pub fn leader(said: &[Option<Hello>], names: &[String]) -> Result<usize, SystemError> {
    let leads = |node: &usize| said[*node].as_ref().is_some_and(|hello| hello.leads);
    let leaders: Vec<usize> = (0..said.len()).filter(leads).collect();
    match leaders[..] {
        [leader] => Ok(leader),
        [] => {
            let named = said.iter().flatten().find_map(|hello| hello.primary.clone());
            let all = names.join(", ");
            Err(match named {
                Some(primary) => SystemError::new(format!("none of {all} leads: {primary} does"))
                    .hint("put the primary into the inventory"),
                None => SystemError::new(format!("none of {all} leads: the set has no primary")),
            })
        }
        _ => {
            let named: Vec<&str> = leaders.iter().map(|node| names[*node].as_str()).collect();
            Err(SystemError::new(format!("{} all say that they lead", named.join(", "))))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ::mongodb::bson::doc;

    use super::*;

    fn names() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    fn hello(me: &str, leads: bool) -> Document {
        doc! { "setName": "rs0", "me": me, "primary": "h1:1", "isWritablePrimary": leads }
    }

    /// Of member `me` of a set of two and one that is in no inventory.
    pub(in crate::mongodb::attached) fn facts(me: &str, w: Bson, journal: bool) -> Facts {
        let id = ObjectId::from_bytes([7; 12]);
        let config = doc! { "config": {
            "writeConcernMajorityJournalDefault": journal,
            "settings": { "replicaSetId": id, "electionTimeoutMillis": 10_000 },
            "members": [
                { "_id": 4, "host": "h1:1", "secondaryDelaySecs": 0_i64 },
                { "_id": 2, "host": "h2:1", "secondaryDelaySecs": 30_i64 },
                { "_id": 9, "host": "h3:1" },
            ],
        } };
        let build = doc! { "version": "6.0.5", "versionArray": [6, 0, 5, 0] };
        let concern = doc! { "defaultWriteConcern": { "w": w } };
        let status = doc! { "storageEngine": { "persistent": true } };
        let said = Hello::read(&hello(me, me == "h1:1"));
        Facts::read(said, &build, &config, &concern, &status)
    }

    fn majority() -> Bson {
        "majority".into()
    }

    #[test]
    fn a_server_that_is_no_member_with_data_is_named() {
        let told = |said: Document, wanted| {
            Hello::read(&said).check("a", wanted).err().map(|error| error.what).unwrap_or_default()
        };
        assert_eq!(told(hello("h1:1", true), None), "");
        assert_eq!(told(hello("h1:1", true), Some("rs0")), "");
        assert!(told(hello("h1:1", true), Some("rs1")).contains("of the replica set rs0"));
        assert!(told(doc! { "isWritablePrimary": true }, None).contains("it stands alone"));
        assert!(told(doc! { "msg": "isdbgrid" }, None).contains("node a is a mongos"));
        assert!(told(doc! { "isreplicaset": true }, None).contains("not been put into"));
        let arbiter = doc! { "setName": "rs0", "arbiterOnly": true };
        assert!(told(arbiter, None).contains("is an arbiter"));
    }

    #[test]
    fn nodes_are_members_of_one_set_each_its_own() {
        let good = [facts("h1:1", majority(), true), facts("h2:1", majority(), true)];
        let set = Set::of(good.to_vec(), &names()).unwrap();
        assert_eq!(set.ids, [4, 2]);
        assert_eq!(set.unlisted(), ["h3:1"]);
        assert_eq!((set.delay_s(0), set.delay_s(1)), (0, 30));
        let told = |change: &dyn Fn(&mut Facts)| {
            let mut nodes = good.to_vec();
            change(&mut nodes[1]);
            Set::of(nodes, &names()).unwrap_err().what
        };
        assert!(told(&|facts| facts.major = 5).contains("node b: MongoDB 6.0.5"));
        assert!(told(&|facts| facts.config.id = None).contains("replicaSetIds differ"));
        let set = told(&|facts| facts.hello.set = Some("rs1".into()));
        assert_eq!(set, "node b is of the set rs1, and a of rs0");
        let same = told(&|facts| facts.hello.me = Some("h1:1".into()));
        assert_eq!(same, "nodes a and b are the same member, h1:1");
        assert!(told(&|facts| facts.hello.me = None).contains("is no member"));
    }

    #[test]
    fn what_is_not_known_to_be_on_a_majority_is_not() {
        assert!(facts("h1:1", majority(), true).synchronous());
        assert!(!facts("h1:1", majority(), false).synchronous(), "not in the journals");
        for w in [Bson::Int32(1), Bson::Int32(2), Bson::Null] {
            assert!(!facts("h1:1", w.clone(), true).synchronous(), "{w}");
        }
        let memory = Facts { persistent: false, ..facts("h1:1", majority(), true) };
        assert!(!memory.synchronous());
    }

    #[test]
    fn one_node_leads() {
        let said = |a, b| [a, b].map(|leads| Some(Hello::read(&hello("x", leads))));
        let told = |said: &[Option<Hello>]| leader(said, &names()).unwrap_err().what;
        assert_eq!(leader(&said(false, true), &names()), Ok(1));
        assert_eq!(told(&said(true, true)), "a, b all say that they lead");
        assert_eq!(told(&said(false, false)), "none of a, b leads: h1:1 does");
        assert_eq!(told(&[None, None]), "none of a, b leads: the set has no primary");
    }
}
