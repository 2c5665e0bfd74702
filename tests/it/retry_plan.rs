//! `retry-plan`: says what the settings come to, and needs no others.

use serde_json::{Value, json};

use crate::support::command::run;

async fn plan(env: &[(&str, &str)]) -> Value {
    let ran = run(&["retry-plan", "--json"], env).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test]
async fn the_settings_come_to_what_the_readme_says() {
    let plan = plan(&[]).await;
    assert_eq!((&plan["attempts"], &plan["creates"], &plan["lookups"]), (&json!(12), &json!(12), &json!(69)));
    let waits = plan["waits"].as_array().unwrap();
    assert_eq!(waits.len(), 11);
    assert_eq!(waits[0]["places"], json!([{ "place": "held", "share": 1.0 }]));
    assert_eq!(waits[2]["places"][1], json!({ "place": "10s", "share": 0.375 }));
    // "A service can be away for some four hours."
    let hours = waits[10]["nextStartsOnAverage"].as_f64().unwrap() / 3600.0;
    assert!((4.0..5.0).contains(&hours), "{hours}");
}

#[tokio::test]
async fn the_plan_follows_the_settings() {
    let short =
        plan(&[("RETRY_DEADLINE", "1m"), ("RETRY_HOLD", "0s"), ("FLOW_TIMEOUT", "1s"), ("LOOKUPS", "1")])
            .await;
    assert_eq!(short["endedBy"], "no time left for another attempt");
    for wait in short["waits"].as_array().unwrap() {
        assert!(wait["nextStartsAtTheLatest"].as_f64().unwrap() <= 60.0, "{wait}");
        assert_eq!(wait["places"][0]["place"], "10s", "nothing is held");
    }
    let once = plan(&[("RETRY_ATTEMPTS", "1")]).await;
    assert_eq!((&once["attempts"], &once["waits"], &once["lookups"]), (&json!(1), &json!([]), &json!(3)));
    let ran = run(&["retry-plan"], &[("RETRY_BASE", "2h"), ("FLOW_TIMEOUT", "soon")]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(ran.stderr.contains("RETRY_BASE") && ran.stderr.contains("FLOW_TIMEOUT"), "{ran:?}");
}

#[tokio::test]
async fn every_failure_and_every_answer_has_its_line() {
    let plan = plan(&[]).await;
    let failure =
        |kind: &str| plan["failures"].as_array().unwrap().iter().find(|it| it["kind"] == kind).unwrap();
    for (kind, verdict, code, retryable) in [
        ("not_sent", "retry", "unavailable", true),
        ("timeout", "reconcile", "ambiguous", false),
        ("refused", "fail", "rejected", false),
        ("credentials_refused", "retry", "unauthorized", false),
    ] {
        let said = failure(kind);
        assert_eq!(
            (&said["verdict"], &said["code"], &said["retryable"]),
            (&json!(verdict), &json!(code), &json!(retryable))
        );
    }
    let text = run(&["retry-plan"], &[]).await.stdout;
    for line in [
        "in hand 62 %, retry.10s 38 %",
        "At the most 12 attempts for one job; what ends them: all attempts used.",
        "429      throttled",
        "403      credentials_refused  403020 (first once more, with a fresh token)",
        "503      unavailable          503000, 503010, 503030, 503071",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}
