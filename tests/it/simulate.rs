//! The simulated source itself: starting, stopping, counting.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions};
use serde_json::Value;

use crate::langflow::{completed, request, simulated, source, until};

#[test]
fn the_simulated_source_starts_and_stops_in_any_context() {
    fn run(runtime: tokio::runtime::Runtime) {
        runtime.block_on(async {
            let server = simulated();
            let url = server.url();
            assert_eq!(completed(&*source(&url), request(FLOW_ID, "x")).await.text, "X");
            server.stop().await;
            // The port is free again.
            let address = url.strip_prefix("http://").unwrap();
            until("the port is free", || TcpListener::bind(address).is_ok()).await;
        });
    }
    run(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    run(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let options = SimulateOptions { failure_rate: 2.0, ..SimulateOptions::default() };
    assert_eq!(simulate::start(options).unwrap_err().code(), "simulate_option");
}

#[tokio::test]
async fn the_simulated_source_keeps_and_forgets_its_log_over_http() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let (url_sender, url) = tokio::sync::oneshot::channel();
    let options = SimulateOptions { answer_bytes: 50_000, failure_rate: 0.0, ..SimulateOptions::default() };
    let server = simulate::run_until(options, |server| url_sender.send(server.url()).unwrap(), async {
        receiver.await.unwrap();
    });
    let client = async {
        let url = url.await.unwrap();
        let source = source(&url);
        let answer = completed(&*source, request(FLOW_ID, "again")).await;
        assert_eq!(answer.output.get().len(), 50_000);
        completed(&*source, request(FLOW_ID, "again")).await;
        let counts = plain(&url, "GET /_spark/calls").await;
        assert_eq!(counts["total"], 2);
        assert_eq!(counts["repeated"]["session of again"], 2);
        plain(&url, "POST /_spark/reset").await;
        assert_eq!(plain(&url, "GET /_spark/calls").await["total"], 0);
        sender.send(()).unwrap();
    };
    let (counts, ()) = tokio::join!(server, client);
    assert_eq!(counts.unwrap().total, 0);
}

/// One request without the adapter.
fn plain(url: &str, request: &str) -> impl Future<Output = Value> {
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let request = format!("{request} HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
    async move {
        let exchange = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = exchange.await.unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
    }
}
