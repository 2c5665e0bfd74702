//! Where the admin port is: for the worker that serves it, and for the probe that asks it.

use std::net::SocketAddr;

use super::setting::{Invalid, Setting};

/// The admin port.
#[derive(Debug, Clone, clap::Args)]
pub struct AdminOptions {
    /// Address of `/metrics`, `/livez` and `/readyz`, and of the status page `/`
    #[arg(long, env = "ADMIN_ADDR", value_name = "IP:PORT", default_value = "127.0.0.1:9464")]
    admin_addr: Setting<SocketAddr>,
}

impl AdminOptions {
    /// The address, or `None` with its fault noted.
    pub fn validate(self, invalid: &mut Invalid) -> Option<SocketAddr> {
        invalid.take("ADMIN_ADDR", self.admin_addr)
    }
}
