//! A real Prometheus with the shipped configuration and alerts, in a hurry: it looks every second, and what has to last
//! for minutes lasts for seconds.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::read;
use crate::harness::node::{SOON, http_client};
use crate::harness::until;

/// How long an alert may take to fire or to go: windows are shortened to 20 and 60 s, figures are measured every 5 s.
pub(super) const LIMIT: Duration = Duration::from_secs(150);

/// The process. It ends with the test, whatever the test comes to.
pub(super) struct Prometheus {
    process: Child,
    http: reqwest::Client,
    url: String,
    /// The alerts that have fired and gone, with the seconds that each took.
    pub(super) provoked: BTreeMap<String, (u64, u64)>,
    _directory: TempDir,
}

/// A port of this machine that is free now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// The shipped alerts with `for` and the windows of rates shortened; thresholds stay what they are.
fn hurried(alerts: &str) -> String {
    let line = |line: &str| match line.trim_start() {
        rest if rest.starts_with("for: ") => format!("{}for: 2s\n", &line[..line.len() - rest.len()]),
        rest if rest.starts_with("interval: ") => format!("{}interval: 1s\n", &line[..line.len() - rest.len()]),
        _ => format!("{}\n", line.replace("[5m]", "[20s]").replace("[15m]", "[60s]")),
    };
    alerts.lines().map(line).collect()
}

impl Prometheus {
    /// Starts one that scrapes a service on this port.
    pub(super) async fn start(service_port: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).expect("writable");
        write("alerts.yml", hurried(&read("config/alerts.yml")));
        let config = read("config/prometheus.yml")
            .replace("localhost:8883", &format!("127.0.0.1:{service_port}"))
            .replace("interval: 15s", "interval: 1s\n  scrape_timeout: 1s")
            .replace("interval: 30s", "interval: 1s");
        write("prometheus.yml", config);
        let port = free_port();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus", "--config.file=prometheus.yml", "--log.level=warn"])
            .args(["--storage.tsdb.path=data", &format!("--web.listen-address=127.0.0.1:{port}")])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("setpriv is there");
        let url = format!("http://127.0.0.1:{port}");
        let prometheus = Self { process, http: http_client(), url, provoked: BTreeMap::new(), _directory: directory };
        until("Prometheus is ready (scripts/setup.sh prometheus)", SOON, async || {
            prometheus.get("/-/ready").await.map(drop)
        })
        .await;
        prometheus
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    /// The names of the alerts that fire.
    pub(super) async fn firing(&self) -> Vec<String> {
        let text = self.get("/api/v1/alerts").await.expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let alerts = answer["data"]["alerts"].as_array().expect("a list");
        let fires = alerts.iter().filter(|alert| alert["state"] == "firing");
        fires.map(|alert| alert["labels"]["alertname"].as_str().expect("a name").to_owned()).collect()
    }

    /// Does something again and again until these alerts fire, which none of them did before, then undoes it, and waits
    /// until none of them does.
    pub(super) async fn provoke(&mut self, alerts: &[&str], worsen: impl AsyncFnMut(), undo: impl AsyncFnOnce()) {
        self.until_silent(alerts, LIMIT).await;
        self.see_out(alerts, LIMIT, worsen, undo).await;
    }

    /// Waits until none of these alerts fires.
    pub(super) async fn until_silent(&self, alerts: &[&str], limit: Duration) {
        self.until(alerts, false, limit, &mut async || {}).await;
    }

    /// Whether there was a moment within the limit when none of these alerts fired.
    pub(super) async fn is_silent_within(&self, alerts: &[&str], limit: Duration) -> bool {
        tokio::time::timeout(limit, self.until_silent(alerts, limit * 2)).await.is_ok()
    }

    /// The same with what may have begun to worsen before, and a limit of its own.
    pub(super) async fn see_out(
        &mut self,
        alerts: &[&str],
        limit: Duration,
        mut worsen: impl AsyncFnMut(),
        undo: impl AsyncFnOnce(),
    ) {
        let fired = self.until(alerts, true, limit, &mut worsen).await;
        undo().await;
        let gone = self.until(alerts, false, limit, &mut async || {}).await;
        for alert in alerts {
            println!("{alert}: fired after {:>3} s, gone after {:>3} s", fired[*alert], gone[*alert]);
            self.provoked.insert((*alert).to_owned(), (fired[*alert], gone[*alert]));
        }
    }

    /// Waits until each of these alerts has begun, or ceased, to fire. Tells after how many seconds.
    async fn until(
        &self,
        alerts: &[&str],
        fires: bool,
        limit: Duration,
        act: &mut impl AsyncFnMut(),
    ) -> BTreeMap<String, u64> {
        let (started, mut reached) = (Instant::now(), BTreeMap::new());
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        while reached.len() < alerts.len() {
            ticks.tick().await;
            act().await;
            let firing = self.firing().await;
            for alert in alerts.iter().filter(|alert| firing.iter().any(|other| other == *alert) == fires) {
                reached.entry((*alert).to_owned()).or_insert(started.elapsed().as_secs());
            }
            let missing: Vec<_> = alerts.iter().filter(|alert| !reached.contains_key(**alert)).collect();
            let word = if fires { "fired" } else { "gone" };
            assert!(started.elapsed() < limit, "{missing:?} not {word} within {limit:?}; firing: {firing:?}");
        }
        reached
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().expect("ours");
        self.process.wait().expect("ours");
    }
}
