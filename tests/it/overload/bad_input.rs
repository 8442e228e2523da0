//! The list of what nobody should send, with what each is answered: status, code, and a piece of the text. A new way to
//! be wrong gets a line here.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::client::{KEY, TestApi};

/// Where requests of a section go and what all of them are about.
struct Section {
    method: &'static str,
    path: &'static str,
    /// The case's name, the body, the status, the code, a piece of the text.
    cases: &'static [(&'static str, &'static str, u16, &'static str, &'static str)],
}

const V: &str = "validation";

const RUN: Section = Section {
    method: "POST",
    path: "/api/v1/workflows/{workflow}/run",
    cases: &[
        ("no body", "", 422, V, "Field required"),
        ("broken JSON", r#"{"input_data": "x""#, 422, V, "not valid JSON: EOF"),
        ("more than one value", r#""x" "y""#, 422, V, "not valid JSON: trailing characters"),
        ("single quotes", "{'input_data': 'x'}", 422, V, "not valid JSON: key must be a string"),
        ("half a character", r#"{"input_data": "\ud800"}"#, 422, V, "hex escape"),
        ("half a character in an object", r#"{"input_data": {"a": "\ud800"}}"#, 422, V, "hex escape"),
        ("U+0000", r#"{"input_data": {"a": ["\u0000"]}}"#, 422, V, "U+0000 can't be stored"),
        ("a number beyond all bounds", r#"{"input_data": {"a": 1e999}}"#, 422, V, "number out of range"),
        ("empty text", r#""""#, 422, V, "must not be empty"),
        ("empty object", r#"{"input_data": {}}"#, 422, V, "must not be empty"),
        ("null", "null", 422, V, "not null"),
        ("a number", "5", 422, V, "not a number"),
        ("a list", r#"["x"]"#, 422, V, "not an array"),
        ("a boolean", r#"{"input_data": true}"#, 422, V, "not a boolean"),
        ("no input", r#"{"queue": "celery"}"#, 422, V, "Field required"),
        ("a queue with blanks", r#"{"input_data": "x", "queue": "a b"}"#, 422, V, "a queue's name has 1 to 64"),
        ("a priority of 10", r#"{"input_data": "x", "priority": 10}"#, 422, V, "from 0 to 9"),
        ("101 retries", r#"{"input_data": "x", "max_retries": 101}"#, 422, V, "from 0 to 100"),
        ("retries below 0", r#"{"input_data": "x", "max_retries": -1}"#, 422, V, "expected u32"),
        ("no time at all", r#"{"input_data": "x", "timeout": 0}"#, 422, V, "from 1 to 86400 seconds"),
        ("a delay below 0", r#"{"input_data": "x", "delay": -1}"#, 422, V, "delay must be from 0"),
        ("no date-time", r#"{"input_data": "x", "run_at": "soon"}"#, 422, V, "must be a date-time such as"),
        (
            "a time that passed",
            r#"{"input_data": "x", "run_at": "2020-01-01T00:00:00Z"}"#,
            422,
            V,
            "leave it out to run at once",
        ),
        (
            "delay and run_at",
            r#"{"input_data": "x", "delay": 1, "run_at": "2999-01-01"}"#,
            422,
            V,
            "delay or run_at, not both",
        ),
        ("an empty session", r#"{"input_data": "x", "session_id": ""}"#, 422, V, "1 to 255 characters"),
    ],
};

const SOURCES: Section = Section {
    method: "POST",
    path: "/api/v1/sources",
    cases: &[
        ("no type", r#"{"url": "http://h"}"#, 422, V, "Field required"),
        ("an unknown type", r#"{"source_type": "flowise", "url": "http://h"}"#, 422, V, "langflow"),
        ("a relative url", r#"{"source_type": "langflow", "url": "h"}"#, 422, V, "absolute url such as"),
        ("another scheme", r#"{"source_type": "langflow", "url": "ftp://h"}"#, 422, V, "http:// or https://"),
        ("a password in the url", r#"{"source_type": "langflow", "url": "http://u:hush@h"}"#, 422, V, "use api_key"),
        ("a query in the url", r#"{"source_type": "langflow", "url": "http://h?a=b"}"#, 422, V, "without ? or #"),
        (
            "a key of another type",
            r#"{"source_type": "langflow", "url": "http://h", "api_key": 987654321}"#,
            422,
            V,
            "invalid type: integer, expected a string",
        ),
        ("a key as the body", r#""sk-987654321""#, 422, V, "invalid type: string, expected"),
        (
            "a key that no header holds",
            r#"{"source_type": "langflow", "url": "http://127.0.0.1:9", "api_key": "a\nb"}"#,
            400,
            "source_key",
            "check how it was copied",
        ),
        ("http without adapter", r#"{"source_type": "http", "url": "http://h"}"#, 422, V, "needs an adapter, one of"),
        (
            "an unknown adapter",
            r#"{"source_type": "http", "url": "http://h", "adapter": "x"}"#,
            422,
            V,
            "there is no adapter",
        ),
        (
            "an adapter too many",
            r#"{"source_type": "langflow", "url": "http://h", "adapter": "n8n"}"#,
            422,
            V,
            "has no adapter",
        ),
        (
            "nobody there",
            r#"{"source_type": "langflow", "url": "http://127.0.0.1:9"}"#,
            400,
            "source_unreachable",
            "Failed to validate source: http://127.0.0.1:9 can't be reached",
        ),
    ],
};

const SCHEDULES: Section = Section {
    method: "POST",
    path: "/api/v1/schedules",
    cases: &[
        ("nothing", "{}", 422, V, "Field required"),
        (
            "an unknown type",
            r#"{"workflow_id": "{workflow}", "schedule_type": "daily", "schedule_expr": "x"}"#,
            422,
            V,
            "expected one of",
        ),
        (
            "four fields",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "* * * *"}"#,
            422,
            V,
            "has five fields",
        ),
        (
            "six fields",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "0 * * * * *"}"#,
            422,
            V,
            "seconds and years are not supported",
        ),
        (
            "minute 60",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "60 * * * *"}"#,
            422,
            V,
            "its minute field can't be 60; its fields are minute (0-59)",
        ),
        (
            "a word",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "soon * * * *"}"#,
            422,
            V,
            "SOON in its minute field",
        ),
        (
            "30 February",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "0 0 30 2 *"}"#,
            422,
            V,
            "does not exist in any year",
        ),
        (
            "a shorthand that is none",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "@never"}"#,
            422,
            V,
            "use @hourly",
        ),
        (
            "no time between",
            r#"{"workflow_id": "{workflow}", "schedule_type": "interval", "schedule_expr": "0s"}"#,
            422,
            V,
            "at least 1s",
        ),
        (
            "no unit",
            r#"{"workflow_id": "{workflow}", "schedule_type": "interval", "schedule_expr": "5"}"#,
            422,
            V,
            "a whole number and a unit",
        ),
        (
            "a day that passed",
            r#"{"workflow_id": "{workflow}", "schedule_type": "one-time", "schedule_expr": "2020-01-01 00:00"}"#,
            400,
            "schedule_in_the_past",
            "give a time in the future",
        ),
        (
            "no moment",
            r#"{"workflow_id": "{workflow}", "schedule_type": "one-time", "schedule_expr": "later"}"#,
            422,
            V,
            "takes now or a date-time",
        ),
        (
            "no zone",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "@daily", "timezone": "Mars"}"#,
            422,
            V,
            "such as Europe/Berlin",
        ),
        (
            "a number as input",
            r#"{"workflow_id": "{workflow}", "schedule_type": "cron", "schedule_expr": "@daily", "input_value": 5}"#,
            422,
            V,
            "input_value must be a non-empty string",
        ),
        (
            "nobody's workflow",
            r#"{"workflow_id": "00000000-0000-4000-8000-000000000000", "schedule_type": "cron", "schedule_expr": "@daily"}"#,
            404,
            "not_found",
            "Workflow not found",
        ),
    ],
};

const KEYS: Section = Section {
    method: "POST",
    path: "/api/v1/keys",
    cases: &[
        ("a name with blanks", r#"{"name": "a b", "scope": "run"}"#, 422, V, "1 to 64 characters"),
        ("no such scope", r#"{"name": "a", "scope": "root"}"#, 422, V, "read"),
        (
            "an end that passed",
            r#"{"name": "a", "scope": "run", "expires_at": "2020-01-01"}"#,
            422,
            V,
            "must be in the future",
        ),
    ],
};

/// Requests without a body.
const PLAIN: &[(&str, &str, u16, &str, &str)] = &[
    ("GET", "/api/v1/nothing", 404, "not_found", "Not Found"),
    ("PUT", "/api/v1/tasks", 405, "method_not_allowed", "this path takes GET"),
    ("GET", "/api/v1/tasks/no-uuid", 404, "not_found", "Task not found"),
    ("GET", "/api/v1/tasks/%00", 404, "not_found", "Task not found"),
    ("POST", "/api/v1/tasks/00000000-0000-4000-8000-000000000000/retry", 404, "not_found", "Task not found"),
    ("GET", "/api/v1/tasks?limit=0", 422, V, "limit"),
    ("GET", "/api/v1/tasks?limit=x", 422, V, "limit"),
    ("GET", "/api/v1/tasks?offset=-1", 422, V, "offset"),
    ("GET", "/api/v1/tasks?status=done", 422, V, "status"),
    ("GET", "/api/v1/tasks?cursor=x", 422, V, "cursor"),
    ("GET", "/api/v1/tasks?created_after=soon", 422, V, "date-time"),
    ("GET", "/api/v1/workflows/nothing", 404, "not_found", "Workflow not found"),
    ("GET", "/api/v1/workflows/remote?source_url=http://nobody", 404, "not_found", "Source not found"),
    ("GET", "/api/v1/schedules?status=done", 422, V, "status"),
    ("POST", "/api/v1/queues/a%20b/pause", 422, V, "1 to 64 characters"),
    ("POST", "/api/v1/tasks/delete", 422, V, "give a filter"),
];

/// What is wrong before it is read, as it is on the wire; without a text where the HTTP library answers by itself.
fn wires() -> Vec<(&'static str, Vec<u8>, u16, &'static str, &'static str)> {
    let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
    let run = format!("POST /api/v1/workflows/x/run HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    let with = |headers: &str| format!("{run}{headers}\r\n\r\n").into_bytes();
    let flood: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    vec![
        ("no key", head("GET /api/v1/tasks", ""), 401, "api_key_missing", "X-API-Key header is missing"),
        ("a wrong key", head("GET /api/v1/tasks", "X-API-Key: x\r\n"), 401, "api_key_invalid", "Invalid API key"),
        ("no host", b"GET /api/v1/tasks HTTP/1.1\r\n\r\n".to_vec(), 400, "", ""),
        ("no JSON", with("Content-Type: text/plain\r\nContent-Length: 1"), 415, "media_type", "send JSON"),
        ("too large", with("Content-Length: 99999999999"), 413, "body_too_large", "send less, or raise the limit"),
        ("a body that stops", with("Content-Length: 10"), 408, "body_timeout", "did not arrive in time"),
        ("chunks that are none", with("Transfer-Encoding: chunked\r\n\r\nzz"), 400, "body_broken", "could not be read"),
        (
            "a key twice as long",
            with("Idempotency-Key: \r\nContent-Length: 3\r\n\r\n\"x\""),
            422,
            V,
            "1 to 255 visible",
        ),
        ("a length that is none", with("Content-Length: x"), 400, "", ""),
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 2"), 400, "", ""),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), 400, "", ""),
        ("a line in bytes", b"GET /\xff\xfe HTTP/1.1\r\n\r\n".to_vec(), 400, "", ""),
        ("a flood of headers", head("GET /health", &flood), 431, "", ""),
        ("a head without end", [&b"GET / HTTP/1.1\r\nx: "[..], &[b'y'; 140_000]].concat(), 431, "", ""),
        ("a head that stops", b"GET / HTTP/1.1\r\nHost:".to_vec(), 408, "", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_gets_its_clear_error() {
    let api = TestApi::with(|options| {
        options.body_timeout = Duration::from_millis(300);
        options.request_timeout = Duration::from_millis(1000);
    })
    .await;
    let workflow = api.add_workflow().await;
    let mut wrong = Vec::new();
    let mut judge = |case: String, status: u16, body: &[u8], wanted: (u16, &str, &str)| {
        let text = String::from_utf8_lossy(body).into_owned();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = said["detail"][0]["msg"].as_str().or(said["detail"].as_str()).unwrap_or_default();
        let field = said["detail"][0]["loc"][1].as_str().unwrap_or_default();
        let fits = detail.contains(wanted.2) || field == wanted.2;
        if (status, said["code"].as_str().unwrap_or_default()) != (wanted.0, wanted.1) || !fits {
            wrong.push(format!("{case}: {status} {text}, not {wanted:?}"));
        }
        if text.contains("98765") || text.contains("hush") {
            wrong.push(format!("{case}: a secret is repeated: {text}"));
        }
    };
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    for section in [RUN, SOURCES, SCHEDULES, KEYS] {
        let path = section.path.replace("{workflow}", &workflow);
        for (case, body, status, code, text) in section.cases {
            let body = body.replace("{workflow}", &workflow);
            let answer = api.raw(section.method, &path, &headers, body.as_bytes()).await;
            judge(format!("{path}, {case}"), answer.status, &answer.body, (*status, code, text));
        }
    }
    for (method, path, status, code, text) in PLAIN {
        let answer = api.raw(method, path, &headers, b"").await;
        judge(format!("{method} {path}"), answer.status, &answer.body, (*status, code, text));
    }
    for (case, bytes, status, code, text) in wires() {
        let answer = exchange(&api, &bytes).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let got = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        judge(case.to_owned(), got, body.as_bytes(), (status, code, text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.count("tasks").await, 0, "nothing of it made a task");
}

/// Sends bytes and reads until the service has said all and closed, or says nothing more for a while.
async fn exchange(api: &TestApi, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    // A server that refuses early may close before it has read all.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut buffer)).await;
        let Ok(Ok(count @ 1..)) = read else { break };
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
