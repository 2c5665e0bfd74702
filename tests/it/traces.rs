//! Traces: one from the sender through every call and wait to the reply, exported where somebody wants it, and passed on
//! where nobody does.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::PATIENCE;
use crate::support::broker::{Broker, Message};
use crate::support::collector::{Collector, Seen};
use crate::support::command::run;
use crate::support::corner::{BOLD, Corner, SOON, job, job_named};
use crate::support::worker::WorkerProcess;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Spans are exported at once, or nearly so.
const PROMPT: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

async fn exporting(corner: &Corner, collector: &Collector, env: &[(&str, &str)]) -> WorkerProcess {
    let to = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), PROMPT];
    corner.worker(&[&to[..], &SOON, env].concat()).await
}

/// A job with trace headers.
async fn send(corner: &Corner, job: &Value, traceparent: &str, tracestate: Option<&str>) {
    let mut headers = FieldTable::default();
    let both = [("traceparent", Some(traceparent)), ("tracestate", tracestate)];
    for (name, value) in both.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default()
        .with_message_id("message-1".into())
        .with_correlation_id("correlation-1".into())
        .with_headers(headers);
    corner.submit_raw(properties, job.to_string().as_bytes()).await;
}

/// The trace headers of a reply.
fn of_reply(reply: &Message) -> (Option<String>, Option<String>) {
    (reply.header("traceparent"), reply.header("tracestate"))
}

/// The trace headers of each create, as Flow Service got them.
async fn of_creates(corner: &Corner) -> Vec<(Option<String>, Option<String>)> {
    let header = |request: &Value, name: &str| request["headers"][name].as_str().map(str::to_owned);
    let requests = corner.sim.requests().await;
    requests.iter().map(|request| (header(request, "traceparent"), header(request, "tracestate"))).collect()
}

/// The trace's id in a `traceparent`.
fn trace_of(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap()
}

/// The spans of creates.
fn creates(spans: &[Seen]) -> Vec<&Seen> {
    spans.iter().filter(|span| span.attribute("url.full").ends_with("/connections")).collect()
}

#[tokio::test]
async fn a_job_is_followed_from_its_sender_to_its_reply() {
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    let env = [("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%20bed")];
    let worker = exporting(&corner, &collector, &env).await;
    corner
        .sim
        .fault(json!({ "name": "slow", "count": 1, "fault": { "kind": "throttle", "retryAfter": "0" } }))
        .await;
    send(&corner, &job_named("followed", "slow"), SAMPLED, Some("vendor=1")).await;
    let reply = corner.reply().await;

    // The call to IMS, two creates, the reply, and around them the job.
    let spans = collector.trace(TRACE, 5).await;
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let [process] = spans.iter().filter(|span| span.kind == SpanKind::Consumer).collect::<Vec<_>>()[..]
    else {
        panic!("{spans:#?}")
    };
    let queue = corner.jobs_queue();
    assert_eq!((&process.name, process.parent.as_str()), (&format!("process {queue}"), SENDER));
    let size = job_named("followed", "slow").to_string().len().to_string();
    for (name, value) in [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.type", "process"),
        ("messaging.operation.name", "process"),
        ("messaging.destination.name", &queue),
        ("messaging.message.id", "message-1"),
        ("messaging.message.conversation_id", "correlation-1"),
        ("messaging.message.body.size", &size),
        ("connection_worker.job.id", "followed"),
        ("connection_worker.job.outcome", "created"),
        ("connection_worker.job.redelivered", "false"),
    ] {
        assert_eq!(process.attribute(name), value, "{name} of {process:#?}");
    }
    let [(event, retry)] = &process.events[..] else { panic!("{process:#?}") };
    assert_eq!((event.as_str(), retry["error.type"].as_str()), ("retry", "throttled"));
    assert_eq!((retry["connection_worker.retry.verdict"].as_str(), process.failed), ("retry", false));

    assert!(spans.iter().all(|span| span.id == process.id || span.parent == process.id), "{spans:#?}");
    let [refused, created] = creates(&spans)[..] else { panic!("{spans:#?}") };
    assert_eq!((refused.name.as_str(), refused.kind), ("POST", SpanKind::Client));
    assert_eq!(
        (refused.attribute("http.response.status_code"), refused.attribute("error.type")),
        ("429", "429")
    );
    assert_eq!((refused.attribute("http.request.resend_count"), refused.failed), ("", true));
    assert_eq!(
        (created.attribute("http.response.status_code"), created.attribute("error.type")),
        ("201", "")
    );
    assert_eq!((created.attribute("http.request.resend_count"), created.failed), ("1", false));
    assert_eq!(
        (created.attribute("http.request.method"), created.attribute("server.address")),
        ("POST", "127.0.0.1")
    );
    let sent = |span: &Seen| (Some(span.as_parent()), Some("vendor=1".to_owned()));
    assert_eq!(
        of_creates(&corner).await,
        [sent(refused), sent(created)],
        "Flow Service can go on with the trace"
    );

    let [published] = spans.iter().filter(|span| span.kind == SpanKind::Producer).collect::<Vec<_>>()[..]
    else {
        panic!("{spans:#?}")
    };
    assert_eq!(published.name, format!("send {}", corner.reply_queue()));
    assert_eq!(of_reply(&reply), sent(published), "and so can whoever gets the reply");

    let resource = &collector.resources()[0];
    assert_eq!(resource["service.name"], "connection-worker");
    assert_eq!(resource["deployment.environment.name"], "test bed");
    let log = worker.stderr();
    let done = log.lines().find(|line| line.contains("job done")).unwrap();
    assert!(done.contains(&format!(r#""trace_id":"{TRACE}""#)), "{done}");
    worker.wait_count(r#"connection_worker_trace_spans_total{result="exported"}"#, 5, PATIENCE).await;
    corner.end(worker).await;
}

#[tokio::test]
async fn a_job_that_names_no_trace_begins_one() {
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    let worker = exporting(&corner, &collector, &[]).await;
    let mut traces = BTreeSet::new();
    for bad in ["00-1", "", &SAMPLED.to_uppercase(), &format!("{SAMPLED}\r\nx-evil: 1")] {
        send(&corner, &job(&format!("bad-{}", traces.len())), bad, Some("vendor=1")).await;
        let (traceparent, tracestate) = of_reply(&corner.reply().await);
        let traceparent = traceparent.unwrap();
        assert_eq!((traceparent.len(), tracestate), (SAMPLED.len(), None), "{bad:?}");
        let spans = collector.trace(trace_of(&traceparent), 3).await;
        let root = spans.iter().find(|span| span.kind == SpanKind::Consumer).unwrap();
        assert_eq!(root.parent, "", "{bad:?}");
        traces.insert(root.trace.clone());
    }
    assert!(traces.len() == 4 && !traces.contains(TRACE), "{traces:?}");
    let sent: BTreeSet<String> = of_creates(&corner)
        .await
        .into_iter()
        .map(|(parent, _)| trace_of(&parent.unwrap()).to_owned())
        .collect();
    assert_eq!(sent, traces);
    corner.end(worker).await;
}

#[tokio::test]
async fn what_its_sender_does_not_sample_is_not_exported() {
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    let worker = exporting(&corner, &collector, &[]).await;
    send(&corner, &job("unsampled"), NOT_SAMPLED, None).await;
    let (traceparent, _) = of_reply(&corner.reply().await);
    let traceparent = traceparent.unwrap();
    assert_eq!(trace_of(&traceparent), TRACE);
    assert!(traceparent.ends_with("-00"), "those that come after do not sample it either: {traceparent}");
    let (sent, _) = of_creates(&corner).await.remove(0);
    assert!(sent.unwrap().starts_with(&format!("00-{TRACE}-")));
    let other = SAMPLED.replace(TRACE, &TRACE.replace('4', "5"));
    send(&corner, &job("sampled"), &other, None).await;
    collector.trace(trace_of(&other), 3).await;
    assert!(collector.spans().iter().all(|span| span.trace != TRACE), "{:#?}", collector.spans());
    corner.end(worker).await;
}

#[tokio::test]
async fn a_job_that_waits_in_a_queue_goes_on_with_its_trace() {
    if !Broker::shared().await.is_ours() {
        return; // its retry queues take their time
    }
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    corner.declare_short_retries("quorum", Duration::from_millis(300)).await;
    let worker = exporting(&corner, &collector, &BOLD).await;
    corner.sim.fault(json!({ "count": 1, "fault": { "kind": "throttle", "retryAfter": "9" } })).await;
    corner.submit(&job("waits")).await;
    let (traceparent, _) = of_reply(&corner.reply().await);
    // IMS, a create, a message, a delivery; a look, a create, a message, a delivery.
    let spans = collector.trace(trace_of(&traceparent.unwrap()), 8).await;
    assert_eq!(spans.len(), 8, "{spans:#?}");
    let delivery = |parent: &str| {
        let mut deliveries = spans.iter().filter(|span| span.kind == SpanKind::Consumer);
        deliveries.find(|span| span.parent == parent).unwrap_or_else(|| panic!("{spans:#?}"))
    };
    let name = format!("send {}", corner.retry_queue("10s"));
    let retry = spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{spans:#?}"));
    let (first, second) = (delivery(""), delivery(&retry.id));
    assert_eq!(retry.parent, first.id);
    assert_eq!(first.attribute("connection_worker.job.outcome"), "deferred");
    assert_eq!(second.attribute("connection_worker.job.outcome"), "created");
    corner.end(worker).await;
}

#[tokio::test]
async fn a_collector_that_hangs_hurts_no_job_and_no_end() {
    let corner = Corner::new().await;
    // Nobody ever accepts.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3600000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
        PROMPT,
    ];
    let mut worker = corner.worker(&env).await;
    corner.submit_all((0..20).map(|n| job(&format!("job-{n}")))).await;
    corner.replies(20).await;
    corner.settled().await;
    // Of 61 spans and more four may wait.
    worker.wait_count(r#"connection_worker_trace_spans_total{result="dropped"}"#, 50, PATIENCE).await;
    assert_eq!(worker.count(r#"connection_worker_trace_spans_total{result="exported"}"#).await, 0);
    worker.signal(Signal::SIGTERM);
    assert!(worker.wait(PATIENCE).await.success());
    corner.remove().await;
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once() {
    let corner = Corner::new().await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        PROMPT,
    ];
    let mut worker = corner.worker(&env).await;
    for n in 1..=3 {
        corner.ask(&job(&format!("job-{n}"))).await;
        worker.wait_count(r#"connection_worker_trace_spans_total{result="lost"}"#, 3 * n, PATIENCE).await;
    }
    worker.signal(Signal::SIGTERM);
    assert!(worker.wait(PATIENCE).await.success());
    assert_eq!(worker.logs().matches("spans of traces are lost").count(), 1, "once a minute");
    corner.remove().await;
}

#[tokio::test]
async fn a_batch_is_sent_again_if_the_collector_may_take_it_later() {
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    let env = [("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b,authorization=Bearer%20key")];
    collector.refuse(503);
    let worker = exporting(&corner, &collector, &env).await;
    send(&corner, &job("again"), SAMPLED, None).await;
    collector.trace(TRACE, 4).await;
    assert!(collector.headers().len() >= 2, "the refused one and the others");
    for headers in collector.headers() {
        assert_eq!(
            (&headers["x-tenant"], &headers["authorization"]),
            (&"a b".parse().unwrap(), &"Bearer key".parse().unwrap())
        );
    }
    assert_eq!(worker.count(r#"connection_worker_trace_spans_total{result="lost"}"#).await, 0);
    collector.reject(1);
    send(&corner, &job("rejected"), SAMPLED, None).await;
    worker.wait_count(r#"connection_worker_trace_spans_total{result="lost"}"#, 1, PATIENCE).await;
    corner.end(worker).await;
}

#[tokio::test]
async fn without_a_collector_traces_are_passed_on() {
    let (corner, collector) = (Corner::new().await, Collector::start().await);
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), ("OTEL_SDK_DISABLED", "true"), PROMPT];
    for (env, round) in [(&[][..], "off"), (&env[..], "disabled")] {
        let worker = corner.worker(env).await;
        let newer = format!("01{}-more", SAMPLED.strip_prefix("00").unwrap());
        // A job that was done before would be answered from memory.
        for (n, traceparent) in [SAMPLED, NOT_SAMPLED, &newer].into_iter().enumerate() {
            send(&corner, &job(&format!("{round}-good-{n}")), traceparent, Some("vendor=a b")).await;
            let expected = (Some(traceparent.to_owned()), Some("vendor=a b".to_owned()));
            assert_eq!(of_reply(&corner.reply().await), expected);
            assert_eq!(of_creates(&corner).await.last(), Some(&expected));
        }
        let line = worker.stderr().lines().find(|line| line.contains("job done")).map(str::to_owned);
        assert!(line.unwrap().contains(TRACE), "the log names the trace all the same");
        for (n, bad) in ["00-1", "", &format!("{SAMPLED}\r\nx-evil: 1")].into_iter().enumerate() {
            send(&corner, &job(&format!("{round}-bad-{n}")), bad, Some("vendor=1")).await;
            assert_eq!(of_reply(&corner.reply().await), (None, None), "{bad:?}");
            assert_eq!(of_creates(&corner).await.last(), Some(&(None, None)), "{bad:?}");
        }
        corner.submit(&job(&format!("{round}-none"))).await;
        assert_eq!(of_reply(&corner.reply().await), (None, None));
        corner.settled().await;
        drop(worker);
    }
    assert_eq!(collector.headers().len(), 0, "nobody knocked");
    corner.remove().await;
}

#[tokio::test]
async fn what_cannot_be_exported_to_is_a_fault_of_the_configuration() {
    let env = [
        ("AMQP_URL", "amqp://127.0.0.1:1"),
        ("ACCESS_TOKEN", "token"),
        ("API_KEY", "key"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let ran = run(&["run"], &env).await;
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(format!("{ran:?}").contains("only http/protobuf is spoken"), "{ran:?}");
}
