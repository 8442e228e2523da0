//! Pieces of configuration, ready to be copied.

use crate::domain::sizing::Installation;

/// Each with its title.
pub(super) fn all(size: &Installation) -> Vec<(&'static str, String)> {
    let own = size.by_this_program();
    vec![
        (
            "# postgresql.conf (all that matters, with the reasons: config/postgresql.conf)",
            format!("max_connections = {}\n", own.max_connections),
        ),
        (
            "; pgbouncer.ini, where more than one node or other programs share the server (whole: config/pgbouncer.ini)",
            format!(
                "[pgbouncer]\npool_mode = transaction\nmax_client_conn = {}\ndefault_pool_size = {}\n\
                 reserve_pool_size = {}\n",
                own.bouncer_clients, own.bouncer_pool, own.bouncer_reserve
            ),
        ),
        (
            "# redis.conf (whole: config/redis.conf). The guide advises allkeys-lru, which throws whole mailboxes away when\n\
             # memory is short: Spark feeds them again from PostgreSQL, late. noeviction refuses and is noticed.",
            format!(
                "maxmemory {}mb\nmaxmemory-policy noeviction\nappendonly yes\nappendfsync everysec\nsave \"\"\n",
                size.redis_mb
            ),
        ),
    ]
}
