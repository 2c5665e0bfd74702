//! Settings of the broker, which several commands share.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::credential::Given;
use super::setting::{Invalid, QueueName, Setting, Value};
use crate::broker::connection::{Endpoint, Identity, Mechanism, check_url};
use crate::broker::topology::Queues;

/// How to reach RabbitMQ, and the names of the queues.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct BrokerOptions {
    /// The broker: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS. Required
    #[arg(long, env = "AMQP_URL", value_name = "URL")]
    amqp_url: Option<SecretString>,
    /// A file that holds the broker's URL instead; read again for every connection
    #[arg(long, env = "AMQP_URL_FILE", value_name = "FILE")]
    amqp_url_file: Option<PathBuf>,
    /// How to log in: `plain` (user and password of the URL) or `external` (client certificate)
    #[arg(long, env = "AMQP_AUTH", value_name = "MECHANISM", default_value = "plain")]
    amqp_auth: Setting<Mechanism>,
    /// Certificates (PEM) to trust besides the system's, for a broker with a private CA
    #[arg(long, env = "AMQP_CA_FILE", value_name = "FILE")]
    amqp_ca_file: Option<PathBuf>,
    /// The worker's own certificate (PEM)
    #[arg(long, env = "AMQP_CERT_FILE", value_name = "FILE")]
    amqp_cert_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, env = "AMQP_KEY_FILE", value_name = "FILE")]
    amqp_key_file: Option<PathBuf>,
    /// Heartbeat interval; a silent broker is noticed after twice this time
    #[arg(long, env = "AMQP_HEARTBEAT", value_name = "DURATION", default_value = "15s")]
    amqp_heartbeat: Setting<Duration>,
    /// Deadline of connecting and of every other step with the broker
    #[arg(long, env = "AMQP_TIMEOUT", value_name = "DURATION", default_value = "10s")]
    amqp_timeout: Setting<Duration>,
    #[command(flatten)]
    queues: QueueOptions,
}

/// The names of the queues.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct QueueOptions {
    /// The queue of jobs; the queues for parked messages are named after it
    #[arg(long, env = "JOB_QUEUE", value_name = "NAME", default_value = "connections.jobs")]
    job_queue: Setting<QueueName>,
    /// The queue of replies to jobs that name no `reply_to`
    #[arg(long, env = "REPLY_QUEUE", value_name = "NAME", default_value = "connections.replies")]
    reply_queue: Setting<QueueName>,
}

impl Value for Mechanism {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "external" => Ok(Self::External),
            _ => Err("expected plain or external".to_owned()),
        }
    }
}

impl BrokerOptions {
    /// The settings, or `None` with every fault noted.
    pub fn validate(self, invalid: &mut Invalid) -> Option<(Endpoint, Queues)> {
        let url = Given::read(["AMQP_URL", "AMQP_URL_FILE"], self.amqp_url, self.amqp_url_file, invalid)
            .required("AMQP_URL", invalid)
            .and_then(|(source, url)| match check_url(url.expose_secret()) {
                Ok(()) => Some(source),
                Err(error) => {
                    invalid.add("AMQP_URL", error.to_string());
                    None
                }
            });
        let mechanism = invalid.take("AMQP_AUTH", self.amqp_auth);
        for (name, file) in [
            ("AMQP_CA_FILE", &self.amqp_ca_file),
            ("AMQP_CERT_FILE", &self.amqp_cert_file),
            ("AMQP_KEY_FILE", &self.amqp_key_file),
        ] {
            // Without its path: somebody may have put the key itself there.
            if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
                invalid.add(name, format!("cannot read the file: {error}"));
            }
        }
        let identity = match (self.amqp_cert_file, self.amqp_key_file) {
            (Some(certificate_file), Some(key_file)) => Some(Identity { certificate_file, key_file }),
            (Some(_), None) => {
                invalid.add("AMQP_KEY_FILE", "missing, and AMQP_CERT_FILE is given");
                None
            }
            (None, Some(_)) => {
                invalid.add("AMQP_CERT_FILE", "missing, and AMQP_KEY_FILE is given");
                None
            }
            (None, None) => {
                if mechanism == Some(Mechanism::External) {
                    invalid.add("AMQP_AUTH", "external needs AMQP_CERT_FILE and AMQP_KEY_FILE");
                }
                None
            }
        };
        let second = Duration::from_secs(1);
        let heartbeat = invalid.take_duration("AMQP_HEARTBEAT", self.amqp_heartbeat, second..=second * 300);
        let timeout = invalid.take_duration("AMQP_TIMEOUT", self.amqp_timeout, second / 10..=second * 300);
        let queues = self.queues.validate(invalid);
        let endpoint = Endpoint {
            url: url?,
            ca_file: self.amqp_ca_file,
            identity,
            mechanism: mechanism?,
            heartbeat: heartbeat?,
            timeout: timeout?,
        };
        Some((endpoint, queues?))
    }
}

impl QueueOptions {
    /// The names, or `None` with every fault noted.
    pub fn validate(self, invalid: &mut Invalid) -> Option<Queues> {
        let jobs = invalid.take("JOB_QUEUE", self.job_queue);
        let replies = invalid.take("REPLY_QUEUE", self.reply_queue);
        let queues = Queues { jobs: jobs?.0, replies: replies?.0 };
        if queues.is_own(&queues.replies) {
            invalid.add("REPLY_QUEUE", "expected another queue than JOB_QUEUE and those named after it");
        }
        Some(queues)
    }
}
