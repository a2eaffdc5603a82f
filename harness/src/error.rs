//! What the user is told when something is wrong: what, where, what to try; and the exit code.

use std::fmt;

use serde_json::json;

use crate::exit::Exit;

/// One clear message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    /// How the process ends.
    pub exit: Exit,
    /// What is wrong.
    pub what: String,
    /// Where: a file with line and field, a host, a flag.
    pub place: Option<String>,
    /// What to try.
    pub hint: Option<String>,
}

impl UserError {
    /// Bad usage or configuration; nothing has run.
    pub fn usage(what: impl Into<String>) -> UserError {
        UserError { exit: Exit::Usage, what: what.into(), place: None, hint: None }
    }

    /// The surroundings failed: a host, a file, a missing program.
    pub fn environment(what: impl Into<String>) -> UserError {
        UserError { exit: Exit::Environment, what: what.into(), place: None, hint: None }
    }

    /// With where it is.
    pub fn at(self, place: impl Into<String>) -> UserError {
        UserError { place: Some(place.into()), ..self }
    }

    /// With what to try.
    pub fn hint(self, hint: impl Into<String>) -> UserError {
        UserError { hint: Some(hint.into()), ..self }
    }

    /// The object that programs read.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "error": {
                "code": self.exit.name(),
                "message": self.what,
                "where": self.place,
                "try": self.hint,
            },
            "exit": self.exit.code(),
        })
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhelp: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UserError {}
