//! The simulated source's HTTP side.

use std::borrow::Cow;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::web::{Bytes, Data, Path, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Resource, rt, web};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::SimulateOptions;
use super::answer::{Flow, PROJECT_ID, Template, detail, failure};
use super::calls::CallLog;
use super::steer::{self, Steer};
use crate::domain::source::Secret;

/// Largest request that is read.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct State {
    latency: Duration,
    failure_rate: f64,
    answer_bytes: usize,
    api_key: Secret,
    chat: Template,
    text: Template,
    calls: Arc<CallLog>,
}

impl State {
    pub(super) fn new(options: &SimulateOptions, calls: Arc<CallLog>) -> Self {
        Self {
            latency: options.latency,
            failure_rate: options.failure_rate,
            answer_bytes: options.answer_bytes,
            api_key: options.api_key.clone(),
            chat: Template::new(Flow::Chat),
            text: Template::new(Flow::Text),
            calls,
        }
    }

    fn template(&self, flow: Flow) -> &Template {
        match flow {
            Flow::Chat => &self.chat,
            Flow::Text => &self.text,
        }
    }

    /// The refusal, where a request has not the right key.
    fn refuse(&self, request: &HttpRequest, wrong: &'static str) -> Option<HttpResponse> {
        let key = self.api_key.expose();
        let given = request.headers().get("x-api-key").map(|value| value.as_bytes());
        match given {
            _ if key.is_empty() => None,
            Some(given) if given == key.as_bytes() => None,
            Some(_) => Some(answer(StatusCode::FORBIDDEN, detail(wrong))),
            None => Some(answer(StatusCode::FORBIDDEN, detail("No authentication credentials provided"))),
        }
    }
}

/// Serves until `stopped` is used or dropped. Blocks; it has its own runtime.
pub(super) fn serve(
    listener: TcpListener,
    workers: usize,
    state: State,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let state = Data::new(state);
    rt::System::new().block_on(async move {
        let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes))
            .workers(workers)
            // A caller that goes away takes its run along, so that a hanging one doesn't stay for ever.
            .h1_allow_half_closed(false)
            .disable_signals()
            .listen(listener)?
            .run();
        let handle = server.handle();
        rt::spawn(async move {
            // Used or dropped, both mean the same.
            let _ = stopped.await;
            handle.stop(false).await;
        });
        server.await
    })
}

fn routes(app: &mut ServiceConfig) {
    app.app_data(PayloadConfig::new(MAX_REQUEST_BYTES))
        .service(web::resource("/api/v1/run/{flow}").route(web::post().to(run)))
        .route("/health", web::get().to(async || answer(StatusCode::OK, json!({"status": "ok"}).to_string())))
        .route("/api/v1/version", web::get().to(version))
        .route("/api/v1/projects/", web::get().to(projects))
        .route("/api/v1/flows/", web::get().to(flows))
        .route("/api/v1/flows/{flow}", web::get().to(flow))
        .service(moved("/api/v1/projects", "/api/v1/projects/"))
        .service(moved("/api/v1/folders", "/api/v1/folders/"))
        .service(moved("/api/v1/folders/", "/api/v1/projects/"))
        .service(moved("/api/v1/flows", "/api/v1/flows/"))
        .route("/_spark/calls", web::get().to(calls))
        .route("/_spark/reset", web::post().to(reset))
        .default_service(web::to(async || answer(StatusCode::NOT_FOUND, detail("Not Found"))));
}

fn moved(from: &str, to: &'static str) -> Resource {
    web::resource(from).route(
        web::get().to(move || async move { HttpResponse::TemporaryRedirect().insert_header((LOCATION, to)).finish() }),
    )
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(body.into())
}

async fn version() -> HttpResponse {
    let version = json!({"version": "1.13.0", "main_version": "1.13.0", "package": "Langflow (simulated)"});
    answer(StatusCode::OK, version.to_string())
}

async fn projects(request: HttpRequest, state: Data<State>) -> HttpResponse {
    state.refuse(&request, "Invalid API key").unwrap_or_else(|| {
        let project = json!({"id": PROJECT_ID, "name": "Simulated project", "description": "", "parent_id": null});
        answer(StatusCode::OK, json!([project]).to_string())
    })
}

async fn flows(request: HttpRequest, state: Data<State>) -> HttpResponse {
    state.refuse(&request, "Invalid API key").unwrap_or_else(|| {
        let headers = request.query_string().contains("header_flows=true");
        answer(StatusCode::OK, json!(Flow::ALL.map(|flow| flow.describe(!headers))).to_string())
    })
}

async fn flow(request: HttpRequest, path: Path<String>, state: Data<State>) -> HttpResponse {
    state.refuse(&request, "Invalid API key").unwrap_or_else(|| match Flow::by_id(&path) {
        Some(flow) => answer(StatusCode::OK, flow.describe(true).to_string()),
        None if path.parse::<uuid::Uuid>().is_ok() => answer(StatusCode::NOT_FOUND, detail("Flow not found")),
        None => {
            let problem = json!({"type": "uuid_parsing", "loc": ["path", "flow_id"], "msg": "Input should be a UUID"});
            answer(StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": [problem]}).to_string())
        }
    })
}

async fn calls(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.calls.counts())
}

async fn reset(state: Data<State>) -> HttpResponse {
    state.calls.clear();
    HttpResponse::NoContent().finish()
}

/// What a run is sent, as far as it matters.
#[derive(Deserialize)]
struct RunBody<'a> {
    #[serde(borrow)]
    input_value: Option<&'a RawValue>,
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
}

async fn run(request: HttpRequest, path: Path<String>, body: Bytes, state: Data<State>) -> HttpResponse {
    if let Some(refusal) = state.refuse(&request, "Invalid or missing API key") {
        return refusal;
    }
    let Some(flow) = Flow::by_id(&path) else {
        return answer(StatusCode::NOT_FOUND, detail(&format!("Flow identifier {path} not found")));
    };
    let Ok(body) = serde_json::from_slice::<RunBody<'_>>(&body) else {
        return answer(StatusCode::UNPROCESSABLE_ENTITY, detail("JSON decode error"));
    };
    // Like LangFlow 1.13: what is not text is nothing.
    let input: String = body.input_value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default();
    let session = body.session_id.as_deref().unwrap_or(flow.id());
    let call = state.calls.begin(session);
    let response = answer_run(&state, flow, &input, session, call.nth).await;
    call.answered(response.status().as_u16());
    response
}

async fn answer_run(state: &State, flow: Flow, input: &str, session: &str, nth: u64) -> HttpResponse {
    if !state.latency.is_zero() {
        rt::time::sleep(state.latency).await;
    }
    if state.failure_rate > 0.0 && rand::random::<f64>() < state.failure_rate {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, failure("a failure by chance"));
    }
    let echo = |text: &str| answer(StatusCode::OK, state.template(flow).fill(input, text, session, state.answer_bytes));
    match steer::read(input) {
        Steer::Echo => echo(&input.to_uppercase()),
        Steer::Fail(text) => answer(StatusCode::INTERNAL_SERVER_ERROR, failure(text)),
        Steer::Sleep(time) => {
            rt::time::sleep(time).await;
            echo(&input.to_uppercase())
        }
        Steer::Status { status, retry_after } => refuse_with(status, retry_after),
        Steer::Hang => std::future::pending().await,
        Steer::Reset => broken(),
        Steer::Big(bytes) => echo(&"x".repeat(bytes)),
        Steer::Flaky(times) if nth <= times => refuse_with(503, None),
        Steer::Flaky(_) => echo(&input.to_uppercase()),
        Steer::Html => HttpResponse::Ok().content_type("text/html").body("<html><body>Welcome</body></html>"),
    }
}

fn refuse_with(status: u16, retry_after: Option<&str>) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(wait) = retry_after {
        response.insert_header((RETRY_AFTER, wait));
    }
    if status.is_redirection() {
        response.insert_header((LOCATION, "/elsewhere"));
    }
    response.content_type("application/json").body(detail("the status that was asked for"))
}

/// A body that fails before its first byte: the server gives the connection up with nothing sent.
fn broken() -> HttpResponse {
    let body = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("a reset was asked for")) });
    HttpResponse::Ok().streaming(body)
}
