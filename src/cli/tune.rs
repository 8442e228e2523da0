//! `tune`: how large PostgreSQL, PgBouncer and Redis should be for a profile, and whether they are.

mod fragments;

use std::num::NonZeroU32;

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::serve::Settings;
use super::table::Column::{Keep, Shrink};
use super::{Error, block_on};
use crate::config::Flags;
use crate::domain::sizing::{Installation, compare};
use crate::node::neighbours;

/// What is to be sized.
#[derive(Args, Debug)]
pub(super) struct TuneArgs {
    #[command(flatten)]
    settings: Settings,
    /// How many nodes share PostgreSQL and Redis
    #[arg(long, value_name = "N", default_value = "1")]
    nodes: NonZeroU32,
    /// Do not ask the servers of the configuration
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(out: &Output, args: &TuneArgs) -> Result<(), Error> {
    let config = args.settings.load(Flags::default())?.config;
    let size = neighbours::installation(&config, args.nodes.get());
    let (found, silent) =
        if args.offline { Default::default() } else { block_on(async { Ok(neighbours::look(&config).await) })? };
    let findings = compare(&size, &found);
    let (guide, own) = (size.by_the_guide(), size.by_this_program());
    if out.is_json() {
        let findings: Vec<_> =
            findings.iter().map(|one| json!({ "what": one.what, "fits": one.fits, "words": one.words })).collect();
        return out.text(&format!(
            "{:#}",
            json!({
                "profile": config.profile.name,
                "workers": size.workers, "threads": size.threads, "nodes": size.nodes,
                "guide": { "pool_size": guide.pool_size, "max_connections": guide.max_connections },
                "spark": {
                    "connections_of_a_node": own.node, "connections": own.nodes, "max_connections": own.max_connections,
                    "memory_of_a_node_kb": own.node_kb, "redis_memory_mb": size.redis_mb,
                },
                "pgbouncer": {
                    "default_pool_size": own.bouncer_pool, "reserve_pool_size": own.bouncer_reserve,
                    "max_client_conn": own.bouncer_clients,
                },
                "findings": findings,
                "not_asked": silent,
            })
        ));
    }
    out.text(&format!(
        "Profile {}: {} workers x {} threads in the largest pool, {} workers in all, {} node(s)\n",
        config.profile.name, size.workers, size.threads, size.all_workers, size.nodes
    ))?;
    out.rows(&[Keep("CONNECTIONS TO POSTGRESQL"), Keep("GUIDE"), Keep("SPARK"), Shrink("WHY")], sums(&size), "")?;
    for (title, text) in fragments::all(&size) {
        out.text(&format!("\n{title}\n{text}"))?;
    }
    if !args.offline {
        let rows = findings
            .into_iter()
            .map(|one| vec![one.what.to_owned(), if one.fits { "ok" } else { "change" }.to_owned(), one.words]);
        out.text("")?;
        out.rows(&[Keep("FOUND"), Keep("STATE"), Shrink("WHAT THERE IS")], rows.collect(), "nothing could be asked")?;
    }
    silent.iter().for_each(|words| out.say(&format!("warning: {words}")));
    Ok(())
}

/// The guide's sum beside ours.
fn sums(size: &Installation) -> Vec<Vec<String>> {
    let (guide, own) = (size.by_the_guide(), size.by_this_program());
    let row = |what: &str, guide: String, own: String, why: &str| vec![what.to_owned(), guide, own, why.to_owned()];
    let none = String::new;
    vec![
        row("workers", guide.workers.to_string(), "0".to_owned(), "children hold none: they only talk to sources"),
        row("API", guide.api.to_string(), none(), "one pool serves all parts of a node"),
        row("beat", guide.beat.to_string(), none(), ""),
        row("overhead", guide.overhead.to_string(), none(), ""),
        row(
            "a node's pool",
            guide.pool_size.to_string(),
            size.pool_limit.to_string(),
            "pool_size + max_overflow: a ceiling; statements are batched, so few are open",
        ),
        row("with lease and migration", none(), own.node.to_string(), "connections of their own"),
        row("all nodes", none(), own.nodes.to_string(), ""),
        row(
            "max_connections",
            guide.max_connections.to_string(),
            own.max_connections.to_string(),
            "ours: all nodes, and ten for people and backups",
        ),
    ]
}
