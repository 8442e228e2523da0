//! A running service: the real program, as a process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, panic, thread};

use automagik_spark::dev::Signal;
use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use super::sse::EventStream;
use super::stage::{API_KEY, Stage, connect};
use super::until;

/// How long anything may take that takes a moment; for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Requests that are under way at one time when many tasks are submitted.
const SUBMITTERS: usize = 32;

/// A service. It is killed when this is dropped, and then no task may be running any more: a test waits for what it
/// started.
pub(crate) struct TestNode {
    process: Child,
    status: Option<ExitStatus>,
    log: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
    url: String,
    database_url: String,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }
}

/// Starts `serve` with its log captured.
pub(crate) fn spawn(mut command: Command) -> (Child, Arc<Mutex<Vec<String>>>) {
    let mut process = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let written = log.clone();
    // It ends with the process and its children, which hold the other end.
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            written.lock().expect("nobody panics under this lock").push(line);
        }
    });
    (process, log)
}

impl TestNode {
    /// Starts a service and waits until it listens.
    pub(crate) async fn launch(command: Command, database_url: &str) -> Self {
        let mut node = Self::begin(command, database_url);
        node.until_it_listens().await;
        node
    }

    /// Starts a service that may have to wait for something.
    pub(crate) fn begin(command: Command, database_url: &str) -> Self {
        let (process, log) = spawn(command);
        let http = http_client();
        Self { process, status: None, log, http, url: String::new(), database_url: database_url.into() }
    }

    pub(crate) async fn until_it_listens(&mut self) {
        self.url = until("the service listens", SOON, async || {
            if let Some(status) = self.process.try_wait().expect("ours") {
                panic!("the service ended ({status}):\n{}", self.log());
            }
            self.log().lines().find_map(|line| {
                let address = line.split_once("listening on ")?.1;
                Some(address.split(' ').next()?.to_owned())
            })
        })
        .await;
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics under this lock").join("\n")
    }

    pub(crate) async fn try_ask(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        self.try_ask_as(API_KEY, method, path, body).await
    }

    pub(crate) async fn try_ask_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("X-API-Key", key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let text = response.text().await?;
        Ok(Answer { status, retry_after, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// Opens an event stream.
    pub(crate) async fn stream(&self, path: &str) -> EventStream {
        EventStream::open(&format!("{}{path}", self.url), API_KEY, None).await.expect("it opens")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_ask(Method::GET, path, None).await.expect("the service answers").ok()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.try_ask(Method::POST, path, Some(body)).await.expect("the service answers").ok()
    }

    /// Does what takes no more than its path, as `queues/celery/pause`.
    pub(crate) async fn act(&self, what: &str) {
        self.post(&format!("/api/v1/{what}"), &json!({})).await;
    }

    /// The stage's source is added, its flow synced. Answers the workflow's id.
    pub(crate) async fn workflow(&self, stage: &Stage) -> String {
        let source = json!({"source_type": "langflow", "url": stage.source.url(), "api_key": "any"});
        self.post("/api/v1/sources", &source).await;
        let sync = format!("/api/v1/workflows/sync/{}", automagik_spark::simulate::FLOW_ID);
        let workflow = self.post(&sync, &json!({"source_url": stage.source.url()})).await;
        workflow["id"].as_str().expect("an id").to_owned()
    }

    /// Submits one task. Answers its id.
    pub(crate) async fn run(&self, workflow: &str, request: &Value) -> String {
        let task = self.post(&format!("/api/v1/workflows/{workflow}/run"), request).await;
        task["id"].as_str().expect("an id").to_owned()
    }

    /// Submits many tasks, whose input is what is given and a number.
    pub(crate) async fn run_many(&self, workflow: &str, count: usize) -> Vec<String> {
        let submits = (0..count).map(|number| {
            let request = json!({"input_data": format!("task {number}")});
            async move { self.run(workflow, &request).await }
        });
        futures_util::stream::iter(submits).buffer_unordered(SUBMITTERS).collect().await
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/tasks/{id}")).await
    }

    pub(crate) async fn attempts(&self, id: &str) -> Vec<Value> {
        let page = self.get(&format!("/api/v1/tasks/{id}/attempts")).await;
        page["items"].as_array().or(page.as_array()).expect("a list").clone()
    }

    /// Waits until a task is in a status; answers the task.
    pub(crate) async fn until_task_is(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(
            SOON,
            until(status, SOON * 2, async || {
                last = self.task(id).await;
                (last["status"] == status).then(|| last.clone())
            }),
        );
        found.await.unwrap_or_else(|_| {
            panic!("task {id} did not become {status}: it is {}, {}", last["status"], last["error"])
        })
    }

    /// What happened to the executors.
    pub(crate) async fn history(&self) -> Vec<Value> {
        self.get("/api/v1/workers/history").await["items"].as_array().expect("a list").clone()
    }

    /// The executors that run.
    pub(crate) async fn executors(&self) -> Vec<Value> {
        self.get("/api/v1/workers").await["items"].as_array().expect("a list").clone()
    }

    /// Waits until the monitor has measured every executor.
    pub(crate) async fn until_measured(&self) {
        until("executors are measured", SOON, async || {
            self.executors().await.iter().all(|executor| executor["cpu_percent"].is_number()).then_some(())
        })
        .await;
    }

    /// Waits until no executor runs anything, as far as the last sample showed.
    pub(crate) async fn until_idle(&self) {
        until("no attempt runs", SOON, async || {
            let active = |executor: &Value| executor["active_attempts"].as_u64().expect("a number");
            self.executors().await.iter().all(|executor| active(executor) == 0).then_some(())
        })
        .await;
    }

    /// How many files and sockets the service had open at its last sample. What `/proc` says of them is hidden from the
    /// service's own user.
    pub(crate) async fn open_files(&self) -> usize {
        let metrics = self.get("/metrics").await;
        let line = metrics.as_str().expect("text").lines().find_map(|line| line.strip_prefix("process_open_fds "));
        line.expect("it is told").parse::<f64>().expect("a number") as usize
    }

    /// The processes of the executors.
    pub(crate) async fn child_pids(&self) -> Vec<u32> {
        self.executors().await.iter().filter_map(|executor| u32::try_from(executor["pid"].as_u64()?).ok()).collect()
    }

    pub(crate) async fn until_children_are_ready(&self) {
        until("all children are ready", SOON, async || {
            let workers = self.get("/api/v1/workers").await;
            let executors = workers["items"].as_array().expect("a list");
            let is_full = |pool: &Value| {
                let ready = |executor: &&Value| executor["pool"] == pool["name"] && executor["state"] == "ready";
                executors.iter().filter(ready).count() as u64 == pool["workers"].as_u64().expect("a number")
            };
            workers["pools"].as_array().expect("a list").iter().all(is_full).then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        let status = until("the service ends", limit, async || self.process.try_wait().expect("ours")).await;
        self.status = Some(status);
        println!("the service ended after {:?}", started.elapsed());
        status
    }

    /// Stops it as systemd does; it must end well.
    pub(crate) async fn stop(&mut self, limit: Duration) {
        self.signal(Signal::TERM);
        let status = self.wait_exit(limit).await;
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.log());
    }

    /// Kills it as a crash does.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait_exit(SOON).await.signal(), Some(9));
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the service's log:\n{}", self.log());
        }
        if self.status.is_some() {
            return;
        }
        let left = if thread::panicking() { 0 } else { running(&self.database_url) };
        self.process.kill().expect("ours");
        self.process.wait().expect("ours");
        assert_eq!(left, 0, "the test ended while tasks were running; the service's log:\n{}", self.log());
    }
}

/// How many tasks run, asked from outside of any runtime.
fn running(database_url: &str) -> i64 {
    let url = database_url.to_owned();
    let asked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = connect(&url).await;
            let sql = "SELECT count(*) FROM tasks WHERE status = 'running'";
            client.query_one(sql, &[]).await.expect("the query works").get(0)
        })
    });
    asked.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}

/// Signals a process that this test started, or one that such a process did.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("it runs");
}

/// Whether a process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn http_client() -> reqwest::Client {
    client_builder().build().expect("a client")
}

/// A client in the making that talks to loopback.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // Installed by an earlier test already, all the same.
    let _earlier = rustls::crypto::ring::default_provider().install_default();
    let tls =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls)
}
