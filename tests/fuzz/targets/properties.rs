//! The properties of a message as they stand in a frame: where its reply goes, what they say of earlier attempts, and what
//! is left of them when the message is put into another queue.

#![no_main]

use connection_worker::broker::fuzzing::{acts, decode, encode};
use connection_worker::broker::properties::Properties;
use connection_worker::broker::topology::Queues;
use connection_worker::contract::history::{ALL, History};
use connection_worker::worker::{ReplyRoutes, Route};
use libfuzzer_sys::{Corpus, fuzz_target};

/// The frame that RabbitMQ agrees to by default.
const FRAME: usize = 128 * 1024;

const OWN: [&str; 5] = ["jobs", "jobs.dead", "jobs.undeliverable", "jobs.retry.10s", "jobs.retry.1h"];

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(properties) = decode(input) else { return Corpus::Reject };
    check_route(properties.reply_to());
    let history = History::read(|name| properties.header_text(name));
    properties.deaths();
    for name in properties.header_names() {
        let text = properties.header(name);
        assert!(text.is_none() || text == properties.header_text(name).as_deref());
    }
    let shown = format!("{properties:?}");
    assert!(shown.len() < 4096, "not all of it is shown: {} bytes", shown.len());

    let moved = properties.clone().without_headers(&ALL).with_headers(history.headers());
    assert_eq!(History::read(|name| moved.header_text(name)), history);
    assert!(!acts(&moved), "the broker would act on it once more");
    let stale = |name: &str| name.starts_with("x-") || name == "CC" || name == "BCC";
    assert!(!moved.header_names().any(stale));
    for (before, after) in [
        (properties.message_id(), moved.message_id()),
        (properties.correlation_id(), moved.correlation_id()),
        (properties.reply_to(), moved.reply_to()),
        (properties.kind(), moved.kind()),
    ] {
        assert_eq!(before, after);
    }
    check_frame(&moved);
    Corpus::Keep
});

fn check_route(reply_to: Option<&str>) {
    let queues = Queues { jobs: "jobs".to_owned(), replies: "replies".to_owned() };
    let anywhere = ReplyRoutes::new(queues.clone(), &["*".to_owned()]);
    assert!(!OWN.contains(&anywhere.route(reply_to).queue()), "a reply would be taken for a job");
    let allowed = ReplyRoutes::new(queues, &["crm.*".to_owned()]);
    match allowed.route(reply_to) {
        Route::Requested(queue) => assert!(queue.starts_with("crm.")),
        Route::Default(queue) | Route::Overruled(queue) => assert_eq!(queue, "replies"),
    }
}

/// It can be sent, and says the same to whoever gets it.
fn check_frame(properties: &Properties) {
    let bytes = encode(properties).expect("it can be sent");
    assert!(bytes.len() < FRAME, "{} bytes", bytes.len());
    let read = decode(&bytes).expect("what is sent can be read");
    assert!(read.header_names().eq(properties.header_names()));
    assert_eq!(encode(&read), Some(bytes));
}
