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
//! 6. `an_ill_flow_service_is_left_in_peace`: backoff with full jitter, `Retry-After` as a floor, breakers, limits that adapt,
//!    a budget for repeated calls, and no job taken while none could be done.
//! 7. `sigterm_drains`.
//! 8. `memory_is_bounded` by the concurrency and the largest message.
//!
//! # How data flows
//!
//! ```text
//!               ┌──────────── app (builds, supervises) ────────────┐
//!  signal ─► stop token                                            │
//!  SIGHUP, a changed file ─► reload ─► organisations, guard, flow  │
//!  broker::session ─► worker ─► contract::parse ─► handler ─► flow (HTTP)
//!         ▲             │                             ├─ retry
//!         │             │                             └─ guard (is there a place for the job, may a call be made?)
//!         └── settle ◄──┴── broker::publisher ◄── reply
//! ```
//!
//! One way only: `Delivery → Job → Handled → Reply confirmed → Settlement`. Permission to work is the prefetch limit,
//! and of what is in hand each organisation has its share; there is no second queue inside. A job that has to wait for long takes a turn through the broker instead of a reply:
//! `Handled → retry queue confirmed → Settlement`, and comes back as a delivery that carries its history
//! ([`contract::history`]).
//!
//! Along the same way goes the trace that the job belongs to ([`traces`]): from the sender's headers to each call and to
//! each message that the worker publishes. It belongs to the job's task, so no signature speaks of it.
//!
//! # What holds everywhere
//!
//! * Tools under [`cli`] ask the code that decides, and have no copy of its rules.
//! * Imports point one way: `contract` knows only `sources` and `sealing`, and those and `retry` nothing of the rest; `flow` and
//!   `broker` know those and `metrics` (which borrows the names of failures for its labels); `traces` knows `retry` and `metrics`,
//!   and `flow`, `handler` and `worker` know `traces`; `guard` knows `flow` and `retry`; `handler` and `checks` know its trait
//!   [`flow::FlowApi`], and `handler` the `guard`; `organisations` borrows from `flow` and `guard` what an organisation consists
//!   of; `worker` knows those three and `broker`; `reload` what it exchanges; `app` all.
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
