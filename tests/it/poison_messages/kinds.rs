//! Every kind of bad message that we could think of.

use serde_json::{Value, json};

use super::{Bad, good};

/// Larger than a job may be.
const TOO_LARGE: usize = (1 << 20) + 1;

/// Texts and bytes that hold no job at all, not even its id.
pub(super) fn unreadable() -> Vec<Bad> {
    let job = good("inside").to_string();
    let texts = [
        "",
        " ",
        "\n\n",
        "\0",
        "\0\0\0\0",
        "hello",
        "{",
        "}",
        "[",
        "{]",
        "{}}",
        "nul",
        "True",
        "NaN",
        "-Infinity",
        "-",
        "1e",
        "01",
        "1.",
        ".5",
        "'a'",
        "{'jobId':'a'}",
        "{jobId:1}",
        "{\"jobId\"}",
        "{\"jobId\":}",
        "{,}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "// none\n{}",
        "{} {}",
        "{}\0",
        "<job/>",
        "jobId: a",
        "jobId=a&x=1",
        "\"",
        "\"abc",
        "\"a\nb\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "{\"\\ud800\":1}",
        "{\"a\":\"\\u12\"}",
        "1e400",
        "-0",
        "null",
        "true",
        "17",
        "[]",
        "[1]",
        "[{}]",
        "\"{}\"",
        "{}",
        "{\"\":1}",
        "{\"jobId\":null}",
        "{\"connection\":{}}",
        "\u{feff}",
        "\u{feff}{}",
    ];
    let mut bad: Vec<Bad> = texts.iter().map(|text| Bad::bytes(text, text.as_bytes())).collect();
    let utf16 = |to: fn(u16) -> [u8; 2]| job.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    bad.extend([
        Bad::bytes("a lone 0xff", b"\xff"),
        Bad::bytes("a sequence cut short", b"{\"jobId\":\"\xc3"),
        Bad::bytes("an overlong sequence", b"\"\xc0\xaf\""),
        Bad::bytes("a surrogate in UTF-8", b"\"\xed\xa0\x80\""),
        Bad::bytes("beyond Unicode", b"\"\xf4\x90\x80\x80\""),
        Bad::bytes("Latin-1", b"{\"name\":\"Andr\xe9\"}"),
        Bad::bytes("invalid UTF-8 in a key", b"{\"\xff\":1}"),
        Bad::bytes("UTF-16", &utf16(u16::to_le_bytes)),
        Bad::bytes("UTF-16, the other end first", &utf16(u16::to_be_bytes)),
        Bad::bytes("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00"),
        Bad::bytes("MessagePack", b"\x81\xa5jobId\xa1a"),
        Bad::bytes("all bytes", &(0..=255).collect::<Vec<u8>>()),
        Bad::bytes("a job after a byte order mark", format!("\u{feff}{job}").as_bytes()),
        Bad::bytes("a job and a NUL", format!("{job}\0").as_bytes()),
        Bad::bytes("two jobs", format!("{job}\n{job}").as_bytes()),
        Bad::bytes("an array of jobs", format!("[{job}]").as_bytes()),
        Bad::bytes("a job as a string", json!(job).to_string().as_bytes()),
        Bad::bytes("half a job", &job.as_bytes()[..job.len() / 2]),
        Bad::bytes("ten thousand digits", "9".repeat(10_000).as_bytes()),
        Bad::bytes("arrays without end", "[".repeat(200_000).as_bytes()),
        Bad::bytes("arrays, deep", nested("[", "]", 100_000, "").as_bytes()),
        Bad::bytes("objects, deep", nested("{\"a\":", "}", 100_000, "1").as_bytes()),
        Bad::bytes("too large, and nothing in it", " ".repeat(TOO_LARGE).as_bytes()),
        Bad::bytes("too large, and no text", &vec![0xff; TOO_LARGE]),
        Bad::bytes("too large, and a job", format!("{job}{}", " ".repeat(TOO_LARGE)).as_bytes()),
        Bad::bytes("a thousand unknown fields", many_unknown(1_000).as_bytes()),
        Bad::bytes("the id twice", br#"{"jobId":"a","jobId":"a"}"#),
        Bad::bytes("the id twice, once escaped", br#"{"jobId":"a","job\u0049d":"b"}"#),
    ]);
    bad
}

fn nested(open: &str, close: &str, depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

fn many_unknown(n: usize) -> String {
    let fields: serde_json::Map<_, _> =
        (0..n).map(|n| (format!("{n}-{}", "k".repeat(200)), json!(n))).collect();
    Value::Object(fields).to_string()
}

/// Ids that are none. There is no other in these messages.
pub(super) fn wrong_ids() -> Vec<Bad> {
    let long = "x".repeat(129);
    let ids = [
        json!(""),
        json!(" "),
        json!("a b"),
        json!("a/b"),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("ä"),
        json!("🦀"),
        json!("<script>"),
        json!("{{7*7}}"),
        json!("a\r\nx-evil: 1"),
        json!("../a"),
        json!(long),
        json!(true),
        json!(17),
        json!(1.5),
        json!([]),
        json!({}),
        json!(["a"]),
    ];
    ids.into_iter()
        .map(|id| {
            let mut job = good("none");
            job["jobId"] = id.clone();
            Bad::bytes(&format!("jobId {id}"), job.to_string().as_bytes())
        })
        .collect()
}

/// Fields of the wrong kind, one at a time.
pub(super) fn wrong_kinds() -> Vec<Bad> {
    let texts = [
        "/imsOrgId",
        "/sandboxName",
        "/source",
        "/expiresAt",
        "/connection/name",
        "/connection/description",
        "/connection/auth/specName",
        "/connection/connectionSpec/id",
        "/connection/connectionSpec/version",
    ];
    let objects =
        ["/connection", "/connection/auth", "/connection/auth/params", "/connection/connectionSpec"];
    let mut bad = Vec::new();
    for value in [json!(true), json!(17), json!(1.5), json!([]), json!(["a"]), json!({}), json!({ "a": "b" })]
    {
        for path in texts {
            bad.push(Bad::with(path, value.clone()));
        }
        if !value.is_object() {
            bad.extend(objects.map(|path| Bad::with(path, value.clone())));
        }
        if value != json!(1) {
            bad.push(Bad::with("/schemaVersion", value));
        }
    }
    bad.extend(objects.map(|path| Bad::with(path, json!("text"))));
    bad
}

/// Fields that are missing, or null, which is the same.
pub(super) fn missing() -> Vec<Bad> {
    let paths = [
        "/connection",
        "/connection/name",
        "/connection/auth",
        "/connection/auth/specName",
        "/connection/auth/params",
        "/connection/connectionSpec",
        "/connection/connectionSpec/id",
    ];
    paths.into_iter().flat_map(|path| [Bad::without(path), Bad::with(path, Value::Null)]).collect()
}

/// Fields that nobody knows, and those that look like one that is known.
pub(super) fn unknown() -> Vec<Bad> {
    let paths = [
        "/sandboxname",
        "/SandboxName",
        "/sandbox_name",
        "/sandbox",
        "/jobID",
        "/id",
        "/imsOrgID",
        "/expires",
        "/schema",
        "/__proto__",
        "/$schema",
        "/ ",
        "/connection/Name",
        "/connection/nam",
        "/connection/params",
        "/connection/data",
        "/connection/baseConnectionId",
        "/connection/providerId",
        "/connection/state",
        "/connection/sandboxName",
        "/connection/connectionSpec/ver",
        "/connection/connectionSpec/name",
    ];
    paths.into_iter().map(|path| Bad::with(path, json!("x"))).collect()
}

/// Values of the right kind that are not allowed.
pub(super) fn wrong_values() -> Vec<Bad> {
    let long = "x".repeat(129);
    let injection = "a\r\nx-evil: 1";
    let table: &[(&str, &[&str])] = &[
        ("/imsOrgId", &["", " ", injection, "a\nb", "a\u{0}", "ä@AdobeOrg", "a b", "a:b", "*", &long]),
        (
            "/sandboxName",
            &[
                "",
                " ",
                "PROD",
                "Prod",
                "prod\r\nx-sandbox-id: 1",
                "prod dev",
                "../prod",
                "prod?x",
                "*",
                &long,
            ],
        ),
        ("/connection/name", &["", " ", "\n\t"]),
        ("/connection/auth/specName", &["", " "]),
        ("/connection/connectionSpec/id", &["", " "]),
        ("/connection/connectionSpec/version", &["", " "]),
        ("/source", &["", "hubspott", "HubSpot CRM", "postgresql", "\u{0}", &long]),
        (
            "/expiresAt",
            &[
                "",
                "soon",
                "2030-01-31",
                "2030-01-31T12:00:00",
                "2030-13-01T00:00:00Z",
                "2030-02-30T00:00:00Z",
                "1893456000",
                "99999-01-01T00:00:00Z",
                "2030-01-31T12:00:00+99:00",
                "+1 day",
                "-1",
            ],
        ),
    ];
    let mut bad: Vec<Bad> = table
        .iter()
        .flat_map(|(path, values)| values.iter().map(|value| Bad::with(path, json!(value))))
        .collect();
    let versions = [json!(0), json!(2), json!(-1), json!(1.0), json!("1"), json!(4_294_967_297_u64)];
    bad.extend(versions.map(|version| Bad::with("/schemaVersion", version)));
    bad.extend(
        ["2000-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2020-06-01T00:00:00-11:00"]
            .map(|past| Bad { code: "expired", ..Bad::with("/expiresAt", json!(past)) }),
    );
    // Two things that do not go together.
    let mut two_kinds = Bad::with("/source", json!("salesforce"));
    two_kinds.take_away("/connection/connectionSpec");
    two_kinds.take_away("/connection/auth/specName");
    bad.push(two_kinds);
    bad
}

/// What only text can hold: fields given twice, broken escapes, nesting.
pub(super) fn wrong_texts() -> Vec<Bad> {
    let replaced = |what: &str, from: &str, to: &str| {
        let mut bad = Bad::with("/sandboxName", json!("dev"));
        let text = String::from_utf8(bad.body.clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        bad.body = text.replacen(from, to, 1).into_bytes();
        Bad { kind: what.to_owned(), ..bad }
    };
    // Of a message with a field twice nothing is believed, the id included.
    let twice = |what: &str, from: &str, to: &str| Bad { job_id: None, ..replaced(what, from, to) };
    let params =
        |what: &str, value: &str| replaced(what, r#""clientId":"#, &format!(r#""x":{value},"clientId":"#));
    vec![
        twice("sandboxName twice", r#""sandboxName":"#, r#""sandboxName":"prod","sandboxName":"#),
        twice(
            "sandboxName twice, escaped",
            r#""sandboxName":"#,
            r#""sandboxN\u0061me":"prod","sandboxName":"#,
        ),
        twice("connection twice", r#""connection":"#, r#""connection":{},"connection":"#),
        replaced("name twice", r#""name":"#, r#""name":"a","name":"#),
        replaced("auth twice", r#""auth":"#, r#""auth":{},"auth":"#),
        replaced("specName twice", r#""specName":"#, r#""specName":"a","specName":"#),
        replaced("a credential twice", r#""clientId":"#, r#""clientId":"a","clientId":"#),
        replaced("the spec's id twice", r#""id":"#, r#""id":"a","id":"#),
        params("a field twice, deep in the credentials", r#"[{"a":{"b":1,"b":2}}]"#),
        params("faults with long paths", &in_long_path(r#"{"a":1,"a":2}"#)),
        params("a bomb of faults", &in_long_path(&format!("[{}]", vec![r#""\ud800""#; 100_000].join(",")))),
        params("a lone surrogate in a credential", r#""\ud800""#),
        params("a lone surrogate in a key", r#"{"\udfff":1}"#),
        params("credentials too deep", &nested("[", "]", 40, "")),
        params("credentials much too deep", &nested("{\"a\":", "}", 50_000, "1")),
        replaced("a lone surrogate in the name", "connection ", r"\udc00"),
        replaced("a number with a point for a version", r#""version":"1.0""#, r#""version":1.0"#),
    ]
}

/// Deep in an object whose path is as long as a path can be. A hundred thousand faults there would fill gigabytes, if
/// all of them were spelled out.
fn in_long_path(inner: &str) -> String {
    nested(&format!("{{\"{}\":", "🦀".repeat(64)), "}", 25, inner)
}
