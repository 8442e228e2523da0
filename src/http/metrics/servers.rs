//! PostgreSQL, Redis and the nodes. What they say of themselves every node tells: take the greatest, not the sum.

use chrono::{DateTime, Utc};
use prometheus_client::registry::Registry;

use super::series::{Labels, counter, fresh, gauge, gauges, histograms, timestamp};
use crate::dispatch::Dispatch;

/// The connections to our database under the name that postgres_exporter gives them, for alerts and panels that know it.
pub(super) fn postgres_exporter(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let measured = dispatch.figures().server();
    if let Some(server) = measured.as_deref().and_then(|measured| fresh(measured, now)) {
        let labels = vec![("datname", server.database.clone())];
        let help = "Connections to the database, whoever has them";
        gauges(registry, "pg_stat_database_numbackends", help, [(labels, server.database_connections as f64)]);
    }
}

/// PostgreSQL as this node uses it, and what it says of itself.
pub(super) fn database(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let pool = dispatch.store().pool_figures();
    let by_state = [("in_use", pool.in_use), ("idle", pool.idle)]
        .map(|(state, count)| (vec![("state", state.to_owned())], f64::from(count)));
    gauges(registry, "database_pool_connections", "Connections of this node to PostgreSQL", by_state);
    let help = "Most connections of this node to PostgreSQL";
    gauge(registry, "database_pool_max_connections", help, f64::from(pool.max));
    let help = "Calls that wait for a connection to PostgreSQL now";
    gauge(registry, "database_pool_waiting", help, pool.waiting as f64);
    counter(registry, "database_pool_waits", "Calls that had to wait for a connection", pool.waited as f64);
    counter(registry, "database_pool_timeouts", "Calls that waited in vain for a connection", pool.timed_out as f64);
    let help = "What PostgreSQL took for a call of this node, without the wait for a connection";
    histograms(registry, "database_query_seconds", help, [(Labels::new(), dispatch.store().query_times())]);

    let Some(measured) = dispatch.figures().server() else { return };
    measured_at(registry, "database", measured.at);
    let Some(server) = fresh(&measured, now) else { return };
    let help = "Connections to PostgreSQL, of all its databases and clients";
    gauge(registry, "database_connections", help, server.connections as f64);
    let help = "Most connections that PostgreSQL accepts (max_connections)";
    gauge(registry, "database_max_connections", help, server.max_connections as f64);
    let nodes = [("alive", server.nodes_alive), ("dead", server.nodes_dead)]
        .map(|(state, count)| (vec![("state", state.to_owned())], count as f64));
    gauges(registry, "nodes", "Nodes by whether their lease holds; a dead one is forgotten after some minutes", nodes);
}

/// What Redis says of itself. `expected_bytes` is the memory that the configuration gives it.
pub(super) fn redis(registry: &mut Registry, dispatch: &Dispatch, expected_bytes: u64, now: DateTime<Utc>) {
    let Some(measured) = dispatch.figures().redis() else { return };
    measured_at(registry, "redis", measured.at);
    let Some(redis) = fresh(&measured, now) else { return };
    let used = redis.used_bytes as f64;
    gauge(registry, "redis_memory_used_bytes", "Memory that Redis uses", used);
    let help = "Redis's maxmemory; 0 where it has no limit";
    gauge(registry, "redis_memory_max_bytes", help, redis.max_bytes.unwrap_or(0) as f64);
    let help = "What Redis may use: its maxmemory, or redis.memory_mb of the configuration where it has no limit";
    gauge(registry, "redis_memory_limit_bytes", help, redis.max_bytes.unwrap_or(expected_bytes) as f64);
    let help = "Keys that Redis removed because its memory was full";
    counter(registry, "redis_evicted_keys", help, redis.evicted_keys as f64);
    gauge(registry, "redis_connected_clients", "Clients that are connected to Redis", redis.clients as f64);
}

fn measured_at(registry: &mut Registry, server: &str, at: DateTime<Utc>) {
    let name = format!("{server}_measured_timestamp_seconds");
    gauge(registry, &name, "When this server was last measured, since 1970", timestamp(at));
}
