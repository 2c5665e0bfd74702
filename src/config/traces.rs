//! Settings of traces: OpenTelemetry's own variables, with their own rules
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). Durations are whole milliseconds.
//!
//! While nothing is exported, none of them is looked at: they may be there for other programs.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::setting::{HttpUrl, Invalid, Setting, Value};
use crate::traces::{Batches, Headers, TraceSettings};

/// Where traces are exported to, and which.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Traces")]
#[expect(clippy::struct_field_names, reason = "the flags are called like OpenTelemetry's variables")]
pub(super) struct TraceOptions {
    /// Base address of an OpenTelemetry collector, to which `/v1/traces` is added. Without it no traces are exported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otel_exporter_otlp_endpoint: Option<Setting<HttpUrl>>,
    /// Whole address for traces, instead
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    otel_exporter_otlp_traces_endpoint: Option<Setting<HttpUrl>>,
    /// Headers for the collector, mostly credentials: `name=value` pairs with commas between them, values percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", value_name = "PAIRS")]
    otel_exporter_otlp_headers: Option<SecretString>,
    /// The same for traces, instead
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", value_name = "PAIRS")]
    otel_exporter_otlp_traces_headers: Option<SecretString>,
    /// How long the collector may take for a batch, in milliseconds; unless set, 10000
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", value_name = "MS")]
    otel_exporter_otlp_timeout: Option<Setting<u32>>,
    /// The same for traces, instead
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", value_name = "MS")]
    otel_exporter_otlp_traces_timeout: Option<Setting<u32>>,
    /// Only `http/protobuf` is spoken
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", value_name = "PROTOCOL")]
    otel_exporter_otlp_protocol: Option<Setting<Protocol>>,
    /// The same for traces, instead
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", value_name = "PROTOCOL")]
    otel_exporter_otlp_traces_protocol: Option<Setting<Protocol>>,
    /// `otlp`, or `none` to export no traces
    #[arg(long, env = "OTEL_TRACES_EXPORTER", value_name = "NAME", default_value = "otlp")]
    otel_traces_exporter: Setting<UsesOtlp>,
    /// `true` to export nothing, whatever else is set
    #[arg(long, env = "OTEL_SDK_DISABLED", value_name = "BOOLEAN", default_value = "false")]
    otel_sdk_disabled: Setting<Disabled>,
    /// What the worker calls itself in traces
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", default_value = env!("CARGO_PKG_NAME"))]
    otel_service_name: String,
    /// What else it tells about itself, such as `deployment.environment.name=prod`: pairs as in the headers
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", value_name = "PAIRS")]
    otel_resource_attributes: Option<String>,
    /// Which traces are exported: `always_on`, `always_off` or `traceidratio`, each also with `parentbased_` before it, which
    /// leaves the decision to the sender where there is one
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_name = "NAME", default_value = "parentbased_always_on")]
    otel_traces_sampler: String,
    /// The share for `traceidratio`, from 0 to 1; unless set, 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE")]
    otel_traces_sampler_arg: Option<Setting<Share>>,
    /// Longest pause between two batches, in milliseconds
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", value_name = "MS", default_value = "5000")]
    otel_bsp_schedule_delay: Setting<u32>,
    /// How long a batch may take in all, in milliseconds; the lower of the two deadlines counts
    #[arg(long, env = "OTEL_BSP_EXPORT_TIMEOUT", value_name = "MS", default_value = "30000")]
    otel_bsp_export_timeout: Setting<u32>,
    /// How many spans may wait; further ones are dropped and counted
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", value_name = "NUMBER", default_value = "2048")]
    otel_bsp_max_queue_size: Setting<usize>,
    /// How many spans are sent at a time
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", value_name = "NUMBER", default_value = "512")]
    otel_bsp_max_export_batch_size: Setting<usize>,
}

/// What OTLP is spoken over.
#[derive(Debug, Clone, Copy)]
struct Protocol;

impl Value for Protocol {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "http/protobuf" => Ok(Self),
            _ => Err("only http/protobuf is spoken: expected that, and the address of the collector's HTTP port (4318 unless it was changed)".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct UsesOtlp(bool);

impl Value for UsesOtlp {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "otlp" => Ok(Self(true)),
            "none" => Ok(Self(false)),
            _ => Err("expected otlp or none".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Disabled(bool);

impl Value for Disabled {
    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Share(f64);

impl Value for Share {
    fn read(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| "expected a number from 0 to 1 such as 0.1".to_owned())
    }
}

/// More would be a mistake, and memory.
const LARGEST_QUEUE: usize = 1_000_000;

/// An hour.
const LONGEST: u32 = 3_600_000;

impl TraceOptions {
    /// The settings; `None` if no traces are exported, and with faults noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<TraceSettings> {
        let given =
            self.otel_exporter_otlp_endpoint.is_some() || self.otel_exporter_otlp_traces_endpoint.is_some();
        if !given {
            return None;
        }
        let disabled = invalid.take("OTEL_SDK_DISABLED", self.otel_sdk_disabled.clone())?;
        let exporter = invalid.take("OTEL_TRACES_EXPORTER", self.otel_traces_exporter.clone())?;
        if disabled.0 || !exporter.0 {
            return None;
        }
        self.check_protocols(invalid);
        let endpoint = self.endpoint(invalid);
        let headers = self.headers(invalid);
        let timeout = self.timeout(invalid);
        let resource = self.resource(invalid);
        let sampler = self.sampler(invalid);
        let batches = self.batches(invalid);
        Some(TraceSettings {
            endpoint: endpoint?,
            headers: headers?,
            timeout: timeout?,
            resource: resource?,
            sampler: sampler?,
            batches: batches?,
        })
    }

    fn check_protocols(&self, invalid: &mut Invalid) {
        let (all, traces) =
            (self.otel_exporter_otlp_protocol.clone(), self.otel_exporter_otlp_traces_protocol.clone());
        match traces {
            Some(traces) => drop(invalid.take("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", traces)),
            None => drop(invalid.take_optional("OTEL_EXPORTER_OTLP_PROTOCOL", all)),
        }
    }

    /// What is given for traces alone is the whole address.
    fn endpoint(&self, invalid: &mut Invalid) -> Option<Url> {
        if let Some(endpoint) = self.otel_exporter_otlp_traces_endpoint.clone() {
            return invalid.take("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint).map(|url| url.0);
        }
        let base = self.otel_exporter_otlp_endpoint.clone();
        let HttpUrl(mut url) = invalid.take_optional("OTEL_EXPORTER_OTLP_ENDPOINT", base)?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "traces"]);
        Some(url)
    }

    fn headers(&self, invalid: &mut Invalid) -> Option<Headers> {
        let (name, text) = match (&self.otel_exporter_otlp_traces_headers, &self.otel_exporter_otlp_headers) {
            (Some(traces), _) => ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", traces.expose_secret()),
            (None, Some(all)) => ("OTEL_EXPORTER_OTLP_HEADERS", all.expose_secret()),
            (None, None) => return Some(Headers::default()),
        };
        let mut headers = Headers::default();
        for (key, value) in pairs(name, text, invalid)? {
            headers.set(&key, &value).map_err(|error| invalid.add(name, error.to_string())).ok()?;
        }
        Some(headers)
    }

    fn timeout(&self, invalid: &mut Invalid) -> Option<Duration> {
        let mut take = |name, setting: Setting<u32>| invalid.take_number(name, setting, 1..=LONGEST);
        let batch = take("OTEL_BSP_EXPORT_TIMEOUT", self.otel_bsp_export_timeout.clone());
        let call = match (&self.otel_exporter_otlp_traces_timeout, &self.otel_exporter_otlp_timeout) {
            (Some(traces), _) => take("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", traces.clone()),
            (None, Some(all)) => take("OTEL_EXPORTER_OTLP_TIMEOUT", all.clone()),
            (None, None) => Some(10_000),
        };
        Some(Duration::from_millis(batch?.min(call?).into()))
    }

    /// Who the worker is. Each process has an id of its own.
    fn resource(&self, invalid: &mut Invalid) -> Option<Vec<(String, String)>> {
        let own = [
            ("service.instance.id", Uuid::new_v4().to_string()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("telemetry.sdk.language", "rust".to_owned()),
            ("telemetry.sdk.name", "opentelemetry".to_owned()),
        ];
        let given = self.otel_resource_attributes.as_deref().unwrap_or_default();
        let given = pairs("OTEL_RESOURCE_ATTRIBUTES", given, invalid)?;
        // Of two that are called the same, the later counts; a name that was asked for stands above all.
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        let name = ("service.name".to_owned(), self.otel_service_name.clone());
        let asked = self.otel_service_name != env!("CARGO_PKG_NAME");
        let (first, last) = if asked { (None, Some(name)) } else { (Some(name), None) };
        Some(first.into_iter().chain(own).chain(given).chain(last).collect())
    }

    fn sampler(&self, invalid: &mut Invalid) -> Option<Sampler> {
        let share = match self.otel_traces_sampler_arg.clone() {
            Some(share) if self.otel_traces_sampler.ends_with("traceidratio") => {
                invalid.take("OTEL_TRACES_SAMPLER_ARG", share)?
            }
            _ => Share(1.0),
        };
        let (parent_based, root) = match self.otel_traces_sampler.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, self.otel_traces_sampler.as_str()),
        };
        let root = match root {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(share.0),
            _ => {
                let what = "expected always_on, always_off or traceidratio, or one of them with parentbased_ before it";
                invalid.add("OTEL_TRACES_SAMPLER", what);
                return None;
            }
        };
        Some(if parent_based { Sampler::ParentBased(Box::new(root)) } else { root })
    }

    fn batches(&self, invalid: &mut Invalid) -> Option<Batches> {
        let delay =
            invalid.take_number("OTEL_BSP_SCHEDULE_DELAY", self.otel_bsp_schedule_delay.clone(), 1..=LONGEST);
        let queue = invalid.take_number(
            "OTEL_BSP_MAX_QUEUE_SIZE",
            self.otel_bsp_max_queue_size.clone(),
            1..=LARGEST_QUEUE,
        );
        let size = invalid.take_number(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            self.otel_bsp_max_export_batch_size.clone(),
            1..=queue.unwrap_or(LARGEST_QUEUE),
        );
        Some(Batches { queue: queue?, size: size?, delay: Duration::from_millis(delay?.into()) })
    }
}

/// `name=value` pairs as in W3C Baggage, without its properties. An empty part is none.
fn pairs(name: &'static str, text: &str, invalid: &mut Invalid) -> Option<Vec<(String, String)>> {
    let read = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pairs: Option<Vec<_>> = parts.map(read).collect();
    if pairs.is_none() {
        invalid.add(name, "expected name=value pairs with commas between them, values percent-encoded");
    }
    pairs
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        traces: TraceOptions,
    }

    fn read(flags: &[&str]) -> (Option<TraceSettings>, String) {
        let mut invalid = Invalid::default();
        let options = Options::try_parse_from([&["x"], flags].concat()).unwrap();
        (options.traces.validate(&mut invalid), invalid.to_string())
    }

    const ON: &str = "--otel-exporter-otlp-endpoint=http://collector:4318/otlp/";

    #[test]
    fn without_an_endpoint_nothing_is_looked_at() {
        let wrong = ["--otel-traces-sampler=xray", "--otel-exporter-otlp-protocol=grpc"];
        for off in [&[][..], &[ON, "--otel-sdk-disabled=TRUE"], &[ON, "--otel-traces-exporter=none"]] {
            let (settings, faults) = read(&[off, &wrong].concat());
            assert!(settings.is_none(), "{off:?}");
            assert!(!faults.contains("OTEL_"), "{faults}");
        }
    }

    #[test]
    fn what_is_given_for_traces_counts_before_what_is_given_for_all() {
        let all = [ON, "--otel-exporter-otlp-timeout=7000", "--otel-exporter-otlp-protocol=http/protobuf"];
        let settings = read(&all).0.unwrap();
        assert_eq!(settings.endpoint.as_str(), "http://collector:4318/otlp/v1/traces");
        assert_eq!(settings.timeout, Duration::from_secs(7));
        let traces = [
            "--otel-exporter-otlp-traces-endpoint=https://other/spans",
            "--otel-exporter-otlp-traces-timeout=60000",
            "--otel-exporter-otlp-traces-headers=x=1",
            "--otel-exporter-otlp-headers=nonsense",
        ];
        let settings = read(&[&all[..], &traces].concat()).0.unwrap();
        assert_eq!(settings.endpoint.as_str(), "https://other/spans");
        assert_eq!(settings.timeout, Duration::from_secs(30), "the deadline of a batch is lower");
        assert_eq!(format!("{:?}", settings.headers), r#"{"x"}"#);
    }

    #[test]
    fn the_worker_is_called_what_it_is_told() {
        let named = |flags: &[&str]| {
            let resource = read(&[&[ON], flags].concat()).0.unwrap().resource;
            resource.into_iter().rfind(|(key, _)| key == "service.name").unwrap().1
        };
        let attributes = "--otel-resource-attributes=service.name=b%20c, deployment.environment.name = prod";
        assert_eq!(named(&[]), "connection-worker");
        assert_eq!(named(&[attributes]), "b c");
        assert_eq!(named(&[attributes, "--otel-service-name=d"]), "d");
    }

    #[test]
    fn faults_are_told_by_name_and_without_the_value() {
        let canary = "s3cr3t-canary";
        let (settings, faults) = read(&[
            ON,
            "--otel-exporter-otlp-protocol=grpc",
            &format!("--otel-exporter-otlp-headers={canary}"),
            &format!("--otel-resource-attributes=a={canary},{canary}"),
            "--otel-traces-sampler=xray",
            "--otel-bsp-max-queue-size=10",
            "--otel-bsp-max-export-batch-size=11",
            "--otel-bsp-schedule-delay=soon",
            "--otel-exporter-otlp-timeout=0",
        ]);
        assert!(settings.is_none());
        for name in [
            "OTEL_EXPORTER_OTLP_PROTOCOL (--otel-exporter-otlp-protocol): only http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_TRACES_SAMPLER (",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ] {
            assert!(faults.contains(name), "{name} is missing in {faults}");
        }
        assert!(!faults.contains(canary), "{faults}");
        for share in ["1.5", "-1", "half", "NaN"] {
            let arg = format!("--otel-traces-sampler-arg={share}");
            let (_, faults) = read(&[ON, "--otel-traces-sampler=parentbased_traceidratio", &arg]);
            assert!(faults.contains("OTEL_TRACES_SAMPLER_ARG"), "{share}: {faults}");
        }
        for header in ["a b=1", "a=%0d%0ab"] {
            let (_, faults) = read(&[ON, &format!("--otel-exporter-otlp-headers={header}")]);
            assert!(faults.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{header}: {faults}");
        }
    }
}
