//! What becomes of a connection after its create: its state, and its test.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Options, Sim};

async fn state(sim: &Sim, id: &str) -> Value {
    sim.flow("GET", &format!("/connections/{id}")).await.json()["items"][0]["state"].clone()
}

#[tokio::test]
async fn a_connection_is_initializing_for_as_long_as_it_is_told_to_be() {
    let sim = Sim::start(Options::default()).await;
    let early = sim.create("early", "").await;
    let settings = json!({ "latency": { "kind": "none" }, "enableAfterMs": 3_600_000 });
    sim.control("PUT", "settings", &settings).await;
    let late = sim.create("late", "").await;
    assert_eq!(
        (state(&sim, &early).await, state(&sim, &late).await),
        (json!("enabled"), json!("initializing"))
    );
    let listed = sim.flow("GET", "/connections?property=state==enabled").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["items"][0]["id"], early);

    let sim = Sim::start(Options { enable_after: Duration::from_secs(3_600), ..Options::default() }).await;
    let id = sim.create("a", "").await;
    assert_eq!(state(&sim, &id).await, "initializing");
}

#[tokio::test]
async fn states_and_tests_come_out_as_a_rule_has_it() {
    let sim = Sim::start(Options::default()).await;
    let id = sim.create("a", "").await;
    for rule in [
        json!({ "endpoint": "get", "count": 1, "fault": { "kind": "state", "state": "disabled" } }),
        json!({ "endpoint": "test", "count": 1, "fault": { "kind": "test_result", "result": false } }),
    ] {
        sim.control("POST", "faults", &rule).await;
    }
    for (shown, good) in [("disabled", false), ("enabled", true)] {
        assert_eq!(state(&sim, &id).await, shown);
        let test = sim.flow("GET", &format!("/connections/{id}/test")).await.json();
        assert_eq!(test, json!({ "result": good }));
    }
}
