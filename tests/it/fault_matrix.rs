//! The fault matrix: one row for each way in which the surroundings can fail, on quorum queues and on classic ones.
//!
//! After every fault the same is asserted, in `Case::check`:
//!
//! * every job has a confirmed reply that says what it should, in its queue or in that of undeliverable replies; all
//!   replies to a job have the same `message_id` and name the same connection, which exists;
//! * no job is lost, and nothing is parked but what the row says;
//! * no job has a second connection;
//! * the job queue and the retry queues hold nothing, ready or unacknowledged;
//! * what the workers have counted agrees with the queues and with Flow Service's stand-in: exactly, or within what the
//!   workers themselves count as unknown; and from below where a worker has ended, and its counters with it.
//!
//! | fault | where |
//! |---|---|
//! | **broker** restarted in order, killed | [`broker::jobs_and_replies_outlive_a_broker_that_restarts_or_is_killed`] |
//! | nodes of a cluster killed one after the other | `cluster`; quorum queues only, for a classic one lives on one node |
//! | memory alarm, consumer timeout | [`broker::a_broker_that_blocks_or_takes_deliveries_back_loses_nothing`] |
//! | disk alarm | `broker_trouble`: for a client the same as the memory alarm |
//! | **network** reset, or frozen in mid-air, for consuming, publishing, both | [`network::a_connection_that_is_reset_or_goes_silent_is_replaced`] |
//! | partition of 30 s | does not apply on its own: the freeze, which lasts until the heartbeat has failed; nothing changes after that |
//! | late; one byte at a time | [`network::bytes_that_come_late_or_one_by_one_only_take_time`] |
//! | cut within a message | [`network::a_connection_that_is_cut_within_a_message_is_replaced`] |
//! | lost after the create and before the reply; after the reply and before the ack | [`queues::a_connection_lost_between_create_reply_and_ack_repeats_no_create`]; with a killed worker: `ack_order` |
//! | **queues**: reply queue missing, full, deleted | [`queues::replies_to_queues_that_are_missing_full_or_deleted_are_parked`] |
//! | direct requester gone | `replies` |
//! | job queue deleted, consumer cancelled | [`queues::a_job_queue_that_is_deleted_takes_no_job_along_that_is_in_hand`] |
//! | channel or connection closed by the broker | [`queues::a_channel_or_connection_that_the_broker_closes_is_replaced`] |
//! | any queue missing at the start, wrong password, virtual host, permissions | `start`: no job is begun |
//! | queue with other arguments (406) | `start`: does not arise, an existing queue is not declared |
//! | certificate not trusted | `tls`: no job is begun |
//! | **Flow Service** slow, silent, cut short, not JSON, 10 MB, redirecting in a loop, 4xx, 429 with every `Retry-After`, 5xx, before and after the create | [`service::whatever_flow_service_answers_each_job_comes_to_what_it_should`]; many more codes: `api_failures` |
//! | reset in mid-call, kept connection closed, frozen, byte by byte | [`service::calls_that_are_reset_held_up_or_chopped_create_each_connection_once`] |
//! | name does not resolve, port refused, TLS fails | [`service::a_service_that_cannot_be_reached_creates_nothing`] |
//! | slow or changing DNS, IPv6 without a route | does not apply: the operating system's resolver and routes, bounded by `FLOW_CONNECT_TIMEOUT`; to a job it is a service that cannot be reached |
//! | gzip bomb | does not apply: the client asks for no compression and undoes none |
//! | HTTP/2 GOAWAY, streams refused or reset | does not apply: the worker speaks HTTP/1.1 only (`flow_tls`) |
//! | brown-out, outage, recovery | [`service::a_brown_out_and_an_outage_park_nothing`] |
//! | **messages**: not UTF-8, deep, 16 MiB, of another version, without an id, with many headers | [`poison::bad_messages_among_good_ones_hurt_only_themselves`]; hundreds more: `poison_messages` |
//! | properties that the client cannot read | `unreadable` |
//! | panic; death of the process (abort, out of memory) | `panics`; `crash_loops`, on both types of queues |
//! | **worker** stopped, killed | [`process::a_worker_that_is_stopped_or_killed_under_load_leaves_its_jobs_to_the_next`] |
//! | frozen for seconds, alone or while others do its jobs | [`process::a_worker_that_sleeps_for_seconds_goes_on_where_the_broker_is`], [`process::a_worker_that_sleeps_while_others_do_its_jobs_creates_nothing_twice`] |
//! | clock jump | does not apply: timers run on the monotonic clock; the time of day only dates messages and ends `expiresAt` |
//! | disk full | does not apply: the worker writes no file |
//! | no file descriptors, little CPU | does not apply on its own: a call or a session that cannot be opened, and a slow peer |
//! | two workers, replaced one by one | [`process::two_workers_share_the_jobs_and_can_be_replaced_one_by_one`] |
//! | two versions of the worker at once | does not apply yet: there is one version of the contract |
//! | one sender floods the queue | does not apply: there is one queue, taken from in order |
//! | other versions of RabbitMQ | the same tests against another node: `make compat` |

mod broker;
mod case;
mod network;
mod poison;
mod process;
mod queues;
mod service;

use crate::support::load::FAILURES;

/// A row of the table above cannot name a test that is gone.
#[test]
fn every_row_names_tests_that_exist() {
    let here = include_str!("fault_matrix.rs");
    let names: Vec<_> = here.lines().filter(|line| line.starts_with("//! |")).flat_map(tests_in).collect();
    assert!(names.len() > 10, "{names:?}");
    for (module, test) in names {
        let path = format!("{}/tests/it/fault_matrix/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(source.contains(&format!("async fn {test}(")), "{module} has no {test}");
    }
}

fn tests_in(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split("[`").skip(1).filter_map(|rest| rest.split_once("`]")?.0.split_once("::"))
}
