//! Where a password comes from: the environment, a file, or PostgreSQL's `.pgpass`. It goes from
//! there into a connection and nowhere else; no text of an error holds it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cluster::inventory::PasswordFrom;

/// Whose password is looked for; fields of a `.pgpass` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The server, as it is written in the inventory.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database; where users belong to one, that one.
    pub database: &'a str,
    /// The role, or user.
    pub user: &'a str,
}

/// Longest password, bytes: tokens have some thousands, and servers take no more than 64 KB.
const LONGEST: usize = 16 << 10;

/// Reads it; the error names the source and what was expected.
pub fn read(from: &PasswordFrom, account: &Account<'_>) -> Result<Option<String>, String> {
    let password = source(from, account)?;
    match password.as_ref().map_or(0, String::len) {
        0..=LONGEST => Ok(password),
        long => Err(format!("a password of {long} bytes: expected {LONGEST} at most")),
    }
}

fn source(from: &PasswordFrom, account: &Account<'_>) -> Result<Option<String>, String> {
    match from {
        PasswordFrom::Nowhere => Ok(None),
        PasswordFrom::Environment(name) => match std::env::var(name) {
            Ok(password) if !password.is_empty() => Ok(Some(password)),
            _ => Err(format!("password_env: the environment has no {name}, or it is empty")),
        },
        PasswordFrom::File(path) => {
            let text = private(path, "password_file")?;
            let line = text.lines().next().unwrap_or("");
            match line {
                "" => Err(format!("password_file: the first line of {} is empty", path.display())),
                line => Ok(Some(line.to_owned())),
            }
        }
        PasswordFrom::Passfile(path) => {
            let text = private(path, "passfile")?;
            let found = look_up(&text, account);
            let Account { host, port, database, user } = account;
            let line = format!("{host}:{port}:{database}:{user}:PASSWORD");
            found.map(Some).ok_or_else(|| {
                format!("passfile: no line of {} matches; expected one like {line}", path.display())
            })
        }
    }
}

/// The text of a file that only its owner can read.
pub fn private(path: &Path, field: &str) -> Result<String, String> {
    let fail = |why: String| format!("{field}: {}: {why}", path.display());
    // What is looked at is what is read, whatever is put there in between.
    let mut file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let facts = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !facts.is_file() {
        return Err(fail("is not a plain file".to_owned()));
    }
    let mode = facts.mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {mode:04o}); chmod 0600 {}", path.display());
        return Err(fail(why));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    Ok(text)
}

/// The password of the first line that matches.
///
/// `host:port:database:user:password`; each of the first four may be `*`; `\:` and `\\` stand for
/// the characters themselves; lines that begin with `#` are comments.
fn look_up(text: &str, account: &Account<'_>) -> Option<String> {
    let port = account.port.to_string();
    let wanted = [account.host, port.as_str(), account.database, account.user];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields = fields(line);
        let [given @ .., password] = &fields[..] else {
            continue;
        };
        if given.len() != wanted.len() {
            continue;
        }
        let matches = |(given, wanted): (&Field, &&str)| given.any || given.text == **wanted;
        if given.iter().zip(&wanted).all(matches) {
            return Some(password.text.clone());
        }
    }
    None
}

struct Field {
    text: String,
    /// A bare `*`; `\*` is a star.
    any: bool,
}

/// The first four fields end at a colon; the password is the rest of the line, and a colon within
/// it needs a backslash, as in libpq, which stops at one that has none.
fn fields(line: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut text = String::new();
    let mut raw = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                raw.push('\\');
                // A backslash at the end stands for itself.
                text.push(characters.next().unwrap_or('\\'));
            }
            ':' => {
                fields.push(Field { any: raw == "*", text: std::mem::take(&mut text) });
                raw.clear();
                if 5 <= fields.len() {
                    return fields;
                }
            }
            c => {
                raw.push(c);
                text.push(c);
            }
        }
    }
    fields.push(Field { any: raw == "*", text });
    fields
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ACCOUNT: Account<'static> =
        Account { host: "db1", port: 5432, database: "orders", user: "app" };

    #[test]
    fn a_pgpass_is_read_as_postgresql_reads_it() {
        for (text, password) in [
            ("db1:5432:orders:app:secret", Some("secret")),
            ("*:*:*:app:any", Some("any")),
            ("# db1:5432:orders:app:no\ndb1:5432:orders:app:yes", Some("yes")),
            ("db2:5432:orders:app:no\n*:*:*:*:last", Some("last")),
            ("db1:*:*:*:first\n*:*:*:*:last", Some("first")),
            (r"db1:5432:orders:app:a\:b\\c", Some(r"a:b\c")),
            (r"db1:5432:orders:\*:star", None),
            ("db1:5433:orders:app:port", None),
            ("db1:5432:orders:app", None),
            ("db1:5432:orders:app:x:rest", Some("x")),
            ("", None),
        ] {
            assert_eq!(look_up(text, &ACCOUNT).as_deref(), password, "{text}");
        }
        let v6 = Account { host: "::1", ..ACCOUNT };
        assert_eq!(look_up(r"\:\:1:5432:orders:app:six", &v6).as_deref(), Some("six"));
        let odd = Account { user: "a:b", ..ACCOUNT };
        assert_eq!(look_up(r"db1:5432:orders:a\:b:p", &odd).as_deref(), Some("p"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_no_error_tells_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        fs::write(&path, "hunter2\nmore\n").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for open in [0o640, 0o604, 0o644] {
            mode(open);
            for from in [PasswordFrom::File(path.clone()), PasswordFrom::Passfile(path.clone())] {
                let error = read(&from, &ACCOUNT).unwrap_err();
                assert!(error.contains("others may read it") && error.contains("chmod 0600"));
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
        mode(0o600);
        let read = |from| read(&from, &ACCOUNT);
        assert_eq!(read(PasswordFrom::File(path.clone())), Ok(Some("hunter2".to_owned())));
        let error = read(PasswordFrom::Passfile(path.clone())).unwrap_err();
        assert!(error.contains("expected one like db1:5432:orders:app:PASSWORD"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        // Any variable will do to see that it is read.
        let path = std::env::var("PATH").unwrap();
        assert_eq!(read(PasswordFrom::Environment("PATH".into())), Ok(Some(path)));
        let error = read(PasswordFrom::Environment("SPLITBRAIN_NO_SUCH".into())).unwrap_err();
        assert!(error.contains("has no SPLITBRAIN_NO_SUCH"), "{error}");
    }
}
