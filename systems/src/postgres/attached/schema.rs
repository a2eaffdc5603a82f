//! The schema that holds what a run writes: its own, by a name that nobody else has, marked by a
//! comment, and the only thing that is ever removed.

use crate::owned::{self, PREFIX};
use crate::postgres::sql;

/// Schemas that runs have left and that this user may remove, with their comments.
pub const LEFT: &str = "SELECT n.nspname::text, d.description::text FROM pg_namespace n \
    JOIN pg_description d ON d.objoid = n.oid AND d.classoid = 'pg_namespace'::regclass \
    WHERE starts_with(n.nspname, 'splitbrain_') AND starts_with(d.description, 'splitbrain run ') \
    AND pg_has_role(current_user, n.nspowner, 'USAGE') ORDER BY n.oid DESC";

/// A run's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name: letters, digits and underscores.
    pub schema: String,
    /// What its comment says.
    pub comment: String,
}

impl Owner {
    /// Of a run, by its id.
    pub fn of_run(run: &str) -> Owner {
        Owner { schema: owned::name(run), comment: owned::mark(run) }
    }

    /// Makes it with its tables; it must not be there yet.
    pub fn creation(&self) -> String {
        let Owner { schema, comment } = self;
        let comment = comment.replace('\'', "''");
        let tables = sql::TABLES;
        format!(
            "BEGIN; SET LOCAL synchronous_commit = local; CREATE SCHEMA {schema}; \
             COMMENT ON SCHEMA {schema} IS '{comment}'; \
             SET LOCAL search_path = {schema}; {tables} COMMIT;"
        )
    }

    /// An error unless the tables are there.
    pub fn there(&self) -> String {
        format!("SELECT FROM {}.counters LIMIT 0", self.schema)
    }
}

/// Removes a schema of ours, and waits for nobody long.
pub fn removal(schema: &str) -> String {
    debug_assert!(schema.starts_with(PREFIX), "only what a run made is removed");
    let quoted = schema.replace('"', "\"\"");
    format!(
        "SET lock_timeout = '5s'; SET synchronous_commit = local; \
         DROP SCHEMA IF EXISTS \"{quoted}\" CASCADE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owned::{MARK, NAME_MAX};

    #[test]
    fn a_name_is_plain_and_fits_whatever_the_run_is_called() {
        for run in ["run/20261125T020000Z-1", "A'; DROP SCHEMA public; --/1", &"x".repeat(200)] {
            let owner = Owner::of_run(run);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(owner.schema.chars().all(plain), "{}", owner.schema);
            assert!(owner.schema.len() <= NAME_MAX && owner.schema.starts_with(PREFIX));
            let quotes = owner.creation().matches('\'').count();
            assert_eq!(quotes % 2, 0, "the comment is quoted");
        }
        assert!(LEFT.contains(&format!("'{PREFIX}'")) && LEFT.contains(&format!("'{MARK}'")));
    }
}
