//! `[web]` of the configuration.
//!
//! Invariant: a name is a host as browsers write it, so that what is compared with it cannot mean two things.

use serde::Deserialize;

/// Whether and how the web is served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// From the start on.
    pub enabled: bool,
    /// At which port; the one that was used last otherwise.
    pub port: Option<u16>,
    /// Other names that it answers to: those of tunnels, with their port where it is not the usual one.
    pub hosts: Vec<String>,
}

impl Web {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.port == Some(0) {
            anyhow::bail!("web.port: 1 to 65535 are expected");
        }
        for host in &self.hosts {
            let (name, port) =
                host.rsplit_once(':').map_or((host.as_str(), None), |(name, port)| (name, Some(port)));
            let good = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
            if !good {
                anyhow::bail!(
                    "web.hosts: {host:?} is no name of a host, such as vibes.example.org or box.local:8443"
                );
            }
        }
        Ok(())
    }
}
