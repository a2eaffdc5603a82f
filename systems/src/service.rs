//! How a server that is not ours is found and started by the agent.

use agent::life::Graceful;
use agent::proto::Start;
use cluster::inventory::Service;

/// While this file is on a host its server is not started by whoever heals: it was fenced.
pub const HOLD: &str = "/run/splitbrain/held-by-operator";

/// Whose server it is: by that it is told from others in its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The process that `postmaster.pid` names, if it works there.
    Postgres,
    /// The process that `mongod.lock` names, if it holds that file open.
    Mongodb,
}

impl Server {
    /// By the name of the system.
    pub fn of(system: &str) -> Server {
        match system {
            "mongodb" => Server::Mongodb,
            _ => Server::Postgres,
        }
    }

    /// For the agent; [`agent::external`] reads the pidfile's name.
    pub fn start(self, service: &Service) -> Start {
        let argv = match (&service.start, &service.unit) {
            (Some(argv), _) => argv.clone(),
            (None, Some(unit)) => ["systemctl", "start", "--", unit].map(str::to_owned).to_vec(),
            // The gate has refused every fault that would need one.
            (None, None) => Vec::new(),
        };
        let pidfile = match (&service.unit, &service.data_dir) {
            (_, Some(folder)) => match self {
                Server::Postgres => format!("main-of:{folder}"),
                Server::Mongodb => format!("holder-of:{folder}/mongod.lock"),
            },
            (Some(unit), None) => format!("unit:{unit}"),
            (None, None) => "unit:".to_owned(),
        };
        // MongoDB has no operator of ours that could have fenced one.
        let hold = (self == Server::Postgres).then(|| HOLD.to_owned());
        let log = "/dev/null".to_owned();
        Start { argv, log, pidfile, hold, ..Start::default() }
    }
}

/// How it is asked to end: by whoever looks after it, where the inventory says who that is.
pub fn graceful(service: &Service) -> Graceful {
    match (&service.stop, &service.unit) {
        (Some(argv), _) => Graceful::Command(argv.clone()),
        (None, Some(unit)) => {
            Graceful::Command(["systemctl", "stop", "--", unit].map(str::to_owned).to_vec())
        }
        (None, None) => Graceful::Int,
    }
}
