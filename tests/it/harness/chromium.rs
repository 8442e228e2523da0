//! A headless Chromium that a test steers, over the DevTools protocol on a pipe: a browser of its own with a profile of
//! its own, and no network but this machine.
//!
//! The protocol is JSON between NUL bytes. So a driver is these lines, and no library follows the browser's versions.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The names of the program; `scripts/setup.sh browser` installs it.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How long a page may take to show what a test waits for; for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The browser's program.
pub(crate) fn program() -> &'static str {
    let path = std::env::var("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    BROWSERS.iter().copied().find(is_there).expect("a browser: scripts/setup.sh browser")
}

/// Flags of every browser of ours.
pub(crate) const FLAGS: [&str; 5] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The page's session.
    page: String,
    asked: u64,
    /// What scripts and the policies of pages complained about.
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one. Blocks, as all that follows: call it on a thread for blocking work.
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().unwrap();
        // The browser reads from descriptor 3 and writes to 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >&2", "sh", program()])
            .args(FLAGS)
            .args(["--remote-debugging-pipe", "--hide-scrollbars", "--no-first-run", "--lang=en"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let page = String::new();
        let mut browser = Self { process, input, output, page, asked: 0, complaints: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.page = browser.ask("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.ask(domain, json!({}));
        }
        browser.size(1280, 800);
        browser
    }

    /// What scripts and policies complained about so far.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The size of the window.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let is_phone = width < 600;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    /// The theme that the system prefers.
    pub(crate) fn theme(&mut self, theme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": theme},
            // So that a picture shows no colour on its way from one to the other.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Goes to an address and waits until the page is there.
    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.ask("Page.navigate", json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression in the page; none where it has none, as while the page is being exchanged.
    pub(crate) fn try_value(&mut self, expression: &str) -> Option<Value> {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.try_ask("Runtime.evaluate", asked).ok()?;
        answer.get("exceptionDetails").is_none().then(|| answer["result"]["value"].clone())
    }

    /// Waits until an expression of the page is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let started = Instant::now();
        while self.try_value(&format!("Boolean({expression})")) != Some(Value::Bool(true)) {
            if started.elapsed() > SOON {
                let text = self.try_value("location.href + '\\n' + document.body.innerText").unwrap_or_default();
                panic!("not within {SOON:?}: {expression}\n{}\n{:?}", text.as_str().unwrap_or(""), self.complaints);
            }
            // A turn of the page's own clock, so that the machine is not kept busy with asking.
            let pause = "new Promise((done) => setTimeout(done, 50))";
            self.try_ask("Runtime.evaluate", json!({"expression": pause, "awaitPromise": true})).ok();
        }
    }

    /// Waits until there is an element, and clicks on it.
    pub(crate) fn click(&mut self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?})"));
        self.try_value(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Waits for a button or link with a text, and clicks on it.
    pub(crate) fn press(&mut self, label: &str) {
        let found = format!(
            "[...document.querySelectorAll('main button, main a, dialog[open] button')]\
             .find((one) => one.textContent.trim() === {label:?})"
        );
        self.until(&found);
        self.try_value(&format!("{found}.click()"));
    }

    /// Fills a field as somebody who types does.
    pub(crate) fn fill(&mut self, name: &str, value: &str) {
        let field = format!("document.querySelector('main [name={name}]')");
        self.until(&field);
        self.try_value(&format!("{field}.value = {value:?}"));
        self.try_value(&format!("{field}.dispatchEvent(new Event('input', {{bubbles: true}}))"));
    }

    /// Waits for a text on the page.
    pub(crate) fn see(&mut self, text: &str) {
        self.until(&format!("document.body.innerText.includes({text:?})"));
    }

    /// A picture of the window.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.ask("Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false}));
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.try_ask(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": parameters});
        if !self.page.is_empty() {
            message["sessionId"] = json!(self.page);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.output.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser has ended");
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.asked {
                return if answer.get("error").is_some() {
                    Err(answer["error"].take())
                } else {
                    Ok(answer["result"].take())
                };
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(event["params"].to_string()),
            Some("Log.entryAdded") if event["params"]["entry"]["source"] == "security" => {
                self.complaints.push(event["params"]["entry"]["text"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
