//! Settings of logging, which several commands share.

use super::setting::{Invalid, Setting, Value};
use crate::telemetry::{LogFormat, check_filter};

/// Options of logging.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logs")]
pub struct LogOptions {
    /// `text` or `json`; unless set, text on a terminal and JSON elsewhere
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<Setting<LogFormat>>,
    /// What is logged: a level, or directives such as `connection_worker=debug`
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    rust_log: String,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The format; by default it depends on the terminal.
    pub format: Option<LogFormat>,
    /// The filter, in the syntax of `RUST_LOG`.
    pub filter: String,
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

impl LogOptions {
    /// The settings, or `None` with every fault noted.
    pub fn validate(self, invalid: &mut Invalid) -> Option<LogSettings> {
        let format = invalid.take_optional("LOG_FORMAT", self.log_format);
        check_filter(&self.rust_log).map_err(|error| invalid.add("RUST_LOG", error.to_string())).ok()?;
        Some(LogSettings { format, filter: self.rust_log })
    }
}
