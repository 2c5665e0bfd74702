//! `connection-worker simulate`: runs the stand-in for IMS and Flow Service.
//!
//! Turns flags into [`Options`]; what the simulator does with them is its own affair. Reads no environment.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

use super::Exit;
use crate::shutdown::Signals;
use crate::simulator::capacity::Capacity;
use crate::simulator::fault::Rule;
use crate::simulator::latency::Latency;
use crate::simulator::tls::{self, Tls, Versions};
use crate::simulator::{MAX_SECRETS, Options, Simulator};

const CONTROL_HELP: &str = r#"Point the worker at it:
  FLOW_URL=http://ADDR/data/foundation/flowservice IMS_URL=http://ADDR

With a certificate for HTTPS, say https:// and let the worker trust it, in place of the system's authorities:
  openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=simulator -addext subjectAltName=IP:127.0.0.1 \
    -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem
  connection-worker simulate --tls-cert cert.pem --tls-key key.pem
  SSL_CERT_FILE=cert.pem

Control while it runs, JSON both ways, on the same port:
  GET    /simulator/report            counts: created, distinct, duplicates, requests, …
  GET    /simulator/requests?limit=N  the last N create requests: HTTP version, headers, raw body
  GET    /simulator/faults            the rules in force
  POST   /simulator/faults            add one rule, or an array of rules, to the end of the list
  DELETE /simulator/faults[/ID]       drop all rules, or one
  POST   /simulator/tokens/expire     no access token is good any more; {"clientId":"a"}: none of a
  POST   /simulator/secrets           {"clientSecrets":["new","old"]}; with "clientId":"a" besides, of
                                      a client given with --client, where [] locks it out
  GET    /simulator/settings          {"latency":{"kind":"fixed","ms":20},"findLagMs":0,"enableAfterMs":0}
  PUT    /simulator/settings          the same, to change them
  POST   /simulator/reset             forget connections, counts and requests; rules as at start

A rule; the first that matches a request acts, and only `fault` is required:
  {"endpoint":"create","name":"acme","org":"1@AdobeOrg","rate":0.1,"count":3,"when":"after","fault":{"kind":"close"}}
  endpoint  create (default), token, find, get, test, delete, specs, other, any
  name      only creates of a connection with this name
  org       only requests for this organisation
  rate      share of the matching requests, 0 to 1
  count     acts so many times, then the rule is gone
  when      before: nothing is created; after: created, then the answer is spoilt

Faults:
  {"kind":"status","status":503}      and, as wanted, "form" (flow, gateway, ims, raw), "code",
                                      "message", "body" (raw), "contentType", "retryAfter"
  {"kind":"throttle","retryAfter":"5"}
  {"kind":"close"}  {"kind":"hang"}  {"kind":"truncate"}  {"kind":"invalid_json"}
  {"kind":"huge","bytes":1000000000}
  {"kind":"redirect","status":307,"location":"http://127.0.0.1:1/"}
  {"kind":"echo","status":400}        repeats the token and the request body in its message
  {"kind":"delay","ms":5000}
  {"kind":"expire_tokens"}
  {"kind":"clock","seconds":3600}     its clock is ahead, by the header Date
  {"kind":"state","state":"disabled"}        of a connection, with "endpoint":"get"
  {"kind":"test_result","result":false}      of a connection's test, with "endpoint":"test"
On HTTP/2, what closes the connection resets only the stream of its request.

It shows recorded credentials to whoever asks: keep it on a loopback address, and give it
no real ones."#;

/// Run a stand-in for IMS and Flow Service, to develop and test against.
#[derive(Debug, clap::Args)]
#[command(after_long_help = CONTROL_HELP)]
pub struct Args {
    /// Where to listen; port 0 takes a free port, which the first line of output tells.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,
    /// Speak HTTPS with this certificate (PEM), which those that lead to its authority may follow.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Offer HTTPS clients HTTP/1.1 only, and not HTTP/2.
    #[arg(long, requires = "tls_cert")]
    pub http1: bool,
    /// How long answers take: `20ms`, `10ms..50ms` (uniform), or `p50=200ms,p99=2s` (lognormal).
    #[arg(long, value_name = "TIME", value_parser = parse_latency, default_value = "0s")]
    pub latency: Latency,
    /// How long new connections stay out of lists.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s")]
    pub find_lag: Duration,
    /// How long new connections are `initializing` before they are `enabled`.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s")]
    pub enable_after: Duration,
    /// How many calls to Flow Service a second are borne; those beyond are answered 429 [default: any number]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub capacity: Option<u32>,
    /// Say in these answers when to come again.
    #[arg(long, requires = "capacity")]
    pub retry_after: bool,
    /// A rule of misbehaviour, as JSON; may be repeated, and the first rule that matches acts.
    #[arg(long = "fault", value_name = "JSON")]
    pub faults: Vec<Rule>,
    /// Make ids, latencies and rates repeatable.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// The client id, which is also the API key, to accept [default: any]
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// A client secret to accept; may be given twice [default: any]
    #[arg(long = "client-secret", value_name = "SECRET")]
    pub client_secrets: Vec<String>,
    /// One of several clients with its secret, in place of the two above; may be repeated, for a second secret too. A token
    /// is then good only with the API key of its client.
    #[arg(long = "client", value_name = "ID=SECRET", value_parser = parse_client, conflicts_with_all = ["client_id", "client_secrets"])]
    pub clients: Vec<(String, String)>,
    /// An access token to accept without having issued it.
    #[arg(long, value_name = "TOKEN")]
    pub access_token: Option<String>,
    /// How long issued access tokens are good.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "86399s")]
    pub token_lifetime: Duration,
    /// A sandbox that exists; may be repeated [default: every one]
    #[arg(long = "sandbox", value_name = "NAME")]
    pub sandboxes: Vec<String>,
    /// A scope that IMS knows besides those of Experience Platform; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// How many connections to keep; the oldest is forgotten for a new one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub max_connections: usize,
    /// How many create requests to keep for `GET /simulator/requests`.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    pub max_requests: usize,
}

/// Why the simulator cannot run.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a client has two secrets at most")]
    TooManySecrets,
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Args {
    fn into_options(self) -> Result<Options, Error> {
        if self.client_secrets.len() > MAX_SECRETS {
            return Err(Error::TooManySecrets);
        }
        let versions = if self.http1 { Versions::Http1 } else { Versions::Both };
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::load(certificate, key, versions)?),
            _ => None,
        };
        let mut clients: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, secret) in self.clients {
            clients.entry(id).or_default().push(secret);
        }
        if clients.values().any(|secrets| secrets.len() > MAX_SECRETS) {
            return Err(Error::TooManySecrets);
        }
        let mut scopes = Options::default().scopes;
        scopes.extend(self.scopes);
        Ok(Options {
            client_id: self.client_id,
            client_secrets: self.client_secrets,
            clients,
            tls,
            scopes,
            access_token: self.access_token,
            token_lifetime: self.token_lifetime,
            sandboxes: self.sandboxes,
            latency: self.latency,
            find_lag: self.find_lag,
            enable_after: self.enable_after,
            capacity: self.capacity.map(|per_second| Capacity { per_second, tells_when: self.retry_after }),
            faults: self.faults,
            seed: self.seed,
            max_connections: self.max_connections,
            max_requests: self.max_requests,
        })
    }
}

/// Runs the simulator until a signal ends it. The first line of standard output tells its address.
pub async fn run(args: Args) -> Exit {
    match serve(args).await {
        Ok(()) => Exit::Ok,
        Err(error) => super::complain(&error, Exit::Config),
    }
}

async fn serve(args: Args) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let addr = args.addr;
    let simulator = Simulator::bind(addr, args.into_options()?).await?;
    // Not `println!`, which panics when nobody reads; and at once, for the script that waits for the line.
    let mut stdout = io::stdout();
    writeln!(stdout, "simulator listening on {}", simulator.url())?;
    stdout.flush()?;
    let shutdown = async {
        signals.next().await;
    };
    simulator.run(shutdown).await;
    Ok(())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}

fn parse_client(text: &str) -> Result<(String, String), String> {
    let given = text.split_once('=').filter(|(id, secret)| !id.is_empty() && !secret.is_empty());
    given
        .map(|(id, secret)| (id.to_owned(), secret.to_owned()))
        .ok_or_else(|| "expected ID=SECRET".to_owned())
}

fn parse_latency(text: &str) -> Result<Latency, String> {
    let ms = |text: &str| {
        let time = parse_duration(text.trim())?;
        u64::try_from(time.as_millis()).map_err(|_| "is too long".to_owned())
    };
    if let Some((min, max)) = text.split_once("..") {
        return Ok(Latency::Uniform { min_ms: ms(min)?, max_ms: ms(max)? });
    }
    if let Some((p50, p99)) = text.strip_prefix("p50=").and_then(|rest| rest.split_once(",p99=")) {
        return Ok(Latency::Lognormal { p50_ms: ms(p50)?, p99_ms: ms(p99)? });
    }
    Ok(match ms(text)? {
        0 => Latency::None,
        ms => Latency::Fixed { ms },
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn latencies_are_read_in_every_form() {
        assert_eq!(parse_latency("0s"), Ok(Latency::None));
        assert_eq!(parse_latency("20ms"), Ok(Latency::Fixed { ms: 20 }));
        assert_eq!(parse_latency("10ms..1s"), Ok(Latency::Uniform { min_ms: 10, max_ms: 1_000 }));
        assert_eq!(parse_latency("p50=200ms,p99=2s"), Ok(Latency::Lognormal { p50_ms: 200, p99_ms: 2_000 }));
        for nonsense in ["", "20", "-1s", "1s..", "p50=1s", "p50=1s,p99=x"] {
            assert!(parse_latency(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn without_flags_the_options_are_the_default() {
        let options = Command::try_parse_from(["simulate"]).unwrap().args.into_options().unwrap();
        let default = Options::default();
        assert_eq!(options.latency, default.latency);
        assert_eq!(options.token_lifetime, default.token_lifetime);
        assert_eq!(
            (options.max_connections, options.max_requests),
            (default.max_connections, default.max_requests)
        );
        assert_eq!(options.scopes, default.scopes);
    }

    #[test]
    fn a_capacity_is_at_least_one_call_a_second() {
        let parse = |flags: &[&str]| Command::try_parse_from([&["simulate"], flags].concat());
        let given = parse(&["--capacity", "50", "--retry-after"]).unwrap().args.into_options().unwrap();
        assert_eq!(given.capacity, Some(Capacity { per_second: 50, tells_when: true }));
        for nonsense in [&["--capacity", "0"][..], &["--capacity", "-1"], &["--retry-after"]] {
            assert!(parse(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let parse = |rule: &str| Command::try_parse_from(["simulate", "--fault", rule]);
        assert!(parse(r#"{"fault":{"kind":"close"},"rate":0.5}"#).is_ok());
        for nonsense in [
            "",
            "{}",
            r#"{"fault":{"kind":"explode"}}"#,
            r#"{"fault":{"kind":"close"},"rate":2}"#,
            r#"{"fault":{"kind":"close"},"count":0}"#,
            r#"{"fault":{"kind":"close"},"colour":"red"}"#,
            r#"{"fault":{"kind":"status","status":99}}"#,
            r#"{"fault":{"kind":"throttle","retryAfter":"a\nb"}}"#,
        ] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[tokio::test]
    async fn a_third_client_secret_is_refused() {
        let given =
            ["simulate", "--addr", "127.0.0.1:0"].into_iter().chain(["--client-secret", "s"].repeat(3));
        let args = Command::try_parse_from(given).unwrap().args;
        assert!(matches!(serve(args).await, Err(Error::TooManySecrets)));
        let given = ["simulate"].into_iter().chain(["--client", "a=s"].repeat(3));
        let args = Command::try_parse_from(given).unwrap().args;
        assert!(matches!(args.into_options(), Err(Error::TooManySecrets)));
    }

    #[test]
    fn a_certificate_and_its_key_are_given_together() {
        let parse = |flags: &[&str]| Command::try_parse_from([&["simulate"], flags].concat());
        assert!(parse(&["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--http1"]).is_ok());
        for half in [&["--tls-cert", "cert.pem"][..], &["--tls-key", "key.pem"], &["--http1"]] {
            assert!(parse(half).is_err(), "{half:?}");
        }
    }

    #[test]
    fn help_lists_the_control_calls() {
        use clap::CommandFactory;
        let help = Command::command().render_long_help().to_string();
        assert!(help.contains("/simulator/report") && help.contains("expire_tokens"), "{help}");
    }
}
