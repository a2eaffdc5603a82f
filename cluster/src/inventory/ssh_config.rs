//! What `~/.ssh/config` says of a name: asked of `ssh -G`, the one program that knows for sure.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub address: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub key: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub jump: Option<String>,
}

/// Asks `ssh -G`.
pub(super) fn look_up(name: &str) -> Result<Known, String> {
    let mut command = Command::new("ssh");
    command.args(["-G", "--", name]).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        format!("ssh -G {name}: {error}; openssh-client is needed to read ~/.ssh/config")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ssh -G {name}: {}", said.trim()));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout), &|path| path.exists()))
}

fn parse(text: &str, exists: &dyn Fn(&PathBuf) -> bool) -> Known {
    let mut known = Known::default();
    let path = |word: &str| match (word.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(word),
    };
    for line in text.lines() {
        let Some((field, value)) = line.split_once(' ') else {
            continue;
        };
        match field {
            "hostname" => known.address = Some(value.to_owned()),
            "port" => known.port = value.parse().ok(),
            "user" => known.user = Some(value.to_owned()),
            "proxyjump" => known.jump = Some(value.to_owned()).filter(|jump| jump != "none"),
            // The first that is there, as ssh would find it.
            "identityfile" if known.key.is_none() => {
                known.key = Some(path(value)).filter(|path| exists(path));
            }
            "userknownhostsfile" => {
                known.known_hosts = value.split(' ').map(path).find(|path| exists(path));
            }
            _ => {}
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_that_is_there_counts() {
        let text = "host db1\nuser app\nhostname 10.0.0.7\nport 2222\nidentityfile /none\n\
                    identityfile /keys/b\nuserknownhostsfile /none /keys/known\n\
                    proxyjump bastion\n";
        let known = parse(text, &|path| path.starts_with("/keys"));
        assert_eq!(known.address.as_deref(), Some("10.0.0.7"));
        assert_eq!((known.port, known.user.as_deref()), (Some(2222), Some("app")));
        assert_eq!(known.key, Some("/keys/b".into()));
        assert_eq!(known.known_hosts, Some("/keys/known".into()));
        assert_eq!(known.jump.as_deref(), Some("bastion"));
        assert_eq!(parse("proxyjump none\n", &|_| true).jump, None);
    }
}
