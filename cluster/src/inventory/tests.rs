//! Inventories that are good, and what is said of those that are not.

use super::*;

fn load(text: &str) -> Result<Inventory, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.toml");
    std::fs::write(&path, text).unwrap();
    Inventory::load(&path)
        .map_err(|error| error.to_string().replace(&*dir.path().to_string_lossy(), "DIR"))
}

const HOST: &str = "[[host]]\nname = \"a\"\naddress = \"127.0.0.1\"\n";

#[test]
fn reads_hosts_and_allows_nothing_by_default() {
    let inventory = load(&format!("{HOST}key = \"id\"\nknown_hosts = \"kh\"\n")).unwrap();
    assert!(inventory.allow.is_empty() && !inventory.data_is_disposable);
    let host = &inventory.hosts[0];
    assert_eq!((host.port, host.user.as_str(), host.ssh_agent), (22, "root", false));
    assert!(host.key.ends_with("id") && host.key.is_absolute());
    assert!(load(HOST).unwrap().hosts[0].ssh_agent, "without a key the agent has it");
}

#[test]
fn a_cluster_that_exists_has_hosts_and_endpoints() {
    let text = format!(
        "[attach]\nsystem = \"postgres\"\nuri = \"postgres://app@/orders\"\n\
         password_env = \"PGPASSWORD\"\nunit = \"postgresql@15-main\"\n{HOST}\
         unit = \"pg\"\n[[endpoint]]\nname = \"rds\"\naddress = \"db.example\"\n"
    );
    let inventory = load(&text).unwrap();
    assert_eq!(inventory.names(), ["a", "rds"]);
    let attach = inventory.attach.unwrap();
    assert_eq!(attach.password, PasswordFrom::Environment("PGPASSWORD".into()));
    assert_eq!(attach.nodes[0].service.unit.as_deref(), Some("pg"));
    assert!(attach.nodes[0].ssh && !attach.nodes[1].ssh);
    assert_eq!(attach.nodes[1].address, "db.example");
}

#[test]
fn every_mistake_is_named_with_line_and_field() {
    let attach = "[attach]\nsystem = \"postgres\"\n";
    for (text, said) in [
        ("[[host]]\nname = \"a\"\nadress = \"x\"\n".to_owned(), "line 3: unknown field `adress`"),
        ("[[host]]\naddress = \"127.0.0.1\"\n".to_owned(), "line 1: missing field `name`"),
        ("[[host]]\nname = \"a\"\n".to_owned(), "line 2: host[0].name: missing field `address`"),
        (format!("{HOST}port = \"x\"\n"), "line 4: port: invalid type: string \"x\""),
        (format!("{HOST}{HOST}"), "line 5: host[1].name: host a is there twice"),
        (
            format!("{HOST}{}", HOST.replace("\"a\"", "\"b\"")),
            "line 6: host[1].address: host b is the machine of host a (127.0.0.1 port 22)",
        ),
        (format!("{HOST}become = \"doas\"\n"), "line 4: host[0].become: become = \"doas\""),
        (format!("{HOST}proxy_jump = \"-x\"\n"), "line 4: host[0].proxy_jump: proxy_jump is"),
        (format!("allow = [\"disc\"]\n{HOST}"), "line 1: allow: unknown family \"disc\""),
        (format!("abort_if_host = \"b\"\n{HOST}"), "line 1: abort_if_host: \"b\" is no [[host]]"),
        (format!("{attach}sslmode = \"prefer\"\n{HOST}"), "line 3: attach.sslmode: \"prefer\""),
        (format!("{attach}client_cert = \"c\"\n{HOST}"), "line 3: attach.client_cert: client_cert"),
        (format!("{attach}leader = \"b\"\n{HOST}"), "line 3: attach.leader: there is no node b"),
        (format!("{attach}start = []\n{HOST}"), "line 3: attach.start: expected a program"),
        (format!("{attach}data_dir = \"x\"\n{HOST}"), "line 3: attach.data_dir: expected an abs"),
        (format!("{attach}password = \"hunter2\"\n{HOST}"), "line 3: unknown field `password`"),
        (
            format!("{attach}password_env = \"A\"\npassfile = \"b\"\n{HOST}"),
            "line 1: attach: expected one of password_env",
        ),
        (
            "[[endpoint]]\nname = \"e\"\naddress = \"x\"\n".to_owned(),
            "line 2: endpoint[0].name: an endpoint is a node of a cluster that exists",
        ),
        (String::new(), "no nodes: expected [[host]]"),
    ] {
        let error = load(&text).unwrap_err();
        assert!(error.starts_with(&format!("DIR/inventory.toml: {said}")), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
