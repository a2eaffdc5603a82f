//! What an error of MongoDB says of the operation: certainly not done, or nobody knows.
//!
//! `fail` comes from a short list alone. Everything else that is said of a write, or of a commit,
//! leaves it open: an error of the write concern is said *after* the write was done, and a member
//! that steps down may have done what it was interrupted in.

use std::io;

use ::mongodb::error::{
    Error, ErrorKind, NO_WRITES_PERFORMED, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use crate::client::StepReply;

/// How far a request got before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing but reads was sent.
    Reading,
    /// Statements of a transaction were sent, its commit was not.
    Open,
    /// A write was sent once.
    Writing,
    /// A write was sent, and maybe again by the driver.
    WritingAgain,
    /// A commit was sent, and maybe again by the driver.
    Committing,
}

/// What was said, as far as the decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The whole command was refused, with this code.
    Command(i32),
    /// The command's only statement failed, with this code.
    Statement(i32),
    /// What was done is not on as many members as was wanted, with this code.
    Concern(i32),
    /// No connection was made: refused by the host, or the login was.
    NotConnected,
    /// The driver knows no server at that address: nothing was sent.
    NoServer,
    /// The connection broke, or its answer makes no sense.
    Broken,
}

/// An error's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was said.
    pub said: Said,
    /// The label `NoWritesPerformed`.
    pub no_writes: bool,
    /// The label `TransientTransactionError`.
    pub transient: bool,
    /// The label `UnknownTransactionCommitResult`.
    pub unknown_commit: bool,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Certainly not done; another member may be leader.
    Refused,
    /// Certainly not done, and another member would not either.
    Aborted,
    /// Certainly not done, and a read that waited for a moment that did not come.
    Behind,
    /// Certainly not done, because nothing that changes anything got there.
    NotSent,
    /// Nobody knows.
    Unknown,
}

/// NotWritablePrimary, NotPrimaryNoSecondaryOk, and their old name.
const NOT_LEADER: [i32; 3] = [10_107, 13_435, 10_058];
/// NotPrimaryOrSecondary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
/// PrimarySteppedDown, ShutdownInProgress: the member is in no state to serve.
const NOT_NOW: [i32; 5] = [13_436, 11_600, 11_602, 189, 91];
/// MaxTimeMSExpired.
const EXPIRED: i32 = 50;
/// DuplicateKey: two upserts of one key at once.
const DUPLICATE: i32 = 11_000;
/// WriteConflict and NoSuchTransaction: what a commit says of a transaction that was aborted.
const ABORTED: [i32; 2] = [112, 251];

/// The table of `docs/systems/mongodb.md`.
pub fn meaning(told: &Told, stage: Stage) -> Meaning {
    if matches!(told.said, Said::NotConnected | Said::NoServer) && stage != Stage::Committing {
        // With retries on, the driver may have had an answer to the first attempt.
        return match stage {
            Stage::WritingAgain if !told.no_writes => Meaning::Unknown,
            _ => Meaning::NotSent,
        };
    }
    match stage {
        Stage::Reading => match told.said {
            Said::Command(EXPIRED) => Meaning::Behind,
            Said::Command(code) if NOT_LEADER.contains(&code) || NOT_NOW.contains(&code) => {
                Meaning::Refused
            }
            _ => Meaning::NotSent,
        },
        // What is not committed never happens.
        Stage::Open => match told.said {
            Said::Command(code) if NOT_LEADER.contains(&code) || NOT_NOW.contains(&code) => {
                Meaning::Refused
            }
            Said::Command(_) | Said::Statement(_) => Meaning::Aborted,
            _ => Meaning::NotSent,
        },
        Stage::Writing => match told.said {
            Said::Command(code) if NOT_LEADER.contains(&code) => Meaning::Refused,
            Said::Command(_) if told.no_writes => Meaning::Aborted,
            Said::Statement(DUPLICATE) => Meaning::Aborted,
            _ => Meaning::Unknown,
        },
        Stage::WritingAgain => match told.said {
            Said::Command(code) if told.no_writes && NOT_LEADER.contains(&code) => Meaning::Refused,
            Said::Command(_) if told.no_writes => Meaning::Aborted,
            Said::Statement(DUPLICATE) => Meaning::Aborted,
            _ => Meaning::Unknown,
        },
        Stage::Committing => match told.said {
            Said::Command(code)
                if told.transient && !told.unknown_commit && ABORTED.contains(&code) =>
            {
                Meaning::Aborted
            }
            _ => Meaning::Unknown,
        },
    }
}

/// What the error says, given how far the request got.
pub fn classify(error: &Error, stage: Stage) -> StepReply {
    let reason = describe(error);
    match meaning(&told(error), stage) {
        Meaning::Refused => StepReply::Refused { reason, leader: None },
        Meaning::Aborted => StepReply::Aborted { reason },
        Meaning::Behind => StepReply::Behind { reason },
        Meaning::NotSent => StepReply::NotSent { reason },
        Meaning::Unknown => StepReply::unknown(reason),
    }
}

/// The parts of a driver's error.
pub fn told(error: &Error) -> Told {
    let said = match error.kind.as_ref() {
        ErrorKind::Command(command) => Said::Command(command.code),
        ErrorKind::Write(WriteFailure::WriteError(failed)) => Said::Statement(failed.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(failed)) => Said::Concern(failed.code),
        // Only a connection attempt is refused; one that stands is reset.
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Said::NotConnected
        }
        ErrorKind::Authentication { .. } => Said::NotConnected,
        ErrorKind::ServerSelection { .. } => Said::NoServer,
        _ => Said::Broken,
    };
    Told {
        said,
        no_writes: error.contains_label(NO_WRITES_PERFORMED),
        transient: error.contains_label(TRANSIENT_TRANSACTION_ERROR),
        unknown_commit: error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
    }
}

/// The error with its code, without what the driver says around it.
pub fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => {
            format!("{} {}: {}", command.code, command.code_name, command.message)
        }
        ErrorKind::Write(WriteFailure::WriteError(failed)) => {
            format!("{}: {}", failed.code, failed.message)
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(failed)) => {
            format!("write concern, {} {}: {}", failed.code, failed.code_name, failed.message)
        }
        ErrorKind::Custom(own) => match own.downcast_ref::<String>() {
            Some(own) => own.clone(),
            None => error.kind.to_string(),
        },
        ErrorKind::ServerSelection { .. } => "no server answers at its address".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(said: Said) -> Told {
        Told { said, no_writes: false, transient: false, unknown_commit: false }
    }

    #[test]
    fn a_write_fails_only_by_the_short_list() {
        use Meaning::{Aborted, NotSent, Refused, Unknown};
        use Said::{Broken, Command, Concern, NoServer, NotConnected, Statement};
        let no_writes = |said| Told { no_writes: true, ..plain(said) };
        let table = [
            (plain(NotConnected), NotSent, Unknown),
            (plain(NoServer), NotSent, Unknown),
            (plain(Command(10_107)), Refused, Unknown),
            (plain(Command(13_435)), Refused, Unknown),
            (no_writes(Command(10_107)), Refused, Refused),
            (no_writes(Command(91)), Aborted, Aborted),
            (plain(Statement(11_000)), Aborted, Aborted),
            // Measured: present afterwards, or absent, both.
            (plain(Statement(189)), Unknown, Unknown),
            (plain(Statement(10_107)), Unknown, Unknown),
            (plain(Command(11_602)), Unknown, Unknown),
            (plain(Command(189)), Unknown, Unknown),
            (plain(Command(91)), Unknown, Unknown),
            (plain(Command(13_436)), Unknown, Unknown),
            (plain(Command(50)), Unknown, Unknown),
            (plain(Concern(64)), Unknown, Unknown),
            (plain(Concern(10_107)), Unknown, Unknown),
            (plain(Concern(11_602)), Unknown, Unknown),
            (no_writes(Concern(64)), Unknown, Unknown),
            (plain(Broken), Unknown, Unknown),
        ];
        for (told, once, maybe_again) in table {
            assert_eq!(meaning(&told, Stage::Writing), once, "{told:?}");
            assert_eq!(meaning(&told, Stage::WritingAgain), maybe_again, "{told:?}, again");
        }
    }

    #[test]
    fn a_commit_fails_only_when_its_transaction_was_aborted() {
        let transient = |said| Told { transient: true, ..plain(said) };
        let aborted = [transient(Said::Command(251)), transient(Said::Command(112))];
        for told in aborted {
            assert_eq!(meaning(&told, Stage::Committing), Meaning::Aborted, "{told:?}");
            let unknown = Told { unknown_commit: true, ..told };
            assert_eq!(meaning(&unknown, Stage::Committing), Meaning::Unknown, "{unknown:?}");
        }
        let open = [
            plain(Said::NotConnected),
            plain(Said::NoServer),
            plain(Said::Broken),
            plain(Said::Command(251)),
            plain(Said::Command(10_107)),
            transient(Said::Command(11_602)),
            plain(Said::Command(50)),
            plain(Said::Concern(64)),
        ];
        for told in open {
            assert_eq!(meaning(&told, Stage::Committing), Meaning::Unknown, "{told:?}");
        }
    }

    #[test]
    fn before_its_commit_a_transaction_is_certainly_not_done() {
        let table = [
            (Said::Command(112), Meaning::Aborted),
            (Said::Command(251), Meaning::Aborted),
            (Said::Command(10_107), Meaning::Refused),
            (Said::Command(11_602), Meaning::Refused),
            (Said::Broken, Meaning::NotSent),
            (Said::NoServer, Meaning::NotSent),
        ];
        for (said, expected) in table {
            assert_eq!(meaning(&plain(said), Stage::Open), expected, "{said:?}");
        }
    }

    #[test]
    fn reads_change_nothing_whatever_is_said() {
        for said in [
            Said::Command(50),
            Said::Command(10_107),
            Said::Command(11_602),
            Said::Command(1),
            Said::Concern(64),
            Said::Broken,
            Said::NoServer,
        ] {
            assert_ne!(meaning(&plain(said), Stage::Reading), Meaning::Unknown, "{said:?}");
        }
    }
}
