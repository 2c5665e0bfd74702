//! The network between worker and broker: on the way of the jobs, on the way of the replies, on both.

use std::time::Duration;

use futures_util::future::join_all;

use super::case::{Case, on_both_types};
use crate::support::corner::BUSY_BROKER;
use crate::support::proxy::Proxy;
use crate::support::rig::{CONSUME, PUBLISH};

/// The connections that a fault is on; none is all.
type Way = Option<&'static str>;

const WAYS: [Way; 3] = [None, Some(CONSUME), Some(PUBLISH)];

/// Far above what the jobs need, far below the heartbeat.
const LATE: Duration = Duration::from_millis(200);

/// Few, because they are late or come byte by byte.
const SOME: usize = 20;

/// Runs a row on both types of queues and every way, all at the same time.
async fn on_every_way(row: impl AsyncFn(&'static str, Way)) {
    on_both_types(async |queue_type| {
        join_all(WAYS.map(|way| row(queue_type, way))).await;
    })
    .await;
}

fn cut(proxy: &Proxy, way: Way) {
    way.map_or_else(|| proxy.cut(), |name| proxy.cut_named(name));
}

fn freeze(proxy: &Proxy, way: Way) {
    way.map_or_else(|| proxy.freeze(), |name| proxy.freeze_named(name));
}

fn slice(proxy: &Proxy, way: Way) {
    way.map_or_else(|| proxy.slice(), |name| proxy.slice_named(name));
}

fn delay(proxy: &Proxy, way: Way) {
    way.map_or_else(|| proxy.delay(LATE), |name| proxy.delay_named(name, LATE));
}

#[tokio::test]
async fn a_connection_that_is_reset_or_goes_silent_is_replaced() {
    on_every_way(async |queue_type, way| {
        let mut case = Case::start(queue_type, &[]).await;
        for (strikes, strike) in [(1, cut as fn(&Proxy, Way)), (2, freeze)] {
            case.begin().await;
            strike(&case.rig.proxy, way);
            case.workers[0].wait_unready().await;
            case.wait_failures(strikes).await;
            case.rig.proxy.restore();
            case.check().await;
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_that_come_late_or_one_by_one_only_take_time() {
    on_every_way(async |queue_type, way| {
        let mut case = Case::start(queue_type, &[BUSY_BROKER]).await;
        for strike in [delay as fn(&Proxy, Way), slice] {
            strike(&case.rig.proxy, way);
            case.submit(SOME).await;
            case.check().await;
            case.rig.proxy.restore();
        }
        assert_eq!(case.workers[0].count(super::FAILURES).await, 0, "the session was well all the time");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_within_a_message_is_replaced() {
    on_every_way(async |queue_type, way| {
        let mut case = Case::start(queue_type, &[]).await;
        slice(&case.rig.proxy, way);
        case.begin().await;
        cut(&case.rig.proxy, way);
        case.wait_failures(1).await;
        case.rig.proxy.restore();
        case.check().await;
    })
    .await;
}
