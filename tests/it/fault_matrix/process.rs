//! The worker's own process: stopped, killed, frozen, and not alone.

use nix::sys::signal::Signal;

use super::case::{Case, LOAD, on_both_types};

#[tokio::test]
async fn a_worker_that_is_stopped_or_killed_under_load_leaves_its_jobs_to_the_next() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        for (signal, code) in [(Signal::SIGTERM, Some(0)), (Signal::SIGKILL, None), (Signal::SIGKILL, None)] {
            case.begin().await;
            assert_eq!(case.replace_worker(0, signal).await, code);
        }
        case.check().await;
    })
    .await;
}

/// The broker has taken its jobs back by the time that it wakes up.
#[tokio::test]
async fn a_worker_that_sleeps_for_seconds_goes_on_where_the_broker_is() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.begin().await;
        case.workers[0].signal(Signal::SIGSTOP);
        case.wait_consumers(0).await;
        case.workers[0].signal(Signal::SIGCONT);
        case.wait_failures(1).await;
        case.check().await;
    })
    .await;
}

/// Others have done its jobs by the time that it wakes up; it begins none of them again. All its calls are on their way: one
/// that it wakes up in the middle of sending is the window that the README names.
#[tokio::test]
async fn a_worker_that_sleeps_while_others_do_its_jobs_creates_nothing_twice() {
    const IN_HAND: usize = 12;
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.add_worker().await;
        case.hold(IN_HAND).await;
        case.workers[0].signal(Signal::SIGSTOP);
        case.api.restore();
        case.submit(LOAD).await;
        case.wait_consumers(1).await;
        case.rig.wait_created((IN_HAND + LOAD) as u64).await;
        case.rig.settled().await;
        case.workers[0].signal(Signal::SIGCONT);
        case.wait_failures(1).await;
        case.check().await;
    })
    .await;
}

#[tokio::test]
async fn two_workers_share_the_jobs_and_can_be_replaced_one_by_one() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.add_worker().await;
        case.begin().await;
        case.check().await;
        for worker in [0, 1] {
            case.begin().await;
            assert_eq!(case.replace_worker(worker, Signal::SIGTERM).await, Some(0));
        }
        case.check().await;
    })
    .await;
}
