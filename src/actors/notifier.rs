//! The notifier: looks for what has changed and is to be told of, and sends what is due. What it does is in PostgreSQL
//! before and after, so it may end at any moment and any node may go on.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::clock;
use crate::domain::ids::NotificationId;
use crate::domain::notification::{Fate, judge};
use crate::domain::webhook::SigningKey;
use crate::sources::HttpClient;
use crate::sources::webhook::{self, Received};
use crate::store::Store;
use crate::store::delivery::{DueDelivery, Tried};

/// Time between two looks for what is due.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks for what lasts: queues, sources, schedules.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Receivers that this node sends to at one time. One that hangs holds a place and nobody up.
const RECEIVERS: usize = 32;
/// Deliveries that one receiver is sent at one time.
const OF_EACH: i64 = 4;
/// How long what is being sent is waited for at a stop; what is not through then is sent again.
const LAST_SENDS: Duration = Duration::from_secs(2);

/// Tells until it is stopped.
pub async fn run(dispatch: Dispatch, http: HttpClient, stop: CancellationToken) {
    let mut send = tokio::time::interval(SEND_EVERY);
    let mut watch = tokio::time::interval(WATCH_EVERY);
    for interval in [&mut send, &mut watch] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    let store = dispatch.store();
    let mut sending = Sending::default();
    loop {
        tokio::select! {
            _ = send.tick() => sending.start(store, &http).await,
            _ = watch.tick() => match store.watch(clock::now()).await {
                Ok(0) => {}
                // At once, not with the next tick.
                Ok(_) => sending.start(store, &http).await,
                Err(error) => log::debug!("notifications wait: {error}"),
            },
            // Whoever has got all it was sent may have more.
            Some(done) = sending.tasks.join_next(), if !sending.tasks.is_empty() => {
                sending.ended(done);
                sending.start(store, &http).await;
            }
            () = stop.cancelled() => break,
        }
    }
    let all = async { while sending.tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_SENDS, all).await;
}

/// What is being sent: one task for each receiver.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<NotificationId>,
    busy: HashSet<NotificationId>,
}

impl Sending {
    /// Begins to send what is due to whoever is not being sent anything.
    async fn start(&mut self, store: &Store, http: &HttpClient) {
        let room = RECEIVERS.saturating_sub(self.busy.len());
        if room == 0 {
            return;
        }
        let busy = self.busy.iter().copied().collect();
        let mut due = match store.take_deliveries(busy, room, OF_EACH).await {
            Ok(due) => due,
            Err(error) => return log::debug!("notifications wait: {error}"),
        };
        while let Some(first) = due.first().map(|delivery| delivery.notification) {
            let (of_one, rest) = due.into_iter().partition(|delivery| delivery.notification == first);
            due = rest;
            self.busy.insert(first);
            let (store, http) = (store.clone(), http.clone());
            self.tasks.spawn(async move {
                let of_one: Vec<DueDelivery> = of_one;
                join_all(of_one.into_iter().map(|delivery| deliver(&store, &http, delivery))).await;
                first
            });
        }
    }

    fn ended(&mut self, done: Result<NotificationId, tokio::task::JoinError>) {
        match done {
            Ok(id) => {
                self.busy.remove(&id);
            }
            Err(error) => {
                // Which one it was is not known. Nobody stays out for it: at worst a receiver is sent to twice as much.
                log::error!("sending a notification broke off: {error}");
                self.busy.clear();
            }
        }
    }
}

/// Sends one delivery and notes what came of it.
async fn deliver(store: &Store, http: &HttpClient, delivery: DueDelivery) {
    let Received { status, error } = send(store, http, &delivery).await;
    let fate = judge(error.is_none(), &delivery.event, delivery.tries);
    let (id, event, tries) = (delivery.id, &delivery.event, delivery.tries);
    match (&fate, &error) {
        (Fate::GivenUp, Some(why)) => log::warn!(
            notification:% = delivery.notification, delivery:% = id;
            "{event} was tried {tries} times and is given up: {why}"
        ),
        (Fate::TryAgain(wait), Some(why)) => log::info!(
            notification:% = delivery.notification, delivery:% = id;
            "{event} did not arrive and is tried again in {} s: {why}", wait.as_secs()
        ),
        _ => {}
    }
    if let Err(error) = store.settle_delivery(id, tries, Tried { fate, status, error }).await {
        log::warn!(delivery:% = id; "what came of a notification can't be stored, it may be sent again: {error}");
    }
}

async fn send(store: &Store, http: &HttpClient, delivery: &DueDelivery) -> Received {
    let secret = match store.delivery_secret(delivery) {
        Ok(secret) => secret,
        Err(error) => return Received { status: None, error: Some(error.to_string()) },
    };
    let Some(key) = SigningKey::read(&secret) else {
        return Received { status: None, error: Some("its secret can't be used; give it a new one".to_owned()) };
    };
    let (id, timestamp) = (delivery.id.to_string(), clock::now().timestamp());
    let signature = key.sign(&id, timestamp, delivery.body.as_bytes());
    let headers = [("webhook-id", id), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)];
    webhook::post(http, &delivery.url, &headers, delivery.body.clone()).await
}
