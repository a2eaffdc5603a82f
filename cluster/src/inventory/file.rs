//! The file as it is written. Unknown fields are refused, so that a mistyped one is named.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub cluster_id: Option<String>,
    #[serde(default)]
    pub allow: Vec<String>,
    #[serde(default)]
    pub data_is_disposable: bool,
    pub max_hurt: Option<usize>,
    pub max_duration: Option<String>,
    pub abort_if: Option<String>,
    pub abort_if_host: Option<String>,
    pub attach: Option<AttachTable>,
    #[serde(default, rename = "host")]
    pub hosts: Vec<HostEntry>,
    #[serde(default, rename = "endpoint")]
    pub endpoints: Vec<EndpointEntry>,
}

/// `[attach]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachTable {
    pub system: String,
    pub uri: Option<String>,
    pub sslmode: Option<String>,
    pub ca: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub password_env: Option<String>,
    pub password_file: Option<PathBuf>,
    pub passfile: Option<PathBuf>,
    pub leader: Option<String>,
    pub failover: Option<String>,
    pub unit: Option<String>,
    pub start: Option<Vec<String>>,
    pub stop: Option<Vec<String>>,
    pub data_dir: Option<String>,
}

/// `[[host]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostEntry {
    pub name: String,
    pub address: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub key: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub data_address: Option<IpAddr>,
    pub r#become: Option<String>,
    pub proxy_jump: Option<String>,
    pub ssh_config: Option<String>,
    pub region: Option<String>,
    pub uri: Option<String>,
    pub unit: Option<String>,
    pub start: Option<Vec<String>>,
    pub stop: Option<Vec<String>>,
    pub data_dir: Option<String>,
}

/// `[[endpoint]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointEntry {
    pub name: String,
    pub address: String,
    pub uri: Option<String>,
}

/// Reads the text; an error names line and field.
pub(super) fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| {
        let Some(span) = error.span() else {
            return error.message().to_owned();
        };
        let line = text[..span.start].matches('\n').count();
        let content = text.lines().nth(line).unwrap_or("");
        let key = content.split_once('=').map(|(key, _)| key.trim());
        // An unknown field is named by its message already.
        let key = key.filter(|key| !error.message().contains(&format!("`{key}`")));
        let key = key.map_or(String::new(), |key| format!("{key}: "));
        format!("line {}: {key}{}", line + 1, error.message())
    })
}

impl HostEntry {
    /// Refuses what cannot be meant; gives the field and what was expected.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(other) = self.r#become.as_deref().filter(|how| *how != "sudo") {
            let why = format!("become = \"{other}\" is not supported: expected \"sudo\"");
            return Err(("become", why));
        }
        for (field, word) in [("proxy_jump", &self.proxy_jump), ("ssh_config", &self.ssh_config)] {
            if word.as_ref().is_some_and(|word| word.is_empty() || word.starts_with('-')) {
                return Err((field, format!("{field} is the name of a host, as ssh takes it")));
            }
        }
        Ok(())
    }
}
