//! Sources of kind `http`: any server, spoken to as an adapter file says. What the files say is in `docs/ADAPTERS.md`.

mod answer;
mod key;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use self::answer::{Said, Verdict, nothing_at};
use self::key::Key;
use super::call::CallError;
use super::client::{Body, Request};
use super::discreet::Secrets;
use super::{Error, HttpClient, RunRequest, WorkflowSource, detail};
use crate::domain::adapter::{
    self, Accept, Adapter, Adapters, Call, FillError, FixedFlow, Flows, Listed, Poll, PollPlace, Validate, Values,
};
use crate::domain::outcome::{Answer, Failure, FailureClass, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

/// Most pages of a list that are read.
const MAX_PAGES: usize = 40;
/// So many questions about a run may fail in a row before its end counts as unknown.
const MAX_POLL_FAILURES: u32 = 10;
/// The flow ran, and says itself that it failed.
const FLOW_FAILED: &str = "flow_failed";

pub(super) struct Http {
    adapter: Arc<Adapter>,
    base: Url,
    key: Key,
    http: HttpClient,
}

impl Http {
    /// Adds to `secrets` the forms in which its adapter has the key sent.
    pub(super) fn new(
        endpoint: &Endpoint,
        http: HttpClient,
        adapters: &Adapters,
        secrets: &mut Secrets,
    ) -> Result<Self, Error> {
        let name = endpoint.adapter.as_deref().ok_or_else(|| {
            Error::Adapter(format!("the source names no adapter: give it one of {}", adapters.names()))
        })?;
        let adapter = adapters.get(name).ok_or_else(|| {
            Error::Adapter(format!(
                "there is no adapter `{name}` here: put {name}.toml back into the directory sources.adapters_dir and \
                 restart Spark, or give the source another adapter ({})",
                adapters.names()
            ))
        })?;
        let base = Url::parse(&endpoint.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Url("the source's url must be like http://host:8080/base".to_owned()))?;
        let key = Key::new(adapter.auth.as_ref(), &endpoint.api_key, name, secrets)?;
        Ok(Self { adapter: Arc::clone(adapter), base, key, http })
    }

    /// Where a call goes; `more` parameters stand behind its own.
    fn url(&self, call: &Call, values: &Values<'_>, more: Option<(&str, &str)>) -> Result<Url, CallError> {
        let refuse = |error: FillError| CallError::Request(error.to_string());
        let path = call.path.fill(values).map_err(refuse)?;
        let mut url = self.base.clone();
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        }
        for (name, value) in &call.query {
            url.query_pairs_mut().append_pair(name, &value.fill(values).map_err(refuse)?);
        }
        if let Some((name, value)) = more {
            url.query_pairs_mut().append_pair(name, value);
        }
        self.key.sign(&mut url);
        Ok(url)
    }

    fn headers(&self, call: &Call, values: &Values<'_>) -> Result<HeaderMap, CallError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            let refuse = |what: &str| CallError::Request(format!("the {what} of the header {name} can't be sent"));
            let value = value.fill(values).map_err(|error| CallError::Request(error.to_string()))?;
            let value = HeaderValue::from_str(&value).map_err(|_| refuse("value"))?;
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("name"))?, value);
        }
        headers.extend(self.key.header.clone());
        Ok(headers)
    }

    /// Makes a call. Without `timeout` its caller limits it.
    async fn call(
        &self,
        call: &Call,
        values: &Values<'_>,
        more: Option<(&str, &str)>,
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>, CallError> {
        let body = call
            .body
            .as_ref()
            .map(|body| Body::json(&body.fill(values).map_err(|error| CallError::Request(error.to_string()))?));
        let request = Request {
            method: method(call),
            url: self.url(call, values, more)?,
            headers: &self.headers(call, values)?,
            body: body.transpose()?,
            timeout,
        };
        self.http.call(request).await
    }

    /// A management call, whose answer must be JSON.
    async fn ask(
        &self,
        call: &Call,
        values: &Values<'_>,
        more: Option<(&str, &str)>,
    ) -> Result<Box<RawValue>, CallError> {
        let body = self.call(call, values, more, Some(self.http.request_timeout())).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        answer::json(body).map_err(CallError::Unusable)
    }

    async fn check(&self, validate: &Validate) -> Result<Value, CallError> {
        let (call, values) = (&validate.call, Values::default());
        if validate.expect.is_none() && validate.version.is_none() {
            let answer = self.call(call, &values, None, Some(self.http.request_timeout())).await;
            return match answer {
                Ok(_) => Ok(json!({})),
                Err(CallError::Status { status, .. })
                    if validate.any_status && !matches!(status, 401 | 403 | 500..=599) =>
                {
                    Ok(json!({}))
                }
                Err(error) => Err(error),
            };
        }
        let answer = self.ask(call, &values, None).await?;
        if let Some(place) = &validate.expect
            && place.find(&answer).is_none()
        {
            return Err(CallError::Unusable(nothing_at("value", place, &answer)));
        }
        let version = validate.version.as_ref().and_then(|place| place.text(&answer));
        Ok(version.map_or_else(|| json!({}), |version| json!({ "version": version })))
    }

    /// All flows of a list, page by page.
    async fn flows(&self, listed: &Listed) -> Result<Vec<RemoteFlow>, CallError> {
        let mut flows = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let more = listed.next.as_ref().and_then(|next| Some((next.query.as_str(), cursor.as_deref()?)));
            let page = self.ask(&listed.list, &Values::default(), more).await?;
            flows.extend(answer::flows(&page, listed).map_err(CallError::Unusable)?);
            let next = listed.next.as_ref().and_then(|next| next.pointer.text(&page)).filter(|next| !next.is_empty());
            // A server that names the same page again would be asked for ever.
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
        Ok(flows)
    }

    async fn get_listed(&self, listed: &Listed, flow_id: &str) -> Result<RemoteFlow, Error> {
        let unknown = || Error::NotFound(detail::shorten(flow_id));
        let Some((call, place)) = &listed.get else {
            return self.flows(listed).await?.into_iter().find(|flow| flow.id == flow_id).ok_or_else(unknown);
        };
        let values = Values { flow_id: Some(flow_id), ..Values::default() };
        let answer = self.ask(call, &values, None).await.map_err(|error| match error {
            CallError::Status { status: 404 | 410 | 422, .. } | CallError::Request(_) => unknown(),
            other => other.into(),
        })?;
        let flow = place.find(&answer).and_then(|json| answer::flow(json, listed));
        flow.ok_or_else(|| CallError::Unusable(nothing_at("flow with an id", place, &answer)).into())
    }

    async fn try_run(&self, run: &RunRequest) -> Result<Answer, Failure> {
        let values = Values {
            flow_id: Some(&run.flow_id),
            input: Some(&run.input),
            input_component: run.input_component.as_deref(),
            run_id: None,
            session_id: Some(&run.session_id),
            task_id: Some(&run.task_id),
        };
        if let Flows::Fixed(flows) = &self.adapter.flows
            && !flows.iter().any(|flow| flow.id == run.flow_id)
        {
            let error = Error::NotFound(detail::shorten(&run.flow_id));
            return Err(Failure::permanent(error.code(), error.to_string()));
        }
        let how = &self.adapter.run;
        let body = self.call(&how.call, &values, None, None).await?;
        let said = answer::read(body, how.accept).map_err(CallError::Unusable)?;
        match answer::judge(said, how, true) {
            Verdict::Done(answer) => Ok(answer),
            Verdict::Failed(why) => Err(failed(&why)),
            Verdict::Unusable(why) => Err(CallError::Unusable(why).into()),
            Verdict::GoesOn(said, poll) => self.follow(said, poll, &values).await,
        }
    }

    /// Asks about a run until it is over. It has begun: whatever keeps us from seeing its end leaves that unknown.
    async fn follow(&self, begun: Said, poll: &Poll, values: &Values<'_>) -> Result<Answer, Failure> {
        let asked = self.question(&begun.json, poll, values).map_err(|error| Failure::from(error).outcome_unknown())?;
        let (mut wait, mut failures) = (poll.every, 0);
        loop {
            tokio::time::sleep(wait).await;
            wait = poll.every;
            let said = self.http.get(asked.0.clone(), &asked.1).await;
            let said = said.and_then(|body| answer::read(body, Accept::default()).map_err(CallError::Unusable));
            match said.map(|said| answer::judge(said, &self.adapter.run, false)) {
                Ok(Verdict::Done(answer)) => return Ok(answer),
                Ok(Verdict::Failed(why)) => return Err(failed(&why)),
                Ok(Verdict::GoesOn(..)) => failures = 0,
                Ok(Verdict::Unusable(why)) => {
                    return Err(Failure::from(CallError::Unusable(why)).outcome_unknown());
                }
                Err(error) => {
                    let failure = Failure::from(error).outcome_unknown();
                    failures += 1;
                    if failure.class == FailureClass::Permanent || failures > MAX_POLL_FAILURES {
                        return Err(failure);
                    }
                    wait = failure.retry_after.unwrap_or_default().max(poll.every);
                }
            }
        }
    }

    /// Where a run is asked about, and with which headers.
    fn question(&self, begun: &RawValue, poll: &Poll, values: &Values<'_>) -> Result<(Url, HeaderMap), CallError> {
        match &poll.place {
            PollPlace::Call { run_id, call } => {
                let id = run_id.text(begun).ok_or_else(|| CallError::Unusable(nothing_at("run id", run_id, begun)))?;
                let values = Values { run_id: Some(&id), ..*values };
                Ok((self.url(call, &values, None)?, self.headers(call, &values)?))
            }
            PollPlace::Url(place) => {
                let text = place.text(begun).filter(|text| !text.is_empty());
                let text = text.ok_or_else(|| CallError::Unusable(nothing_at("url", place, begun)))?;
                let from = self.url(&self.adapter.run.call, values, None)?;
                let url = from.join(&text).ok().filter(|url| url.origin() == self.base.origin());
                // The key must not travel to another server.
                let mut url = url.ok_or_else(|| {
                    CallError::Unusable(format!(
                        "the url of the run is not on the source's server: {}",
                        detail::shorten(&text)
                    ))
                })?;
                self.key.sign(&mut url);
                Ok((url, self.headers(&self.adapter.run.call, values)?))
            }
        }
    }
}

fn method(call: &Call) -> Method {
    match call.method {
        adapter::Method::Get => Method::GET,
        adapter::Method::Options => Method::OPTIONS,
        adapter::Method::Patch => Method::PATCH,
        adapter::Method::Post => Method::POST,
        adapter::Method::Put => Method::PUT,
    }
}

fn failed(why: &str) -> Failure {
    Failure::transient(FLOW_FAILED, format!("the flow failed: {}", detail::shorten(why)))
}

fn fixed(flow: &FixedFlow) -> RemoteFlow {
    RemoteFlow {
        id: flow.id.clone(),
        name: flow.name.clone(),
        description: flow.description.clone(),
        ..RemoteFlow::default()
    }
}

#[async_trait]
impl WorkflowSource for Http {
    async fn validate(&self) -> Result<Value, Error> {
        match (&self.adapter.validate, &self.adapter.flows) {
            (Some(validate), _) => Ok(self.check(validate).await?),
            (None, Flows::Listed(listed)) => {
                let page = self.ask(&listed.list, &Values::default(), None).await?;
                answer::flows(&page, listed).map_err(CallError::Unusable)?;
                Ok(json!({}))
            }
            (None, Flows::Fixed(_)) => Ok(json!({})),
        }
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        match &self.adapter.flows {
            Flows::Fixed(flows) => Ok(flows.iter().map(fixed).collect()),
            Flows::Listed(listed) => Ok(self.flows(listed).await?),
        }
    }

    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        match &self.adapter.flows {
            Flows::Fixed(flows) => flows
                .iter()
                .find(|flow| flow.id == flow_id)
                .map(fixed)
                .ok_or_else(|| Error::NotFound(detail::shorten(flow_id))),
            Flows::Listed(listed) => self.get_listed(listed, flow_id).await,
        }
    }

    async fn run(&self, run: &RunRequest) -> Outcome {
        match self.try_run(run).await {
            Ok(answer) => Outcome::Completed(answer),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

/// Reads an answer as an adapter's to each of its requests (for the fuzz target).
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(adapter: &Adapter, body: &[u8]) {
    for accept in [adapter.run.accept, Accept { text: true, empty: true }] {
        for is_first in [true, false] {
            let Ok(said) = answer::read(body.to_vec(), accept) else { continue };
            if let Verdict::Done(answer) = answer::judge(said, &adapter.run, is_first) {
                super::fuzz::is_usable(Ok(answer));
            }
        }
    }
    let json = String::from_utf8(body.to_vec()).map_err(|error| error.to_string()).and_then(answer::json);
    if let (Ok(json), Flows::Listed(listed)) = (json, &adapter.flows) {
        let flows = answer::flows(&json, listed).unwrap_or_default();
        assert!(flows.iter().all(|flow| !flow.id.is_empty()), "a flow without an id");
        let _ = answer::flow(&json, listed);
    }
}
