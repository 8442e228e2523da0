//! What the command line says.

use config::{Map, Value};

use super::raw::{Layer, text};

/// Where a value of `--set` came from.
pub(super) const SET: &str = "flag --set";

/// The flags that overrule every other source. Empty means not given. Not `Debug`: the last two may hold a secret.
#[derive(Clone, Default)]
pub struct Flags {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--roles a,b`.
    pub roles: Vec<String>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--workers`: children of each pool that names no number.
    pub workers: Option<u32>,
    /// `--threads`: attempts of each child of a pool that names no number.
    pub threads: Option<u32>,
    /// `--queues a,b`: one pool with these queues in place of the configured ones. It has the first queue's name.
    pub queues: Vec<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// What the command sets by itself, which nobody typed; `set` overrules it.
    pub own: Vec<(String, String)>,
    /// `--set key=value`, for any key.
    pub set: Vec<(String, String)>,
}

impl Flags {
    /// What the flags set; a later `--set` wins, also over a flag of its own.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::new();
        let join = |items: &Vec<String>| (!items.is_empty()).then(|| items.join(","));
        let given = [
            ("--profile", "profile", self.profile.clone()),
            ("--roles", "node.roles", join(&self.roles)),
            ("--host", "api.host", self.host.clone()),
            ("--port", "api.port", self.port.map(|port| port.to_string())),
            ("--workers", "worker.workers", self.workers.map(|number| number.to_string())),
            ("--threads", "worker.threads", self.threads.map(|number| number.to_string())),
            ("--log-level", "log.level", self.log_level.clone()),
        ];
        for (flag, key, value) in given {
            if let Some(value) = value {
                layer.insert(key.to_owned(), text(&value, &format!("flag {flag}")));
            }
        }
        if let Some(first) = self.queues.first() {
            let origin = "flag --queues".to_owned();
            let mut pool = Map::new();
            pool.insert("name".to_owned(), Value::new(Some(&origin), first.as_str()));
            pool.insert("queues".to_owned(), Value::new(Some(&origin), self.queues.clone()));
            layer.insert("pools".to_owned(), Value::new(Some(&origin), vec![Value::new(Some(&origin), pool)]));
        }
        for (key, value) in &self.own {
            layer.insert(key.clone(), text(value, "this command"));
        }
        for (key, value) in &self.set {
            layer.insert(key.clone(), text(value, SET));
        }
        layer
    }
}
