//! A fresh, migrated database for these tests.

use automagik_spark::domain::source::Secret;
use automagik_spark::store::{Store, Vault};
use tokio_postgres::Client;

use crate::harness::servers::{TestServers, pool_options};
use crate::harness::stage::connect;

pub(crate) struct Database {
    pub(crate) client: Client,
    pub(crate) store: Store,
    _servers: TestServers,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let servers = TestServers::start().await;
        let key = Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let vault = Vault::new(&key).expect("a Fernet key");
        let options = pool_options(&servers.service_url);
        let store = Store::open(&options, vault, tokio::runtime::Handle::current()).expect("opened");
        let client = connect(&servers.database_url).await;
        Self { client, store, _servers: servers }
    }
}
