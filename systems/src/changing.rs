//! A node that is restarted with another setting than before.

use crate::system::SystemError;

/// How a system's node gets another setting, and says which it has.
pub trait Changing: Send + Sync {
    /// Has the node start with this setting from its next start on.
    fn change(&self, node: usize, name: &str, value: &str) -> Result<(), SystemError>;

    /// What the running node says that the setting is.
    fn says(&self, node: usize, name: &str) -> Result<String, SystemError>;
}

/// `NAME=VALUE`. Names are those of files and commands: letters, digits, `_` and `.`.
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    (!name.is_empty() && !value.is_empty() && name.chars().all(plain)).then_some((name, value))
}

/// Whether what a node says is what was asked for: units and quotes are the server's own way.
pub fn same(asked: &str, said: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    match (number(asked), number(said)) {
        (Some(asked), Some(said)) => asked == said,
        _ => asked.eq_ignore_ascii_case(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(parse("work_mem=8MB"), Some(("work_mem", "8MB")));
        assert_eq!(parse("a=b=c"), Some(("a", "b=c")));
        for wrong in ["none", "=1", "a=", "a b=1", "a;b=1", "a'=1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_server_says_may_be_written_otherwise() {
        assert!(same("80", "80.0") && same("on", "ON") && same("8MB", "8mb"));
        assert!(!same("80", "81") && !same("on", "off"));
    }
}
