//! Redaction of single texts. That nothing leaks out of a failed call is shown in `client/tests`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn for_params(params: &serde_json::Value) -> Redactor {
    let body = json!({ "name": "n", "auth": { "specName": "Basic Authentication", "params": params } });
    Redactor::for_request(body.to_string().as_bytes())
}

#[test]
fn values_at_any_depth_are_hidden_and_names_stay() {
    let redactor = for_params(&json!({
        "user": "alice-user", "nested": { "list": ["deep-value", { "key": "deeper-value" }] }, "pin": 12_345_678, "port": 1433,
    }));
    let text = "Basic Authentication: alice-user, deep-value, deeper-value, 12345678 on port 1433";
    let shown = "Basic Authentication: [redacted], [redacted], [redacted], [redacted] on port [redacted]";
    assert_eq!(redactor.redact(text), shown);
}

#[test]
fn numbers_are_hidden_as_they_were_written_and_as_they_are_usually() {
    for number in [
        "31415926535897932384626",
        "9007199254740993e2",
        "-18446744073709551616",
        "7.3918264E+25",
        "73918264.50",
        "4711",
        "90210",
        "1e5",
        "42",
    ] {
        let body = format!(r#"{{"auth":{{"params":{{"pin": {number} }}}}}}"#);
        let redactor = Redactor::for_request(body.as_bytes());
        assert_eq!(redactor.redact(&format!("got {number}.")), "got [redacted].", "{number}");
    }
    let redactor = Redactor::for_request(br#"{"auth":{"params":{"pin":73918264.50}}}"#);
    assert_eq!(redactor.redact("73918264.5|73918264.50"), "[redacted]|[redacted]");
    for whole in ["12345678.0", "1.2345678e7"] {
        let body = format!(r#"{{"auth":{{"params":{{"pin":{whole}}}}}}}"#);
        assert_eq!(Redactor::for_request(body.as_bytes()).redact("got 12345678."), "got [redacted].");
    }
}

#[test]
fn what_nests_too_deep_to_be_read_hides_everything() {
    let deep = format!(r#"{{"auth":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(Redactor::for_request(deep.as_bytes()).redact("anything"), MARK);
}

#[test]
fn a_key_that_was_sent_twice_hides_both_values() {
    let body = br#"{"auth":{"params":{"password":"first-one","password":"second-one"}}}"#;
    let redactor = Redactor::for_request(body);
    assert_eq!(redactor.redact("first-one second-one"), "[redacted] [redacted]");
}

#[test]
fn unknown_keys_beside_params_are_hidden_too() {
    let body = br#"{"auth":{"specName":"OAuth","type":"OAuth2.0","clientSecret":"beside","params":{}}}"#;
    assert_eq!(Redactor::for_request(body).redact("OAuth OAuth2.0 beside"), "OAuth OAuth2.0 [redacted]");
}

#[test]
fn encoded_values_are_hidden() {
    let secret = "p\"ss wörd/=+&<a>'~!";
    let redactor = for_params(&json!({ "password": secret }));
    let in_json = serde_json::to_string(secret).unwrap();
    let basic = STANDARD.encode(format!("user:{secret}"));
    for echoed in [
        secret.to_owned(),
        in_json.trim_matches('"').to_owned(),
        in_json.trim_matches('"').replace('/', "\\/"),
        r#"p\"ss w\u00f6rd/=+&<a>'~!"#.to_owned(),
        r#"p\"ss wörd/\u003d+\u0026\u003ca\u003e\u0027~!"#.to_owned(),
        "p%22ss%20w%C3%B6rd%2F%3D%2B%26%3Ca%3E%27~%21".to_owned(),
        "p%22ss%20w%c3%b6rd%2f%3d%2b%26%3ca%3e%27~%21".to_owned(),
        "p%22ss%20w%C3%B6rd%2F%3D%2B%26%3Ca%3E'~!".to_owned(),
        "p%22ss+w%C3%B6rd%2F%3D%2B%26%3Ca%3E%27%7E%21".to_owned(),
        "p%22ss%20w%C3%B6rd%2F%3D%2B%26%3Ca%3E%27%7E%21".to_owned(),
        "p%22ss%20w%C3%B6rd/=+&%3Ca%3E'~!".to_owned(),
        "p%5c%22ss%20wörd/=+&<a>'~!".to_owned(),
        "%70\"ss+wörd%2f=%2B&<a>'%7e!".to_owned(),
        "p&quot;ss wörd/=+&amp;&lt;a&gt;&#39;~!".to_owned(),
    ] {
        assert_eq!(redactor.redact(&format!("got {echoed}.")), "got [redacted].", "{echoed}");
    }
    for encoded in [STANDARD.encode(secret), URL_SAFE.encode(secret)] {
        assert_eq!(redactor.redact(&encoded).trim_end_matches('='), MARK, "{encoded}");
    }
    let shown = redactor.redact(&basic);
    assert!(shown.len() < MARK.len() + 12, "of {basic} is left {shown}");
}

#[test]
fn a_percent_encoded_secret_is_hidden_decoded() {
    let redactor = for_params(&json!({ "sasUri": "https://x.example/c?sv=2020&sig=ab%2Bcd%3D" }));
    assert_eq!(redactor.redact("sig is ab+cd="), "sig is [redacted]");
}

#[test]
fn parts_of_connection_strings_addresses_keys_and_json_are_hidden() {
    let redactor = for_params(&json!({
        "connectionString": "Server=tcp:db.example,1433;Password=\"hunter22\";Encrypt=True",
        "dsn": "host=pg.example user=alice password=swordfish",
        "address": "https://bob%40x:letme%2Fin@api.example/",
        "key": "-----BEGIN KEY-----\nMIIEvQIBADANBg\r\nkqhkiG9w0BAQ\n-----END KEY-----\n",
        "credentials": "{\"private_key\":\"inner-key-value\",\"more\":\"[\\\"innermost\\\"]\"}",
    }));
    for secret in [
        "hunter22",
        "swordfish",
        "alice",
        "bob%40x",
        "bob@x",
        "letme%2Fin",
        "letme/in",
        "MIIEvQIBADANBg",
        "kqhkiG9w0BAQ",
        "inner-key-value",
        "innermost",
        "tcp:db.example,1433",
    ] {
        assert_eq!(redactor.redact(&format!("<{secret}>")), "<[redacted]>", "{secret}");
    }
}

#[test]
fn a_secret_of_several_lines_is_hidden_however_the_lines_end() {
    let redactor = for_params(&json!({ "key": "line one\nline two" }));
    assert_eq!(redactor.redact("line one\nline two|line one\\nline two"), "[redacted]|[redacted]");
}

#[test]
fn a_short_value_is_hidden_only_where_it_stands_alone() {
    let redactor = for_params(&json!({ "user": "sa", "empty": "", "blank": "   " }));
    assert_eq!(redactor.redact("salt for user 'sa' at sa"), "salt for user '[redacted]' at [redacted]");
}

#[test]
fn overlapping_secrets_leave_no_rest() {
    let redactor = for_params(&json!({ "a": "abcdef", "b": "defghi", "c": "abcd" }));
    assert_eq!(redactor.redact("xabcdefghix"), "x[redacted]x");
}

#[test]
fn control_characters_become_spaces_and_long_texts_are_cut() {
    let redactor = Redactor::empty();
    assert_eq!(redactor.show("a\x1b[31mb\r\nc\u{202e}d"), "a [31mb  c d");
    assert_eq!(redactor.show(&"ö".repeat(1001)), format!("{}…", "ö".repeat(1000)));
    assert_eq!(redactor.show(&"ö".repeat(1000)), "ö".repeat(1000));
    assert_eq!(redactor.show(&"x".repeat(MAX_TEXT + 1)), MARK);
}

#[test]
fn a_secret_across_the_cut_is_hidden_before_the_text_is_cut() {
    let redactor = for_params(&json!({ "password": "canary-canary" }));
    let shown = redactor.show(&format!("{}canary-canary", "x".repeat(990)));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn when_it_cannot_tell_it_hides_everything() {
    assert_eq!(Redactor::for_request(b"{not json").redact("anything"), MARK);
    let many: Vec<String> = (0..=MAX_VALUES).map(|n| format!("value-{n}")).collect();
    assert_eq!(for_params(&json!({ "many": many })).redact("anything"), MARK);
}

proptest! {
    // Each case encodes every secret in every way, which is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_secret_of_four_characters_survives(
        secrets in prop::collection::vec("[ -~äöü\n]{4,20}", 1..6),
        gaps in prop::collection::vec(".{0,12}", 7),
    ) {
        let redactor = for_params(&json!({ "all": secrets }));
        let mut text = gaps[0].clone();
        for (secret, gap) in secrets.iter().zip(&gaps[1..]) {
            text.push_str(secret);
            text.push_str(gap);
        }
        let shown = redactor.redact(&text);
        for secret in secrets.iter().filter(|secret| secret.trim().chars().count() >= MIN_ANYWHERE) {
            for rest in shown.split(MARK) {
                prop_assert!(!rest.contains(secret.as_str()) && !rest.contains(&plain(secret)), "{shown:?}");
            }
        }
    }

    #[test]
    fn never_panics(body in any::<Vec<u8>>(), value in ".*", text in ".*") {
        let mut redactor = Redactor::for_request(&body);
        redactor.hide(&value);
        redactor.show(&text);
        for_params(&json!({ "value": value })).show(&text);
    }
}
