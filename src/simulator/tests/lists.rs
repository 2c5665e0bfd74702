//! Lists: filters, order, pages, counts.

use std::time::Duration;

use serde_json::json;

use super::{Options, Sim, names_in};

async fn with_connections(names: &[&str]) -> Sim {
    let sim = Sim::start(Options::default()).await;
    for name in names {
        sim.create(name, &format!("for {name} [job {name}-1]")).await;
    }
    sim
}

#[tokio::test]
async fn without_parameters_the_newest_come_first() {
    let sim = with_connections(&["a", "b", "c"]).await;
    assert_eq!(sim.names("").await, ["c", "b", "a"]);
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let sim = with_connections(&["a", "b", "a", "12"]).await;
    for (filter, names) in [
        ("name==a", vec!["a", "a"]),
        ("name==%22a%22", vec!["a", "a"]),
        ("name==A", vec![]),
        ("name==a,b", vec!["a", "b", "a"]),
        ("name==%22b%22,%22a%22", vec!["a", "b", "a"]),
        ("description==for%20b%20%5Bjob%20b-1%5D", vec!["b"]),
        ("description==for+b+[job+b-1]", vec!["b"]),
        ("name==a&property=state==enabled", vec!["a", "a"]),
        ("name==a&property=name==b", vec![]),
        ("name>9&property=name<13", vec!["12"]),
        ("name>=12&property=name<=12", vec!["12"]),
        ("connectionSpec.id==cc6a4487-9e91-433e-a3a3-9cf6626c1806&property=name==b", vec!["b"]),
        ("auth.params.clientId==id&property=name==b", vec!["b"]),
        ("auth.params.clientSecret==s1", vec![]),
        ("no.such.path==a", vec![]),
        ("createdAt>=0&property=name==b", vec!["b"]),
        ("createdAt<0", vec![]),
    ] {
        assert_eq!(sim.names(&format!("?property={filter}")).await, names, "{filter}");
    }
    let id = sim.create("with id", "").await;
    assert_eq!(sim.names(&format!("?property=id=={id}")).await, ["with id"]);
}

#[tokio::test]
async fn a_comma_in_a_value_means_or() {
    let sim = with_connections(&["a,b", "b"]).await;
    assert_eq!(sim.names("?property=name==a,b").await, ["b"]);
    assert_eq!(sim.names("?property=name==%22a%2Cb%22").await, ["b"]);
}

#[tokio::test]
async fn lists_are_ordered_on_request() {
    let sim = with_connections(&["10", "b", "9", "a"]).await;
    assert_eq!(sim.names("?orderby=name").await, ["9", "10", "a", "b"]);
    assert_eq!(sim.names("?orderby=+name").await, ["9", "10", "a", "b"]);
    assert_eq!(sim.names("?orderby=%2Bname").await, ["9", "10", "a", "b"]);
    assert_eq!(sim.names("?orderby=-name").await, ["b", "a", "10", "9"]);
    assert_eq!(sim.names("?orderby=state,-name").await, ["b", "a", "10", "9"]);
}

#[tokio::test]
async fn pages_hold_everything_once_although_connections_are_added() {
    for query in ["?limit=2", "?limit=2&property=state==enabled", "?limit=2&orderby=-createdBy,-name"] {
        let sim = with_connections(&["a", "b", "c", "d", "e"]).await;
        let mut path = format!("/connections{query}");
        let mut names = Vec::new();
        for size in [2, 2, 1] {
            let page = sim.flow("GET", &path).await.json();
            assert_eq!(page["items"].as_array().unwrap().len(), size, "{query}");
            names.extend(names_in(&page));
            path = page["_links"]["next"]["href"].as_str().unwrap_or("").to_owned();
            if !query.contains("orderby") {
                sim.create("z", "").await;
            }
        }
        assert_eq!(
            (path.as_str(), names),
            ("", ["e", "d", "c", "b", "a"].map(str::to_owned).to_vec()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_page_has_twenty_items_and_a_hundred_at_most() {
    let names: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let sim = with_connections(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(sim.names("").await.len(), 20);
    assert_eq!(sim.names("?limit=1000").await.len(), 100);
    let count = sim.flow("GET", "/connections?count=true&property=name>=50").await.json();
    assert_eq!(count, json!({ "count": 51 }));
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_the_documented_codes() {
    let sim = Sim::start(Options::default()).await;
    for (query, code) in [
        ("count=true&limit=5", "FLOW-1401-400"),
        ("start=5", "FLOW-1451-400"),
        ("limit=x", "FLOW-1451-400"),
        ("continuationToken=x", "FLOW-1451-400"),
        ("orderby=~name", "FLOW-1432-400"),
        ("orderby=-", "FLOW-1433-400"),
        ("property=name~a", "FLOW-1440-400"),
        ("property=name!%3Ea", "FLOW-1450-400"),
        ("property=name!=a", "FLOW-1448-400"),
        ("property=name", "FLOW-1448-400"),
        ("property===a", "FLOW-1448-400"),
        ("property=name>a,b", "FLOW-1448-400"),
        ("property=createdAt>yesterday", "FLOW-1452-400"),
    ] {
        let reply = sim.flow("GET", &format!("/connections?{query}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{query}");
    }
}

#[tokio::test]
async fn a_lagging_list_does_not_show_the_newest() {
    let sim = Sim::start(Options { find_lag: Duration::from_secs(3600), ..Options::default() }).await;
    let id = sim.create("a", "").await;
    assert_eq!(sim.names("?property=name==a").await, Vec::<String>::new());
    assert_eq!(sim.flow("GET", &format!("/connections/{id}")).await.status, 200);
    let settings = json!({ "latency": { "kind": "none" }, "findLagMs": 0, "enableAfterMs": 0 });
    assert_eq!(sim.control("PUT", "settings", &settings).await.json(), settings);
    assert_eq!(sim.names("?property=name==a").await, ["a"]);
}

#[tokio::test]
async fn the_oldest_connections_are_forgotten() {
    let sim = Sim::start(Options { max_connections: 2, ..Options::default() }).await;
    let first = sim.create("a", "same").await;
    for name in ["b", "c"] {
        sim.create(name, "same").await;
    }
    assert_eq!(sim.names("?property=description==same").await, ["c", "b"]);
    assert_eq!(sim.names("?property=name==a").await, Vec::<String>::new());
    assert_eq!(sim.flow("GET", &format!("/connections/{first}")).await.status, 404);
    let report = sim.report().await;
    assert_eq!((&report["created"], &report["stored"]), (&json!(3), &json!(2)));
}
