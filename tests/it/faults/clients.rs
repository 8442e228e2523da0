//! Those who use the service: they submit, call off and retry, whatever the answers are like, and note what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::history::{Acts, Asked, End};
use super::plan::{Kind, Plan, Work};
use crate::harness::node::http_client;
use crate::harness::stage::API_KEY;
use crate::harness::until;

/// Requests that are under way at one time.
const AT_ONCE: usize = 12;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long anything may be refused.
pub(crate) const ENDURANCE: Duration = Duration::from_secs(60);

/// They share the services that there are.
#[derive(Clone)]
pub(crate) struct Clients {
    http: reqwest::Client,
    urls: Arc<Mutex<Vec<String>>>,
    turn: Arc<AtomicUsize>,
}

/// What clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) accepted: BTreeMap<String, Asked>,
    pub(crate) unanswered: usize,
}

impl Clients {
    pub(crate) fn of(urls: Arc<Mutex<Vec<String>>>) -> Self {
        Self { http: http_client(), urls, turn: Arc::default() }
    }

    /// A service listens elsewhere now.
    pub(crate) fn moved(&self, number: usize, url: &str) {
        url.clone_into(&mut self.urls.lock().expect("no panic")[number]);
    }

    /// Asks one service after the other, in turn; the status is nothing where no answer came.
    async fn ask(&self, method: Method, path: &str, key: Option<&str>, body: &Value) -> (Option<u16>, Value) {
        let url = {
            let urls = self.urls.lock().expect("no panic");
            format!("{}{path}", urls[self.turn.fetch_add(1, Ordering::Relaxed) % urls.len()])
        };
        let mut request = self.http.request(method, url).header("X-API-Key", API_KEY).timeout(PATIENCE);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let Ok(response) = request.send().await else { return (None, Value::Null) };
        let status = response.status().as_u16();
        match response.text().await {
            Ok(text) => (Some(status), serde_json::from_str(&text).unwrap_or_default()),
            Err(_) => (None, Value::Null),
        }
    }

    /// What a path answers, asked until it does.
    pub(crate) async fn get(&self, path: &str) -> Value {
        until(path, ENDURANCE, async || {
            let (status, body) = self.ask(Method::GET, path, None, &Value::Null).await;
            (status == Some(200)).then_some(body)
        })
        .await
    }

    /// All items of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{joint}limit=100&offset={}", all.len())).await;
            let items = page["items"].as_array().expect("a list");
            all.extend(items.iter().cloned());
            if items.len() < 100 {
                return all;
            }
        }
    }

    /// Asks for something that nothing is lost by asking for twice, until it is done.
    pub(crate) async fn put_through(&self, path: &str, body: &Value) -> Value {
        until(path, ENDURANCE, async || {
            let (status, body) = self.ask(Method::POST, path, None, body).await;
            status.is_some_and(|status| status < 300).then_some(body)
        })
        .await
    }

    /// Submits a plan's tasks, and does to them what the plan says.
    pub(crate) async fn work(&self, plan: &Plan, workflow: &str) -> Told {
        let each = plan.tasks.iter().enumerate().map(|(number, work)| self.see_through(plan, workflow, number, work));
        let answers: Vec<_> = futures_util::stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        let mut told = Told::default();
        let mut failed = Vec::new();
        for (id, asked, unanswered, retry) in answers {
            told.unanswered += unanswered;
            failed.extend(retry.then(|| id.clone()));
            told.accepted.insert(id, asked);
        }
        let retries = failed.into_iter().map(|id| async move { (self.retry(&id).await, id) });
        let retried: Vec<_> = futures_util::stream::iter(retries).buffer_unordered(AT_ONCE).collect().await;
        for (acts, id) in retried {
            told.accepted.get_mut(&id).expect("accepted").retries = acts;
        }
        told
    }

    async fn see_through(
        &self,
        plan: &Plan,
        workflow: &str,
        number: usize,
        work: &Work,
    ) -> (String, Asked, usize, bool) {
        let input = work.input(number);
        let (id, unanswered) = self.submit(plan.seed, workflow, number, work, &input).await;
        let end = if work.kind == Kind::Refused { End::Failed } else { End::Completed(input.to_uppercase()) };
        let cancels = if work.cancel { self.cancel(&id).await } else { Acts::default() };
        let asked = Asked { end, cancels, retries: Acts::default() };
        (id, asked, unanswered, work.retry && !work.cancel)
    }

    /// Asks until it is accepted. Returns the task's id, and how many requests without a key were not answered so.
    async fn submit(&self, seed: u64, workflow: &str, number: usize, work: &Work, input: &str) -> (String, usize) {
        let path = format!("/api/v1/workflows/{workflow}/run");
        let body = json!({"input_data": input, "priority": work.priority});
        let key = work.keyed.then(|| format!("{seed}-{number}"));
        let mut unanswered = 0;
        let id = until(&format!("task {number} is accepted"), ENDURANCE, async || {
            let (status, answer) = self.ask(Method::POST, &path, key.as_deref(), &body).await;
            if status.is_some_and(|status| status < 300) {
                return Some(answer["id"].as_str().expect("an id").to_owned());
            }
            assert!(status.is_none_or(|status| status == 503 || status == 429), "{status:?}: {answer}");
            unanswered += usize::from(key.is_none());
            None
        })
        .await;
        (id, unanswered)
    }

    async fn cancel(&self, id: &str) -> Acts {
        self.act(&format!("/api/v1/tasks/{id}/cancel")).await
    }

    /// Once it has failed.
    async fn retry(&self, id: &str) -> Acts {
        let path = format!("/api/v1/tasks/{id}");
        let started = Instant::now();
        until(&format!("task {id} has failed"), ENDURANCE, async || {
            let (_, task) = self.ask(Method::GET, &path, None, &Value::Null).await;
            // One that is lost is the checker's business.
            (task["status"] == "failed" || started.elapsed() > ENDURANCE / 2).then_some(())
        })
        .await;
        self.act(&format!("/api/v1/tasks/{id}/retry")).await
    }

    /// Until it is answered that it is done, or that it can't be, which may be because it was done by a request that
    /// was not answered.
    async fn act(&self, path: &str) -> Acts {
        let mut acts = Acts::default();
        until(path, ENDURANCE, async || match self.ask(Method::POST, path, None, &Value::Null).await.0 {
            Some(status) if status < 300 => {
                acts.done += 1;
                Some(())
            }
            Some(400) => Some(()),
            Some(status) if status != 503 => panic!("{path} is answered with {status}"),
            _ => {
                acts.unanswered += 1;
                None
            }
        })
        .await;
        acts
    }
}
