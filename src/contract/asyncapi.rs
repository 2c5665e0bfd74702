//! The contract as an AsyncAPI 3.0 document: which queue carries which message, and what answers what.
//!
//! Said from the worker's side, as AsyncAPI has it: the worker receives jobs and sends replies. The schemas of the
//! messages are those of [`super::schema`], in the draft that AsyncAPI's own schema dialect builds on.

mod messages;

use serde_json::{Value, json};

/// The version of the AMQP bindings (asyncapi/bindings, `amqp/README.md`).
const BINDING: &str = "0.3.0";

/// The queues that senders have to do with.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Where jobs come from.
    pub jobs: &'a str,
    /// Where replies go that name no other place.
    pub replies: &'a str,
}

/// The document.
pub fn document(names: Names<'_>) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "connection-worker",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Takes connection-creation jobs from RabbitMQ, creates each connection with Adobe Experience \
                Platform's Flow Service, and answers with the connection's id and etag, or with an error. Delivery is at \
                least once: a job can be answered more than once, always with the same `message_id`.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "rabbitmq": server() },
        "channels": channels(names),
        "operations": operations(),
        "components": {
            "messages": messages::all(),
            "schemas": messages::schemas(),
            "securitySchemes": {
                "password": { "type": "userPassword", "description": "User and password of the broker's address." },
                "certificate": { "type": "X509", "description": "A client certificate (SASL EXTERNAL)." },
            },
        },
    })
}

fn server() -> Value {
    json!({
        "host": "{host}",
        "pathname": "/{vhost}",
        "protocol": "amqps",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ 3.10 to 4.x, over TLS or not.",
        "variables": {
            "host": { "default": "localhost:5671", "description": "Host and port of the broker." },
            "vhost": { "default": "%2f", "description": "The virtual host, percent-encoded." },
        },
        "security": [
            { "$ref": "#/components/securitySchemes/password" },
            { "$ref": "#/components/securitySchemes/certificate" },
        ],
    })
}

fn channels(Names { jobs, replies }: Names<'_>) -> Value {
    let message = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
    let servers = json!([{ "$ref": "#/servers/rabbitmq" }]);
    json!({
        "jobs": {
            "address": jobs,
            "title": "The job queue",
            "description": "Published to by way of the default exchange, with the queue's name as the routing key: \
                persistent, mandatory, and with publisher confirms.",
            "servers": servers,
            "messages": { "job": message("job") },
            "bindings": { "amqp": queue(jobs) },
        },
        "replies": {
            "address": replies,
            "title": "The reply queue",
            "description": "Replies to jobs that name no `reply_to`, or one that the worker does not allow.",
            "servers": servers,
            "messages": { "created": message("created"), "failed": message("failed") },
            "bindings": { "amqp": queue(replies) },
        },
        "requestedReplies": {
            "address": null,
            "title": "The queue that a job asks for",
            "description": "Replies to jobs that name a queue in the AMQP property `reply_to`: a durable queue of the \
                sender's own, or direct reply-to, which delivers at most once.",
            "servers": servers,
            "messages": { "created": message("created"), "failed": message("failed") },
            "bindings": { "amqp": default_exchange() },
        },
    })
}

fn queue(name: &str) -> Value {
    json!({
        "is": "queue",
        "queue": { "name": name, "durable": true, "exclusive": false, "autoDelete": false },
        "bindingVersion": BINDING,
    })
}

/// For a queue whose name only the job knows: it is the routing key.
fn default_exchange() -> Value {
    json!({
        "is": "routingKey",
        "exchange": { "name": "", "type": "default", "durable": true, "autoDelete": false },
        "bindingVersion": BINDING,
    })
}

fn operations() -> Value {
    let channel = |name: &str| json!({ "$ref": format!("#/channels/{name}") });
    let message =
        |channel: &str, name: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    let replies_in = |channel: &str| json!([message(channel, "created"), message(channel, "failed")]);
    let sends = json!({
        "amqp": { "deliveryMode": 2, "mandatory": true, "timestamp": true, "bindingVersion": BINDING },
    });
    json!({
        "createConnection": {
            "action": "receive",
            "channel": channel("jobs"),
            "summary": "Creates a connection, and answers where the job asks for it.",
            "description": "The job is acknowledged when its reply is confirmed, and not before.",
            "messages": [message("jobs", "job")],
            "reply": {
                "address": {
                    "location": "$message.header#/reply_to",
                    "description": "The AMQP property `reply_to`, which stands beside the headers. Without it replies go \
                        to the reply queue.",
                },
                "channel": channel("requestedReplies"),
                "messages": replies_in("requestedReplies"),
            },
            "bindings": { "amqp": { "deliveryMode": 2, "ack": true, "bindingVersion": BINDING } },
        },
        "sendReply": {
            "action": "send",
            "channel": channel("replies"),
            "summary": "Answers a job that names no queue for its reply.",
            "messages": replies_in("replies"),
            "bindings": sends,
        },
        "sendRequestedReply": {
            "action": "send",
            "channel": channel("requestedReplies"),
            "summary": "Answers a job that names a queue for its reply. If there is no such queue, the reply is parked.",
            "messages": replies_in("requestedReplies"),
            "bindings": sends,
        },
    })
}
