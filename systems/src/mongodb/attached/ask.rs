//! Talking to members that are not ours: with patience for what passes, none for a refusal, and
//! the missing grant by its name.

use std::future::Future;
use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, Document, doc};
use ::mongodb::error::{Error, ErrorKind};

use super::database::{command, is};
use super::facts::{Facts, Hello};
use crate::mongodb::connect::{Account, LastWords, Login, Peer, direct_heard};
use crate::mongodb::errors::describe;
use crate::system::SystemError;

/// How long a member may take to answer for the first time.
pub const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Pause between two attempts.
pub const PAUSE: Duration = Duration::from_millis(100);
/// `Unauthorized`.
pub const UNAUTHORIZED: i32 = 13;

/// A member that is asked.
pub struct Asked<'a> {
    /// Its name and where it is, for people: `node a (db1:27017)`.
    pub named: String,
    /// How it is reached.
    pub peer: &'a Peer,
    /// Who logs in.
    pub login: &'a Login,
}

/// A driver with what it heard last.
pub struct Line {
    /// The driver.
    pub driver: Driver,
    words: LastWords,
}

impl Asked<'_> {
    fn fail(&self, why: impl std::fmt::Display) -> SystemError {
        SystemError::new(format!("{}: {why}", self.named))
    }

    fn open(&self, login: &Login) -> Result<Line, SystemError> {
        let made = direct_heard(self.peer, login);
        let (driver, words) = made.map_err(|error| self.fail(describe(&error)))?;
        Ok(Line { driver, words })
    }

    /// What the member tells anybody. No log-in is tried: a server that is no member of the set, or
    /// an arbiter, could only refuse it.
    pub async fn hello(&self) -> Result<Hello, SystemError> {
        let line = self.open(&self.login.nobody())?;
        let said = self.patiently(&line, || command(&line.driver, "admin", doc! { "hello": 1 }));
        let said = said.await;
        line.driver.shutdown().immediate(true).await;
        said.map(|said| Hello::read(&said))
    }

    /// Logs in and asks for all that must be known.
    pub async fn facts(&self, hello: Hello) -> Result<(Facts, Line), SystemError> {
        let line = self.open(self.login)?;
        let admin = |asked: Document| {
            let name = asked.keys().next().cloned().unwrap_or_default();
            let (line, asked) = (&line, asked);
            async move {
                let send = || command(&line.driver, "admin", asked.clone());
                let said = self.patiently(line, send).await;
                said.map_err(|error| SystemError {
                    what: format!("{} ({name})", error.what),
                    ..error
                })
            }
        };
        let build = admin(doc! { "buildInfo": 1 }).await?;
        admin(doc! { "replSetGetStatus": 1 }).await?;
        let config = admin(doc! { "replSetGetConfig": 1 }).await?;
        let concern = admin(doc! { "getDefaultRWConcern": 1 }).await?;
        let status = admin(doc! { "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0 }).await?;
        Ok((Facts::read(hello, &build, &config, &concern, &status), line))
    }

    /// Refuses a user that may not ask a primary to stand down.
    pub async fn may_step_down(&self, line: &Line) -> Result<(), SystemError> {
        let asked = doc! { "connectionStatus": 1, "showPrivileges": true };
        let said = self.patiently(line, || command(&line.driver, "admin", asked.clone())).await?;
        if self.login.account.is_none() || may(&said, "replSetStateChange") {
            return Ok(());
        }
        let what = format!("{} may not make a primary stand down", self.user());
        Err(self.fail(what).hint(grant(self.login.account.as_ref(), "clusterManager")))
    }

    /// Sends until it is answered; what will not pass ends it at once.
    async fn patiently<F>(&self, line: &Line, send: impl Fn() -> F) -> Result<Document, SystemError>
    where
        F: Future<Output = Result<Document, Error>>,
    {
        let until = Instant::now() + FIRST_ANSWER;
        loop {
            let error = match send().await {
                Ok(said) => return Ok(said),
                Err(error) => error,
            };
            let said = self.fail(line.words.of(&error));
            if matches!(*error.kind, ErrorKind::Authentication { .. }) {
                let hint = "user or password were refused: nothing else was tried, on no node";
                return Err(said.hint(hint));
            }
            if is(&error, UNAUTHORIZED) {
                return Err(self.denied(&error, "clusterMonitor"));
            }
            if tls_failed(&said.what) {
                return Err(said.hint("see sslmode, ca, client_cert and uri in the inventory"));
            }
            if until <= Instant::now() {
                // What a server that wants TLS makes of a connection without.
                let cut = said.what.contains("end of file") || said.what.contains("reset by peer");
                let hint = "does it want TLS? see sslmode and uri in the inventory";
                return Err(if cut { said.hint(hint) } else { said });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What a refusal of something that needs this role comes to.
    pub fn denied(&self, error: &Error, role: &str) -> SystemError {
        let what = format!("{} lacks a role: {}", self.user(), brief(&describe(error)));
        self.fail(what).hint(grant(self.login.account.as_ref(), role))
    }

    /// A refusal of what a run writes, or whatever else it is.
    pub fn not_made(&self, error: &Error) -> SystemError {
        match is(error, UNAUTHORIZED) {
            true => self.denied(error, "readWriteAnyDatabase"),
            false => self.fail(describe(error)),
        }
    }

    fn user(&self) -> String {
        match &self.login.account {
            Some(Account { user: Some(user), source, .. }) => format!("{user} of {source}"),
            Some(Account { user: None, .. }) => "the certificate's user".to_owned(),
            None => "nobody is logged in, who".to_owned(),
        }
    }
}

/// The statement that gives a role.
fn grant(account: Option<&Account>, role: &str) -> String {
    match account {
        Some(Account { user, source, .. }) => {
            let user = user.as_deref().unwrap_or("CN=..");
            format!(
                "db.getSiblingDB(\"{source}\").grantRolesToUser(\"{user}\", \
                 [{{ role: \"{role}\", db: \"admin\" }}])"
            )
        }
        None => "there is access control: expected mongodb://user@ and a password".to_owned(),
    }
}

/// A refusal with the command's name instead of all of it.
fn brief(said: &str) -> String {
    match said.split_once(" { ") {
        Some((what, command)) => format!("{what} {}", command.split(':').next().unwrap_or("")),
        None => said.to_owned(),
    }
}

fn may(said: &Document, action: &str) -> bool {
    let info = said.get_document("authInfo").ok();
    let all = info.and_then(|info| info.get_array("authenticatedUserPrivileges").ok());
    let privileges = all.into_iter().flatten().filter_map(Bson::as_document);
    let mut actions = privileges.filter_map(|one| one.get_array("actions").ok()).flatten();
    actions.any(|one| matches!(one.as_str(), Some(name) if name == action || name == "anyAction"))
}

fn tls_failed(text: &str) -> bool {
    ["TLS", "SSL", "certificate", "corrupt message"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_written_as_it_is_typed() {
        let account = Account {
            user: Some("app".to_owned()),
            source: "users".to_owned(),
            password: None,
            mechanism: None,
        };
        let expected = "db.getSiblingDB(\"users\").grantRolesToUser(\"app\", \
                        [{ role: \"clusterMonitor\", db: \"admin\" }])";
        assert_eq!(grant(Some(&account), "clusterMonitor"), expected);
        assert!(grant(None, "clusterMonitor").contains("expected mongodb://user@"));
        let said = "13 Unauthorized: not authorized on x to execute command { insert: \"y\" }";
        let brief = brief(said);
        assert_eq!(brief, "13 Unauthorized: not authorized on x to execute command insert");
    }

    #[test]
    fn a_privilege_is_found_by_its_action() {
        let with = |action: &str| {
            doc! { "authInfo": { "authenticatedUserPrivileges": [
                { "resource": { "cluster": true }, "actions": ["replSetGetStatus", action] },
            ] } }
        };
        assert!(may(&with("replSetStateChange"), "replSetStateChange"));
        assert!(may(&with("anyAction"), "replSetStateChange"));
        assert!(!may(&with("find"), "replSetStateChange"));
        assert!(!may(&doc! {}, "replSetStateChange"));
    }
}
