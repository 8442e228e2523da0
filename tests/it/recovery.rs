//! How soon things are right again: servers that freeze, nodes that are cut off, what is killed.

mod cut_off;
mod freeze;
mod frozen;
mod measure;
mod stop;
mod unheard;
mod watchdog;

use crate::harness::proxy::Proxy;
use crate::harness::stage::Stage;

/// A cable to the stage's PostgreSQL that may be pulled, and the url that leads through it.
fn proxy_of_database(stage: &Stage) -> (Proxy, String) {
    let url = &stage.servers.service_url;
    let proxy = Proxy::start(stage.servers.service_port());
    let url = proxy.url(url);
    (proxy, url)
}
