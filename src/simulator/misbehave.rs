//! Latency and faults: when a request is acted upon, and what becomes of its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::capacity::TooMany;
use super::endpoint::Endpoint;
use super::fault::{ErrorAnswer, Fault, Form, Rule, When};
use super::http::{Call, handle};
use super::payload::{Closed, CutBody, Payload};
use super::problem::{self, json_answer};
use super::{State, locked};

/// Answers a call, as the first rule that matches it has it; if there is none, as long as so many calls are borne.
pub(super) async fn answer(state: &Arc<State>, call: Arc<Call>) -> Result<Response<Payload>, Closed> {
    let latency = locked(&state.settings).latency.sample(&mut locked(&state.random));
    let Some(rule) = state.faults.strike(call.endpoint, call.org(), || call.name(), &state.random) else {
        if let Err(too_many) = bear(state, &call) {
            wait(latency).await;
            return Ok(throttled(too_many.retry_after.map(|seconds| seconds.to_string()).as_deref()));
        }
        return act(state, call, latency / 2, latency / 2).await;
    };
    state.counts.fault_acted(rule.fault.kind());
    struck(state, call, &rule, latency).await
}

/// Whether one more call is borne; IMS bears any number.
fn bear(state: &State, call: &Call) -> Result<(), TooMany> {
    match &state.bucket {
        Some(bucket) if call.endpoint != Endpoint::Token => locked(bucket).take(Instant::now()),
        _ => Ok(()),
    }
}

async fn struck(
    state: &Arc<State>,
    call: Arc<Call>,
    rule: &Rule,
    latency: Duration,
) -> Result<Response<Payload>, Closed> {
    let half = latency / 2;
    match (&rule.fault, rule.when()) {
        (Fault::ExpireTokens, _) => {
            state.tokens.expire();
            act(state, call, half, half).await
        }
        (Fault::Delay { ms }, When::Before) => {
            act(state, call, half + Duration::from_millis(*ms), half).await
        }
        (Fault::Delay { ms }, When::After) => act(state, call, half, half + Duration::from_millis(*ms)).await,
        (fault, When::After) => {
            let done = act(state, Arc::clone(&call), half, half).await?;
            spoil(state, &call, fault, done).await
        }
        (fault, When::Before) => {
            wait(latency).await;
            spoil(state, &call, fault, json_answer(StatusCode::CREATED, "{}")).await
        }
    }
}

/// Acts on a call after one time and answers after another.
async fn act(
    state: &Arc<State>,
    call: Arc<Call>,
    before: Duration,
    after: Duration,
) -> Result<Response<Payload>, Closed> {
    let done = if before.is_zero() {
        handle(state, &call)
    } else {
        // In a task of its own, which goes on when the client gives up: a service does not notice that either.
        let state = Arc::clone(state);
        let late = tokio::spawn(async move {
            sleep(before).await;
            handle(&state, &call)
        });
        late.await.map_err(|_| Closed)?
    };
    wait(after).await;
    Ok(done)
}

/// Even a sleep of no time at all would cost a millisecond.
async fn wait(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// What the client sees in place of `done`.
async fn spoil(
    state: &State,
    call: &Call,
    fault: &Fault,
    done: Response<Payload>,
) -> Result<Response<Payload>, Closed> {
    match fault {
        Fault::Close => Err(Closed),
        Fault::Hang => {
            state.stopping.cancelled().await;
            Err(Closed)
        }
        Fault::Truncate => Ok(truncated(done)),
        Fault::InvalidJson => Ok(done.map(|_| Payload::whole(&b"{\"id\":\"oops"[..]))),
        Fault::Huge { bytes } => Ok(done.map(|_| Payload::Filler(*bytes))),
        Fault::Status(wanted) => Ok(error(wanted, call)),
        Fault::Throttle { retry_after } => Ok(throttled(retry_after.as_deref())),
        Fault::Redirect { status, location } => {
            let mut answer = Response::new(Payload::empty());
            *answer.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            set(&mut answer, LOCATION, location);
            Ok(answer)
        }
        Fault::Echo { status } => Ok(echo(*status, call)),
        Fault::State { state } => Ok(in_state(done, state)),
        Fault::TestResult { result } => {
            Ok(done.map(|_| Payload::whole(json!({ "result": result }).to_string())))
        }
        Fault::Clock { seconds } => Ok(at_another_time(done, *seconds)),
        Fault::Delay { .. } | Fault::ExpireTokens => Ok(done), // handled before
    }
}

fn set(answer: &mut Response<Payload>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// With the date of a clock that is off.
fn at_another_time(mut done: Response<Payload>, seconds: i64) -> Response<Payload> {
    let (now, by) = (SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
    let shown = if seconds < 0 { now.checked_sub(by) } else { now.checked_add(by) };
    if let Some(shown) = shown {
        set(&mut done, DATE, &httpdate::fmt_http_date(shown));
    }
    done
}

fn truncated(done: Response<Payload>) -> Response<Payload> {
    let whole = done.body().bytes();
    let start = whole.slice(..whole.len() / 2);
    let mut answer = done.map(|_| Payload::Cut(CutBody::Start(start)));
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.len().max(1)));
    answer
}

/// Every connection of a page in this state.
fn in_state(done: Response<Payload>, state: &str) -> Response<Payload> {
    let Ok(mut page) = serde_json::from_slice::<Value>(&done.body().bytes()) else { return done };
    for item in page.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.insert("state".to_owned(), state.into());
        }
    }
    done.map(|_| Payload::whole(page.to_string()))
}

fn throttled(retry_after: Option<&str>) -> Response<Payload> {
    let code = if retry_after.is_some() { "429050" } else { "429001" };
    let mut answer = problem::gateway(429, code, "Too many requests");
    if let Some(retry_after) = retry_after {
        set(&mut answer, RETRY_AFTER, retry_after);
    }
    answer
}

fn echo(status: u16, call: &Call) -> Response<Payload> {
    let authorization = call.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
    let body = String::from_utf8_lossy(&call.body);
    let detail = format!("Error from flow provider: cannot process {authorization} {body}");
    problem::flow(status, &format!("1100-{status}"), &detail, &call.request_id)
}

fn error(wanted: &ErrorAnswer, call: &Call) -> Response<Payload> {
    let ErrorAnswer { status, form, code, message, body, content_type, retry_after } = wanted;
    let message = message.as_deref().unwrap_or("The simulator was told to answer so.");
    let code = code.clone().unwrap_or_else(|| usual_code(*form, *status));
    let mut answer = match form {
        Form::Flow => problem::flow(*status, &code, message, &call.request_id),
        Form::Gateway => problem::gateway(*status, &code, message),
        Form::Ims => problem::ims(*status, &code, message),
        Form::Raw => raw(*status, body.as_deref().unwrap_or("")),
    };
    if let Some(content_type) = content_type {
        set(&mut answer, CONTENT_TYPE, content_type);
    }
    if let Some(retry_after) = retry_after {
        set(&mut answer, RETRY_AFTER, retry_after);
    }
    answer
}

fn raw(status: u16, body: &str) -> Response<Payload> {
    let mut answer = Response::new(Payload::whole(Bytes::copy_from_slice(body.as_bytes())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    set(&mut answer, CONTENT_TYPE, "text/html");
    answer
}

/// The code that Adobe would most likely send with a status.
fn usual_code(form: Form, status: u16) -> String {
    match (form, status) {
        (Form::Ims, 400..=499) => "invalid_request".to_owned(),
        (Form::Ims, _) => "server_error".to_owned(),
        (Form::Gateway, 401) => "401013".to_owned(),
        (Form::Gateway, 429) => "429050".to_owned(),
        (Form::Gateway, _) => format!("{status}000"),
        (_, 500) => "1102-500".to_owned(),
        (_, 503) => "1103-503".to_owned(),
        (_, 504) => "1104-504".to_owned(),
        _ => format!("1100-{status}"),
    }
}
