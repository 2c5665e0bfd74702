//! From a client's bytes to an answer: reads the request, lets a fault strike, counts the end.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;
use super::payload::{Closed, Payload};
use super::{State, connections, control, gateway, ims, misbehave, problem, specs, tls};

/// Larger bodies are refused with 413.
const MAX_BODY: usize = 1024 * 1024;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) version: Version,
    pub(super) endpoint: Endpoint,
    pub(super) id: Option<String>,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: String,
}

impl Call {
    /// The id in the path, or nothing.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or("")
    }

    /// The organisation that it is for, if it says so.
    pub(super) fn org(&self) -> Option<&str> {
        self.headers.get("x-gw-ims-org-id")?.to_str().ok()
    }

    /// The name of the connection to be created, if the body can be read.
    pub(super) fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            name: Option<String>,
        }
        serde_json::from_slice::<Named>(&self.body).ok()?.name
    }
}

/// Serves one client until it leaves or the simulator stops.
pub(super) async fn serve(state: Arc<State>, stream: TcpStream) {
    // Without it every small answer could wait for a delayed ACK; a failure costs only that.
    stream.set_nodelay(true).ok();
    let http = Builder::new(TokioExecutor::new());
    let Some(tls) = &state.options.tls else { return talk(&state, http.http1_only(), stream).await };
    let accepted = state.stopping.run_until_cancelled(tls.accept(stream)).await;
    let Some(stream) = accepted.flatten() else { return };
    let http = if tls::is_http2(&stream) { http.http2_only() } else { http.http1_only() };
    talk(&state, http, stream).await;
}

async fn talk<I>(state: &Arc<State>, http: Builder<TokioExecutor>, stream: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopping = state.stopping.clone();
    let state = Arc::clone(state);
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // How it ends is of no interest: clients leave, and faults close connections.
    tokio::select! {
        ended = connection.as_mut() => ended.ok(),
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await.ok()
        }
    };
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Payload>, Closed> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(path) = path.strip_prefix(control::PREFIX) {
        let Some(body) = read(body).await? else { return Ok(too_large()) };
        return Ok(control::answer(&state, &parts.method, path, parts.uri.query(), &body));
    }
    let (endpoint, id) = Endpoint::of(&parts.method, path);
    let under_way = state.counts.begin(endpoint);
    let request_id = format!("{:032x}", state.random_bits());
    let mut answer = match read(body).await? {
        None => too_large(),
        Some(body) => {
            let id = id.map(str::to_owned);
            let query = parts.uri.query().map(str::to_owned);
            let call = Arc::new(Call {
                version: parts.version,
                endpoint,
                id,
                query,
                headers: parts.headers,
                body,
                request_id: request_id.clone(),
            });
            if endpoint == Endpoint::Create {
                state.requests.record(Arc::clone(&call));
            }
            misbehave::answer(&state, call).await?
        }
    };
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        answer.headers_mut().insert(REQUEST_ID.clone(), request_id);
    }
    under_way.answered(answer.status().as_u16());
    Ok(answer)
}

/// The body, unless it is too large.
async fn read(body: Incoming) -> Result<Option<Bytes>, Closed> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(Some(collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(_) => Err(Closed), // the client left
    }
}

fn too_large() -> Response<Payload> {
    let mut answer = problem::platform(413, "The request body is too large");
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The answer of well-behaved services. What it changes is changed when it returns.
pub(super) fn handle(state: &State, call: &Call) -> Response<Payload> {
    match call.endpoint {
        Endpoint::Token => return ims::token(state, &call.headers, &call.body),
        Endpoint::Other | Endpoint::Any => return problem::platform(404, "There is no such call"),
        _ => {}
    }
    let caller = match gateway::admit(state, &call.headers, &call.request_id) {
        Ok(caller) => caller,
        Err(refused) => return *refused,
    };
    match call.endpoint {
        Endpoint::Create => connections::create(state, call, caller),
        Endpoint::Find => connections::find(state, call, caller),
        Endpoint::Get => connections::get(state, call, caller),
        Endpoint::Test => connections::test(state, call, caller),
        Endpoint::Delete => connections::delete(state, call, caller),
        _ => specs::specs(call),
    }
}
