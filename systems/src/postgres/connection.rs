//! One connection of one session to one node.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Socket};

use super::tls::Tls;
use crate::refusals::Refusals;

/// Longest wait for a connection: less than an operation's deadline, so that a node that is cut
/// off leaves time to ask another.
const CONNECT: Duration = Duration::from_millis(500);
/// The same for a connection that must agree on keys first.
const CONNECT_TLS: Duration = Duration::from_secs(2);

/// Whether the node leads; and transactions on a leader get the isolation that is set for leaders.
/// A follower of logical replication is not in recovery: its configuration says what it is.
const LEADS: &str = "SELECT leads, CASE WHEN leads THEN \
    set_config('default_transaction_isolation', coalesce( \
    current_setting('splitbrain.leader_isolation', true), \
    current_setting('default_transaction_isolation')), false) END \
    FROM (SELECT NOT pg_is_in_recovery() \
    AND coalesce(current_setting('splitbrain.role', true), '') <> 'follower' AS leads) AS node";

/// Whom to log in as, and into what.
#[derive(Clone, Default)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; never written to a run's folder.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// Start-up options, such as `-c search_path=x`.
    pub options: String,
    /// Whether and how connections are encrypted.
    pub tls: Tls,
    /// Servers that have refused the password.
    pub refusals: Refusals,
}

/// See the module's doc. Dropped, it is closed without cancelling anything.
pub struct Connection {
    /// The driver's end.
    pub client: Client,
    /// Whether the node was leader when the connection was made. A leader that is demoted closes
    /// its connections, so `true` stays true.
    pub leads: bool,
    notices: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closes the socket at once: a request whose answer nobody waits for goes on as it will.
        self.task.abort();
    }
}

impl Connection {
    /// Connects and asks whether the node leads.
    pub async fn open(address: SocketAddr, login: &Login) -> Result<Connection, Refused> {
        let connector = login.tls.connector();
        let limit = if connector.is_some() { CONNECT_TLS } else { CONNECT };
        if login.refusals.held(address) {
            // As long as a server that does not answer, so that nobody turns in a tight loop.
            tokio::time::sleep(limit).await;
            return Err(Refused::Silent);
        }
        let mut config = Config::new();
        config
            .host(login.tls.name(address))
            .hostaddr(address.ip())
            .port(address.port())
            .user(&login.user)
            .dbname(&login.database)
            .application_name("splitbrain")
            .options(&login.options)
            .connect_timeout(limit);
        if let Some(password) = &login.password {
            config.password(password);
        }
        let notices: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&notices);
        let connect = async {
            match connector {
                Some(connector) => {
                    config.ssl_mode(SslMode::Require);
                    let made = config.connect(connector).await?;
                    Ok((made.0, listen(made.1, heard)))
                }
                None => {
                    config.ssl_mode(SslMode::Disable);
                    let made = config.connect(NoTls).await?;
                    Ok((made.0, listen(made.1, heard)))
                }
            }
        };
        let made: Result<(Client, _), Error> = match tokio::time::timeout(limit, connect).await {
            Ok(made) => made,
            Err(_) => return Err(Refused::Silent),
        };
        let (client, task) = made.map_err(|error| {
            if error.code().is_some_and(|code| code.code().starts_with("28")) {
                login.refusals.refused(address);
            }
            Refused::Error(error)
        })?;
        login.refusals.welcomed(address);
        let mut connection = Connection { client, leads: false, notices, task };
        let asked = tokio::time::timeout(limit, connection.ask_leads()).await;
        match asked {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(Refused::Error(error)),
            Err(_) => Err(Refused::Silent),
        }
    }

    /// Asks again whether the node leads: a follower may have been promoted.
    pub async fn ask_leads(&mut self) -> Result<(), Error> {
        let rows = self.client.query_typed(LEADS, &[]).await?;
        self.leads = rows.first().is_some_and(|row| row.get(0));
        Ok(())
    }

    /// Warnings since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Listens to a server until its connection ends; requests under way learn of the end from their
/// own channel.
fn listen<S>(
    mut connection: tokio_postgres::Connection<Socket, S>,
    heard: Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                let text = format!("{} {}", notice.code().code(), notice.message());
                heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text);
            }
        }
    })
}

/// Why there is no connection.
pub enum Refused {
    /// The node or the network said so.
    Error(Error),
    /// Nothing was said in time.
    Silent,
}
