//! What an error of PostgreSQL says of the operation: certainly not done, or nobody knows.
//!
//! `fail` comes from a short list alone, and never once a COMMIT or a statement that commits by
//! itself was sent and the connection broke.

use tokio_postgres::Error;

use crate::client::StepReply;

/// How far a request got before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No statement was sent.
    Connecting,
    /// Statements of an open transaction were sent, COMMIT was not.
    Open,
    /// COMMIT, or a statement that commits by itself, may have been received.
    Committing,
}

/// What the error says, given how far the request got.
pub fn classify(error: &Error, stage: Stage) -> StepReply {
    let reason = describe(error);
    if let Some(code) = error.code() {
        let code = code.code();
        return match code {
            // A standby was asked to write: another node may be leader.
            "25006" => StepReply::Refused { reason, leader: None },
            // Conflicts and constraints; and SERIALIZABLE, which a hot standby does not have.
            "40001" | "40P01" | "0A000" => StepReply::Aborted { reason },
            code if code.starts_with("23") => StepReply::Aborted { reason },
            // Starting up, shutting down, too many clients: said before a statement was taken.
            _ if stage == Stage::Connecting => StepReply::NotSent { reason },
            _ => StepReply::unknown(reason),
        };
    }
    match stage {
        Stage::Connecting => StepReply::NotSent { reason },
        Stage::Open => {
            StepReply::NotSent { reason: format!("the connection broke before COMMIT: {reason}") }
        }
        Stage::Committing => StepReply::unknown(reason),
    }
}

/// The error with its code and cause, without what the driver says around it.
pub fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} {}", db.code().code(), db.message());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
