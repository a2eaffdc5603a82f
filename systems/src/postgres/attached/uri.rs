//! Connection strings, `postgres://user@host:port,host:port/database?sslmode=..`.
//!
//! A password in one is refused: it would end up wherever the inventory is kept.

/// What a string says; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The role.
    pub user: Option<String>,
    /// Hosts with their ports.
    pub hosts: Vec<(String, Option<u16>)>,
    /// The database.
    pub database: Option<String>,
    /// `sslmode`.
    pub sslmode: Option<String>,
}

/// Reads a string; the error never quotes it, because it might hold a password after all.
pub fn parse(text: &str) -> Result<Uri, String> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or("expected postgres://user@host:port/database")?;
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
    let full = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(decode).transpose();
    let mut uri =
        Uri { user: full(user)?, database: full(database)?, hosts: Vec::new(), sslmode: None };
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        uri.hosts.push(host_port(host)?);
    }
    for parameter in parameters.into_iter().flat_map(|p| p.split('&')).filter(|p| !p.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", mode)) => uri.sslmode = Some(decode(mode)?),
            Some((name, _)) => {
                let hint = "expected sslmode alone; certificates are fields of [attach]";
                return Err(format!("unknown parameter {name}: {hint}"));
            }
            None => return Err("expected name=value after the ?".to_owned()),
        }
    }
    Ok(uri)
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

    #[test]
    fn strings_are_taken_apart() {
        let uri = parse("postgres://app@db1:5433,[::1]:5434,db3/orders?sslmode=require").unwrap();
        assert_eq!(uri.user.as_deref(), Some("app"));
        let hosts = [("db1", Some(5433)), ("::1", Some(5434)), ("db3", None)];
        assert_eq!(uri.hosts, hosts.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!(uri.database.as_deref(), Some("orders"));
        assert_eq!(uri.sslmode.as_deref(), Some("require"));
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
