//! Connection strings, `scheme://user@host:port,host:port/database?name=value`.
//!
//! A password in one is refused: it would end up wherever the inventory is kept.

use std::collections::BTreeMap;

/// How the strings of a system look.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What they begin with, `://` included.
    pub schemes: &'static [&'static str],
    /// An example, for errors.
    pub expected: &'static str,
    /// Parameters that are understood.
    pub parameters: &'static [&'static str],
}

/// What a string says; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The role, or user.
    pub user: Option<String>,
    /// Hosts with their ports.
    pub hosts: Vec<(String, Option<u16>)>,
    /// The database.
    pub database: Option<String>,
    /// Parameters by name.
    pub parameters: BTreeMap<String, String>,
}

impl Form {
    /// Reads a string; the error never quotes it, because it might hold a password after all.
    pub fn parse(&self, text: &str) -> Result<Uri, String> {
        let rest = self.schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| format!("expected {}", self.expected))?;
        let (rest, parameters) = match rest.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters)),
            None => (rest, None),
        };
        let (authority, database) = match rest.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (rest, None),
        };
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password does not belong into an inventory: expected password_env, \
                        password_file or passfile"
                .to_owned());
        }
        let full =
            |text: Option<&str>| text.filter(|text| !text.is_empty()).map(decode).transpose();
        let mut uri = Uri { user: full(user)?, database: full(database)?, ..Uri::default() };
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            uri.hosts.push(host_port(host)?);
        }
        let given = parameters.into_iter().flat_map(|p| p.split('&')).filter(|p| !p.is_empty());
        for parameter in given {
            match parameter.split_once('=') {
                Some((name, value)) if self.parameters.contains(&name) => {
                    uri.parameters.insert(name.to_owned(), decode(value)?);
                }
                Some((name, _)) => {
                    let known = self.parameters.join(", ");
                    let hint =
                        format!("expected {known} alone; certificates are fields of [attach]");
                    return Err(format!("unknown parameter {name}: {hint}"));
                }
                None => return Err("expected name=value after the ?".to_owned()),
            }
        }
        Ok(uri)
    }
}

impl Uri {
    /// Takes over what a node's own string says beyond its host: that is shared by all nodes.
    pub fn merge(&mut self, own: &Uri) -> Result<(), String> {
        let mut pairs = vec![
            ("user", own.user.as_ref(), &mut self.user),
            ("database", own.database.as_ref(), &mut self.database),
        ];
        for (what, mine, all) in &mut pairs {
            match (mine, all.as_ref()) {
                (Some(mine), Some(all)) if *mine != all => return Err(differ(what, mine, all)),
                (Some(mine), None) => **all = Some(mine.to_string()),
                _ => {}
            }
        }
        for (name, mine) in &own.parameters {
            match self.parameters.get(name) {
                Some(all) if mine != all => return Err(differ(name, mine, all)),
                _ => self.parameters.insert(name.clone(), mine.clone()),
            };
        }
        Ok(())
    }
}

fn differ(what: &str, mine: &str, all: &str) -> String {
    format!("{what} {mine}, elsewhere {all}: expected one for all nodes")
}

fn host_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().map_err(|_| format!("\"{port}\" is no port"))?),
        None => None,
    };
    Ok((decode(host)?, port))
}

/// `%41` is `A`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|digit| digit.unwrap_or(b'x') as char);
        let digit = |place: usize| digits[place].to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("a % needs two hexadecimal digits after it".to_owned());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 after decoding".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, String> {
        let form = Form {
            schemes: &["postgres://", "postgresql://"],
            expected: "postgres://user@host:port/database",
            parameters: &["sslmode"],
        };
        form.parse(text)
    }

    #[test]
    fn what_one_node_says_goes_for_all_and_none_may_differ() {
        let mut shared = parse("postgres://app@/x").unwrap();
        shared.merge(&parse("postgres://h1/?sslmode=disable").unwrap()).unwrap();
        assert_eq!(shared.parameters["sslmode"], "disable");
        for other in ["postgres://b@h", "postgres://h/y", "postgres://h?sslmode=require"] {
            let error = shared.merge(&parse(other).unwrap()).unwrap_err();
            assert!(error.contains("expected one for all nodes"), "{error}");
        }
    }

    #[test]
    fn strings_are_taken_apart() {
        let uri = parse("postgres://app@db1:5433,[::1]:5434,db3/orders?sslmode=require").unwrap();
        assert_eq!(uri.user.as_deref(), Some("app"));
        let hosts = [("db1", Some(5433)), ("::1", Some(5434)), ("db3", None)];
        assert_eq!(uri.hosts, hosts.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!(uri.database.as_deref(), Some("orders"));
        assert_eq!(uri.parameters["sslmode"], "require");
        let uri = parse("postgresql://a%40b@/x%2Fy").unwrap();
        assert_eq!((uri.user.as_deref(), uri.database.as_deref()), (Some("a@b"), Some("x/y")));
        assert!(uri.hosts.is_empty());
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in ["postgres://app:hunter2@db1/x", "postgres://:hunter2@db1", "hunter2://"] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(parse("postgres://a@b/c?password=hunter2").unwrap_err().contains("password:"));
        assert!(parse("postgres://a@b:x/c").unwrap_err().contains("is no port"));
        assert!(parse("postgres://a%4@b/c").unwrap_err().contains("two hexadecimal digits"));
    }
}
