//! `sources run-agent`: an agent of a source, run at once. It becomes a workflow by it, for what Spark runs has a history.

use clap::Args;
use serde_json::{Map, json};

use super::connection::{Remote, ServiceRemote};
use super::render::field;
use super::{Error, Session, resolve, submit};
use crate::domain::source::SourceKind;

/// Which agent to run, and on what.
#[derive(Args, Debug)]
pub(super) struct RunAgentArgs {
    /// The source, of type automagik-agents or automagik-hive: its id, a beginning of it, its name or its url
    source: String,
    /// The agent's name, or its id in Hive; there, `team:ID` and `workflow:ID` run those
    agent: String,
    /// What the agent is told, passed on exactly; `-` reads it from stdin
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    input: String,
    /// Runs of one session share what the agent remembers
    #[arg(short, long, value_name = "ID")]
    session_id: Option<String>,
    #[command(flatten)]
    remote: ServiceRemote,
}

impl RunAgentArgs {
    pub(super) fn remote(&self) -> Remote {
        self.remote.remote()
    }
}

pub(super) async fn run(session: &Session, args: RunAgentArgs) -> Result<(), Error> {
    let source = resolve::item(&session.client, &resolve::SOURCE, &args.source).await?;
    let flow = flow_id(&field(&source, "source_type"), &args.agent)?;
    let input = submit::read_input(&args.input)?;
    let body = json!({ "source_url": field(&source, "url") });
    let workflow = session.client.post(&["workflows", "sync", &flow]).json(&body).send().await?;
    let mut body = Map::from_iter([("input_data".to_owned(), input.into())]);
    body.extend(args.session_id.map(|id| ("session_id".to_owned(), id.into())));
    let route = ["workflows", &field(&workflow.value, "id"), "run"];
    submit::follow(session, session.client.post(&route).json(&body.into()).send().await?).await
}

/// The id that the source has for an agent.
fn flow_id(source_type: &str, agent: &str) -> Result<String, Error> {
    match source_type.parse() {
        Ok(SourceKind::AutomagikAgents) => Ok(agent.to_owned()),
        // An id alone might be a team's too.
        Ok(SourceKind::AutomagikHive) if !agent.contains(':') => Ok(format!("agent:{agent}")),
        Ok(SourceKind::AutomagikHive) => Ok(agent.to_owned()),
        _ => Err(Error::Usage(format!(
            "a source of type {source_type} has no agents; `automagik-spark workflows sync` and `workflows run` run its flows"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_named_as_their_source_names_them() {
        assert_eq!(flow_id("automagik-agents", "simple").ok().as_deref(), Some("simple"));
        assert_eq!(flow_id("automagik-hive", "echo").ok().as_deref(), Some("agent:echo"));
        assert_eq!(flow_id("automagik-hive", "team:echo").ok().as_deref(), Some("team:echo"));
        for other in ["langflow", "http", "something newer"] {
            assert_eq!(flow_id(other, "x").expect_err("refused").exit_code(), 2);
        }
    }
}
