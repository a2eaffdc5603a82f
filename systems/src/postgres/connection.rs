//! One connection of one session to one node.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};

/// Longest wait for a connection: less than an operation's deadline, so that a node that is cut
/// off leaves time to ask another.
const CONNECT: Duration = Duration::from_millis(500);

/// Whether the node leads; and transactions on a leader get the isolation that is set for leaders.
const LEADS: &str = "SELECT NOT pg_is_in_recovery(), CASE WHEN NOT pg_is_in_recovery() THEN \
    set_config('default_transaction_isolation', coalesce( \
    current_setting('splitbrain.leader_isolation', true), \
    current_setting('default_transaction_isolation')), false) END";

/// Whom to log in as, and into what.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; never written to a run's folder.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// Start-up options, such as `-c search_path=x`.
    pub options: String,
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
        let mut config = tokio_postgres::Config::new();
        config
            .host(address.ip().to_string())
            .port(address.port())
            .user(&login.user)
            .dbname(&login.database)
            .application_name("splitbrain")
            .options(&login.options)
            .connect_timeout(CONNECT);
        if let Some(password) = &login.password {
            config.password(password);
        }
        let made = tokio::time::timeout(CONNECT, config.connect(NoTls)).await;
        let (client, mut connection) = match made {
            Ok(made) => made.map_err(Refused::Error)?,
            Err(_) => return Err(Refused::Silent),
        };
        let notices: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&notices);
        let task = tokio::spawn(async move {
            // Ends when the connection does; requests under way learn it from their own channel.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    let text = format!("{} {}", notice.code().code(), notice.message());
                    heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text);
                }
            }
        });
        let mut connection = Connection { client, leads: false, notices, task };
        let asked = tokio::time::timeout(CONNECT, connection.ask_leads()).await;
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

/// Why there is no connection.
pub enum Refused {
    /// The node or the network said so.
    Error(Error),
    /// Nothing was said in time.
    Silent,
}
