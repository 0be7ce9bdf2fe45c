//! Signals: the first asks, the second leaves at once. Agents are never killed by one.

use crate::server::Server;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Watches until the process ends.
pub async fn watch(server: Arc<Server>) {
    let (Ok(mut term), Ok(mut int), Ok(mut quit), Ok(mut hup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::quit()),
        signal(SignalKind::hangup()),
    ) else {
        tracing::error!("signals cannot be watched; stop the daemon with `vibes daemon stop`");
        return;
    };
    loop {
        let asked = tokio::select! {
            _ = term.recv() => true,
            _ = int.recv() => true,
            _ = quit.recv() => true,
            // A terminal that closed is nothing to a daemon.
            _ = hup.recv() => false,
        };
        if asked && server.stop.is_cancelled() {
            tracing::warn!("told twice: leaving at once");
            std::process::exit(1);
        }
        if asked {
            server.stop.cancel();
        }
    }
}
