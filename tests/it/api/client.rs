//! A client that sends exactly what a test says, and the API on a socket of its own.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use automagik_spark::dispatch::backlog::BacklogLimits;
use automagik_spark::dispatch::events::EventOptions;
use automagik_spark::dispatch::health::Phase;
use automagik_spark::dispatch::traces::Traces;
use automagik_spark::dispatch::{Dispatch, DispatchOptions};
use automagik_spark::domain::circuit::CircuitOptions;
use automagik_spark::domain::ids::NodeId;
use automagik_spark::domain::retry::RetryOptions;
use automagik_spark::domain::source::Secret;
use automagik_spark::http::{ApiOptions, ApiState, Keyring, serve};
use automagik_spark::mailbox::{Mailbox, MailboxOptions};
use automagik_spark::simulate::{self, SimulateOptions, Simulated};
use automagik_spark::sources::{HttpClient, HttpOptions};
use automagik_spark::store::{PoolOptions, Store, Vault};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::contract;
use crate::harness::servers::{TestServers, pool_options};

/// The key of the API.
pub(crate) const KEY: &str = "the-key-of-the-api";
/// The key of the simulated source.
pub(crate) const SOURCE_KEY: &str = "sk-the-key-of-the-source";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `detail` of an error; empty for other answers.
    pub(crate) fn detail(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// The JSON of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }
}

/// The API over real servers, without executors: what a test needs to happen to a task, it writes itself.
pub(crate) struct TestApi {
    pub(crate) servers: TestServers,
    pub(crate) source: Simulated,
    pub(crate) dispatch: Dispatch,
    pub(crate) sql: tokio_postgres::Client,
    pub(crate) address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
}

impl Drop for TestApi {
    fn drop(&mut self) {
        // The command is sent at once; nobody needs to wait.
        drop(self.handle.stop(false));
    }
}

impl TestApi {
    pub(crate) async fn start() -> Self {
        Self::over(TestServers::start().await, |_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ApiOptions)) -> Self {
        Self::over(TestServers::start().await, change).await
    }

    pub(crate) async fn over(servers: TestServers, change: impl FnOnce(&mut ApiOptions)) -> Self {
        let runtime = Handle::current();
        let vault = Vault::new(&Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).expect("a Fernet key");
        let pool = PoolOptions { acquire_timeout: Duration::from_secs(2), ..pool_options(&servers.service_url) };
        let store = Store::open(&pool, vault, runtime.clone()).unwrap();
        let mailbox = MailboxOptions {
            url: Secret::new(&servers.redis_url),
            pool_size: 2,
            acquire_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            key_prefix: "spark".to_owned(),
        };
        let mailbox = Mailbox::open(mailbox, runtime.clone()).unwrap();
        let limits = DispatchOptions {
            circuit: CircuitOptions {
                max_failures: 5,
                wait: Duration::from_secs(5),
                max_wait: Duration::from_secs(300),
                max_retry_after: Duration::from_secs(3600),
            },
            submits_waiting: 1000,
            backlog: BacklogLimits { pending: 0, pending_per_queue: 0, waiting_bytes: 64 << 20 },
            max_batch: 100,
            retry: RetryOptions::default(),
            children_limit: 100,
            events: EventOptions { streams: 50, kept: 256 },
        };
        let dispatch =
            Dispatch::start(NodeId::generate(), store.clone(), mailbox, Traces::default(), &limits, &runtime);
        dispatch.health().enter(Phase::Ready);
        dispatch.health().set_database(true);
        dispatch.health().set_redis(true);
        let mut options = ApiOptions { api_keys: vec![Secret::new(KEY)], ..ApiOptions::default() };
        change(&mut options);
        let sources = HttpClient::new(HttpOptions::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let keyring = Keyring::start(store.clone(), &runtime);
        let state = ApiState { store, keyring, dispatch: dispatch.clone(), sources, options };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = serve(listener, state, 2).unwrap();
                sender.send(server.handle()).ok();
                server.await.ok();
            });
        });
        let (sql, connection) = tokio_postgres::connect(&servers.database_url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let source =
            simulate::start(SimulateOptions { api_key: Secret::new(SOURCE_KEY), ..SimulateOptions::default() })
                .unwrap();
        Self { servers, source, dispatch, sql, address, handle: receiver.await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request as it is written here; nothing is added but `Host`, `Connection` and a length.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may close before it has read all.
        stream.write_all(body).await.ok();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
        read.expect("an answer in time").unwrap_or_default();
        let answer = read_answer(&bytes).unwrap_or_else(|| panic!("no answer to {method} {path}"));
        contract::check(method, path, &answer);
        answer
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// POST without a body.
    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.call("POST", path, None).await
    }

    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        self.sql.execute(sql, &[]).await.unwrap()
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.sql.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }

    /// Adds the simulated source.
    pub(crate) async fn add_source(&self) -> Value {
        let body = json!({"source_type": "langflow", "url": self.source.url(), "api_key": SOURCE_KEY});
        self.post("/api/v1/sources", body).await.expect(201)
    }

    /// Adds the simulated source and syncs one of its flows; the workflow's id.
    pub(crate) async fn add_workflow(&self) -> String {
        self.add_source().await;
        self.sync(simulate::FLOW_ID).await
    }

    pub(crate) async fn sync(&self, flow: &str) -> String {
        let path = format!("/api/v1/workflows/sync/{flow}?source_url={}", self.source.url());
        id(&self.act(&path).await.expect(200))
    }

    pub(crate) async fn run(&self, workflow: &str, input: &str) -> String {
        id(&self.post(&format!("/api/v1/workflows/{workflow}/run"), json!(input)).await.expect(200))
    }
}

/// The id of an answer.
pub(crate) fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

/// The names of an object's fields.
pub(crate) fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunk(body)?
    } else {
        body.to_vec()
    };
    Some(Answer { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
