//! A worker that creates Adobe Experience Platform connections from RabbitMQ jobs.
//!
//! It takes a job from a queue, calls Flow Service's `POST /connections`, answers with the connection's id and etag
//! or with an error, and only then acknowledges the job. Replicas share nothing but the queue.
//!
//! # What it promises
//!
//! Each promise has a test of the same name under `tests/it`; the README says which are kept in full.
//!
//! 1. `no_job_is_lost`: every job ends in a confirmed reply, or in the dead-letter queue with a reason.
//! 2. `a_job_creates_at_most_one_connection`: a create whose outcome is unknown is looked for before it is repeated.
//! 3. `the_job_is_acked_only_after_its_reply_is_confirmed`.
//! 4. `secrets_stay_inside`: no credential in logs, metrics, traces, replies, errors or `--help`.
//! 5. `a_bad_message_hurts_only_itself`.
//! 6. `an_ill_flow_service_is_left_in_peace`: backoff with full jitter, `Retry-After` as a floor, a circuit breaker for each
//!    part, adaptive limits and a budget for repeated calls. Jobs of a part that fails wait in the held queue.
//! 7. `sigterm_drains`.
//! 8. `memory_is_bounded` by the concurrency and the largest message.
//!
//! # How data flows
//!
//! ```text
//!               ┌──────────── app (builds, supervises) ────────────┐
//!  signal ─► stop token                                            │
//!  SIGHUP, a changed file ─► reload ─► organisations, admission, flow
//!
//!  three queues ─► broker::session ─► worker ─► contract::parse ─► handler ─► flow (HTTP)
//!   ▲  jobs              ▲              │ │                          ├─ retry
//!   │  overflow          │              │ └─ fair_share (a slot?)    └─ admission (may this call be made now?)
//!   │  held              └── settle ◄───┤
//!   └── moved ◄─── broker::publisher ◄──┴── reply
//! ```
//!
//! One way only: `Delivery → Job → Handled → Reply confirmed → Settlement`. Permission to take jobs is the prefetch limit,
//! divided among the three queues; permission to work is a slot; permission to call is a permit. There is no second queue
//! inside. A job that cannot run now is moved instead of answered: to the overflow queue if it lacks a slot, to the held queue
//! if its calls are held back, `Delivery → overflow or held confirmed → Settlement`. One whose call failed takes a turn through
//! a retry queue: `Handled → retry queue confirmed → Settlement`. All come back as deliveries that carry their history
//! ([`contract::history`]).
//!
//! Along the same way goes the trace that the job belongs to ([`traces`]): from the sender's headers to each call and to
//! each message that the worker publishes. It belongs to the job's task, so no signature speaks of it.
//!
//! # What holds everywhere
//!
//! * Tools under [`cli`] ask the code that decides, and have no copy of its rules.
//! * Imports point one way: `contract` knows only `sources` and `sealing`, and those and `retry` nothing of the rest; `flow` and
//!   `broker` know those and `metrics` (which borrows names of theirs for its labels); `traces` knows `retry` and `metrics`,
//!   and `flow`, `handler` and `worker` know `traces`; `admission` knows `flow`; `fair_share` nothing of the rest; `handler` and
//!   `checks` know the trait [`flow::FlowApi`] and `admission`; `organisations` borrows from `flow` and `admission`
//!   what an organisation consists of; `worker` knows those, `fair_share` and `broker`; `admin` shows what `metrics` and
//!   `admission` know; `reload` knows what it exchanges; `app` all.
//! * lapin is named only under `broker`, reqwest only under `flow` and where traces are sent, the environment only in `config`.
//! * There is no process-wide state: two workers can run in one test. The time of day comes from [`clock`].
//! * What the worker needs of a broker is [`broker::link`]: the same worker runs over RabbitMQ and over a simulation of it.
//! * An error is typed and classified where it is born: [`flow::FailureKind`] says what a failed call means for the
//!   job, [`broker::Error`] whether a person must mend something.
//! * A session with the broker never heals itself. Whatever goes wrong ends it, and [`app`] opens the next.
//! * A delivery is settled by value: there is no way to do it twice.
//!
//! # Where things are, in reading order

pub mod cli;
pub mod config;
pub mod app;
pub mod reload;
pub mod worker;
pub mod handler;
pub mod checks;
pub mod clock;
pub mod contract;
pub mod sources;
pub mod sealing;
pub mod retry;
pub mod organisations;
pub mod admission;
pub mod fair_share;
pub mod flow;
pub mod secret;
pub mod loopback;
pub mod broker;
pub mod admin;
pub mod metrics;
pub mod traces;
pub mod telemetry;
pub mod shutdown;
#[cfg(feature = "simulator")]
pub mod simulator;
