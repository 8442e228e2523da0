//! What a request says of a notification, and whether that can be one.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{Error, Problem};
use super::source_body::{Status, checked_name};
use crate::domain::notification::NotificationEvent;
use crate::domain::queue::QueueName;
use crate::domain::source::Secret;
use crate::domain::webhook::SigningKey;
use crate::store::notification::{NotificationDraft, NotificationRecord, NotificationRule};

const URL_MAX: usize = 2048;
/// Largest threshold.
const THRESHOLD_MAX: i32 = 1_000_000_000;

/// What is said of a notification. A new one needs `name`, `url` and `events`. In a change, what is absent stays, and
/// `null` takes away.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NotificationBody {
    /// What to call it; no two have the same name.
    #[schema(example = "on-call")]
    name: Option<String>,
    /// Where messages are posted.
    #[schema(example = "https://alerts.example.com/spark")]
    url: Option<String>,
    /// What to tell of: `task.failed`, `schedule.missed`, `schedule.late`, `source.down`, `queue.over`.
    #[schema(value_type = Option<Vec<String>>, example = json!(["task.failed"]))]
    events: Option<Vec<NotificationEvent>>,
    /// Tell only of this workflow; of its source, where it is about sources.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Uuid>)]
    pub(super) workflow_id: Option<Option<Uuid>>,
    /// What messages are signed with: `whsec_` and the base64 of 24 to 64 bytes. Stored encrypted and never shown. Without
    /// one a secret is made, and shown once.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// Of `queue.over`: watch this queue alone.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    queue: Option<Option<QueueName>>,
    /// Of `queue.over`: so many waiting tasks are too many.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    queue_depth: Option<Option<i32>>,
    /// Of `queue.over`: a task that has waited for so long has waited too long.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    queue_age_s: Option<Option<i32>>,
    /// `active` or `inactive`.
    status: Option<Status>,
}

/// Tells what is absent (`None`) from what is null (`Some(None)`).
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl NotificationBody {
    /// What is to be stored: what is said here, over what was there.
    ///
    /// # Errors
    /// Something is missing or can't be used; all of it is answered.
    pub(super) fn over(self, former: Option<NotificationRecord>) -> Result<NotificationDraft, Error> {
        let mut problems = Vec::new();
        let mut required = |field: &str, given: bool| {
            if !given && former.is_none() {
                let loc = vec!["body".into(), field.into()];
                problems.push(Problem { loc, msg: "Field required".to_owned(), kind: "missing".to_owned() });
            }
        };
        required("name", self.name.is_some());
        required("url", self.url.is_some());
        required("events", self.events.is_some());
        let mut refuse = |result: Result<(), Error>| {
            if let Err(Error::Invalid(found)) = result {
                problems.extend(found);
            }
        };
        let (mut rule, mut secret) = (former.map_or_else(blank, |record| record.rule), None);
        if let Some(name) = &self.name {
            refuse(checked_name(name.trim()).map(|name| rule.name = name));
        }
        if let Some(url) = &self.url {
            refuse(checked_url(url).map(|url| rule.url = url));
        }
        if let Some(mut events) = self.events {
            events.sort_unstable();
            events.dedup();
            rule.events = events;
        }
        if let Some(given) = self.secret {
            match SigningKey::read(&given) {
                Some(_) => secret = Some(given),
                None => refuse(Err(Error::invalid(Problem::body(
                    "secret",
                    "secret must be whsec_ and the base64 of 24 to 64 bytes; leave it out and one is made",
                )))),
            }
        }
        rule.workflow = self.workflow_id.map_or(rule.workflow, |id| id.map(Into::into));
        rule.queue = self.queue.unwrap_or(rule.queue);
        for (field, given, kept) in [
            ("queue_depth", self.queue_depth, &mut rule.queue_depth),
            ("queue_age_s", self.queue_age_s, &mut rule.queue_age_s),
        ] {
            let Some(given) = given else { continue };
            let fits = given.is_none_or(|number| (1..=THRESHOLD_MAX).contains(&number));
            if !fits {
                let msg = format!("{field} must be a whole number from 1 to {THRESHOLD_MAX}");
                refuse(Err(Error::invalid(Problem::body(field, msg))));
            }
            *kept = given;
        }
        rule.active = self.status.map_or(rule.active, |status| status == Status::Active);
        if problems.is_empty() {
            problems.extend(contradiction(&rule));
        }
        if problems.is_empty() { Ok(NotificationDraft { rule, secret }) } else { Err(Error::Invalid(problems)) }
    }
}

/// What can't be together.
fn contradiction(rule: &NotificationRule) -> Option<Problem> {
    let has_threshold = rule.queue_depth.is_some() || rule.queue_age_s.is_some();
    if rule.events.is_empty() {
        return Some(Problem::body("events", "events must name at least one event"));
    }
    match (rule.events.contains(&NotificationEvent::QueueOver), has_threshold) {
        (true, false) => Some(Problem::body("queue_depth", "queue.over needs a threshold: queue_depth or queue_age_s")),
        (false, true) => Some(Problem::body("events", "queue_depth and queue_age_s are for the event queue.over")),
        (false, false) if rule.queue.is_some() => Some(Problem::body("queue", "queue is for the event queue.over")),
        _ => None,
    }
}

fn blank() -> NotificationRule {
    NotificationRule {
        name: String::new(),
        url: String::new(),
        events: Vec::new(),
        workflow: None,
        queue: None,
        queue_depth: None,
        queue_age_s: None,
        active: true,
    }
}

fn checked_url(text: &str) -> Result<String, Error> {
    let refuse = |msg: &str| Err(Error::invalid(Problem::body("url", msg)));
    let text = text.trim();
    let Ok(url) = url::Url::parse(text) else {
        return refuse("url must be an absolute url such as https://alerts.example.com/spark");
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return refuse("url must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("url must not hold a user or password, since urls are shown; receivers check the signature");
    }
    if text.len() > URL_MAX {
        return refuse("url must not be longer than 2048 characters");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<NotificationDraft, Vec<String>> {
        let body: NotificationBody = serde_json::from_value(body).map_err(|error| vec![error.to_string()])?;
        body.over(None).map_err(|error| match error {
            Error::Invalid(problems) => {
                problems.iter().filter_map(|problem| Some(problem.loc.last()?.as_str()?.to_owned())).collect()
            }
            other => panic!("{other}"),
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({ "name": "on-call", "url": "https://a.example/x?y=1", "events": ["task.failed"] });
        body[field] = value;
        body
    }

    #[test]
    fn what_is_wrong_is_said_all_at_once() {
        assert_eq!(read(json!({})).expect_err("refused"), ["name", "url", "events"]);
        let bad = json!({ "name": "", "url": "x", "events": [], "secret": "x", "queue_depth": 0 });
        assert_eq!(read(bad).expect_err("refused"), ["name", "url", "secret", "queue_depth"]);
        for (field, value, said) in [
            ("events", json!([]), "events"),
            ("events", json!(["queue.over"]), "queue_depth"),
            ("queue_depth", json!(5), "events"),
            ("queue", json!("celery"), "queue"),
            ("url", json!("ftp://x"), "url"),
            ("url", json!("http://u:p@x"), "url"),
        ] {
            assert_eq!(read(with(field, value.clone())).expect_err("refused"), [said], "{field}: {value}");
        }
        assert!(read(with("events", json!(["task.started"]))).expect_err("refused")[0].contains("task.failed"));
    }

    #[test]
    fn null_takes_away_and_what_is_absent_stays() {
        let id = Uuid::now_v7();
        let body = |value: Value| serde_json::from_value::<NotificationBody>(value).expect("a body");
        assert_eq!(body(json!({ "workflow_id": null })).workflow_id, Some(None));
        assert_eq!(body(json!({ "workflow_id": id })).workflow_id, Some(Some(id)));
        assert_eq!(body(json!({})).workflow_id, None);
        let draft = read(with("workflow_id", json!(id))).expect("a draft");
        assert_eq!((draft.rule.workflow.map(|id| id.0), draft.rule.active), (Some(id), true));
    }
}
