//! Sources of this machine that are found at the start.

use std::time::Duration;

use automagik_spark::domain::source::{Secret, SourceKind};
use automagik_spark::node::discovery::discover;
use automagik_spark::simulate::{self, SimulateOptions, Simulated};
use automagik_spark::sources::{HttpClient, HttpOptions};
use automagik_spark::store::{Store, Vault};
use tokio::runtime::Handle;

use crate::harness::servers::pool_options;
use crate::harness::stage::Stage;

fn port(source: &Simulated) -> u16 {
    source.url().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_without_a_key_are_added_once_and_no_others() {
    let stage = Stage::new(Duration::ZERO).await;
    let locked = SimulateOptions { api_key: Secret::new("a-key"), ..SimulateOptions::default() };
    let locked = simulate::start(locked).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let vault = Vault::new(&Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).unwrap();
    let store = Store::open(&pool_options(&stage.servers.service_url), vault, Handle::current()).unwrap();
    let ports = vec![
        (SourceKind::Langflow, port(&stage.source)),
        (SourceKind::Langflow, port(&locked)),
        (SourceKind::Langflow, free),
        // Something else answers there.
        (SourceKind::AutomagikHive, port(&stage.source)),
    ];
    for _start in 1..=2 {
        discover(store.clone(), HttpClient::new(HttpOptions::default()).unwrap(), ports.clone()).await;
        let rows = stage.rows("SELECT name, url, source_type, encrypted_api_key FROM workflow_sources", &[]).await;
        let sources: Vec<[String; 4]> =
            rows.iter().map(|row| [row.get(0), row.get(1), row.get(2), row.get(3)]).collect();
        let url = format!("http://localhost:{}", port(&stage.source));
        assert_eq!(sources, [["local langflow".to_owned(), url, "langflow".to_owned(), String::new()]]);
    }
}
