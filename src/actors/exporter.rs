//! The exporter: sends what is told of tasks to a collector of traces, in batches. Nobody waits for it. While the collector
//! is away it keeps the batch that it has and tries again; what the queue then has no room for is dropped and counted.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::domain::plural::plural;
use crate::domain::trace::{Fact, Span, spans};
use crate::otlp::{self, Resource};
use crate::sources::collector::{Collector, Delivered};

/// Most facts of one request: some hundred kilobytes.
const BATCH: usize = 256;
/// How long the first fact of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long what is left may take at a stop.
const LAST_SENDS: Duration = Duration::from_secs(2);

/// What the exporter works with.
pub struct ExporterParts {
    /// What is to be told.
    pub facts: mpsc::Receiver<Fact>,
    /// Where to.
    pub collector: Collector,
    /// Who tells.
    pub resource: Resource,
}

/// Exports until it is stopped.
pub async fn run(parts: ExporterParts, dispatch: Dispatch, runtime: Handle, stop: CancellationToken) {
    let exporter = Exporter { parts, dispatch, batch: Vec::with_capacity(BATCH), is_failing: false };
    // On the shared runtime: putting a batch together would hold up the actors of this thread.
    if let Err(error) = runtime.spawn(exporter.run(stop.clone())).await {
        // A fault of ours here is no reason to stop the service.
        log::error!("traces are exported no more, until the service is started anew: {error}");
        stop.cancelled().await;
    }
}

struct Exporter {
    parts: ExporterParts,
    dispatch: Dispatch,
    /// What was taken out of the queue and is not through yet.
    batch: Vec<Fact>,
    /// Whether the last request came to nothing, which was told.
    is_failing: bool,
}

impl Exporter {
    async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.go_on() => {}
        }
        self.parts.facts.close();
        if timeout(LAST_SENDS, self.send_rest()).await.is_err() || !self.batch.is_empty() {
            let mut unsent = self.batch.iter().map(Fact::span_count).sum();
            while let Ok(fact) = self.parts.facts.try_recv() {
                unsent += fact.span_count();
            }
            self.dispatch.traces().dropped(unsent);
            log::warn!("{} could not be exported before the stop", plural_spans(unsent));
        }
    }

    /// Batch after batch. May be broken off at any moment: the batch stays.
    async fn go_on(&mut self) {
        while self.gather().await {
            let mut wait = FIRST_WAIT;
            while let Some(least) = self.send().await {
                sleep(wait.max(least)).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// Fills the batch; false once nobody tells anything any more.
    async fn gather(&mut self) -> bool {
        let facts = &mut self.parts.facts;
        if facts.recv_many(&mut self.batch, BATCH).await == 0 {
            return false;
        }
        let until = Instant::now() + GATHER;
        while self.batch.len() < BATCH {
            let room = BATCH - self.batch.len();
            tokio::select! {
                got = facts.recv_many(&mut self.batch, room) => if got == 0 { break },
                () = sleep_until(until) => break,
            }
        }
        true
    }

    /// Sends all that is left, each batch once, up to the first that does not get through.
    async fn send_rest(&mut self) {
        while !self.batch.is_empty() || self.parts.facts.recv_many(&mut self.batch, BATCH).await > 0 {
            if self.send().await.is_some() {
                return;
            }
        }
    }

    /// Sends the batch once, and lets go of it unless another try may help. Says then how long the collector wants to be
    /// left alone at least.
    async fn send(&mut self) -> Option<Duration> {
        let spans: Vec<Span> = self.batch.iter().flat_map(spans).collect();
        let all = spans.len() as u64;
        let request = otlp::request(&self.parts.resource, spans);
        let traces = self.dispatch.traces();
        let why = match self.parts.collector.send(request.into()).await {
            Delivered::Away { why, retry_after } => {
                self.failed(&why);
                return Some(retry_after.unwrap_or_default());
            }
            Delivered::Refused(why) => {
                traces.dropped(all);
                Some(why)
            }
            Delivered::Taken(answer) => {
                let (refused, why) = otlp::refused(&answer);
                let refused = refused.min(all);
                traces.exported(all - refused);
                traces.dropped(refused);
                (refused > 0).then(|| format!("it refused {}: {why}", plural_spans(refused)))
            }
        };
        match why {
            Some(why) => self.failed(&why),
            None if std::mem::take(&mut self.is_failing) => {
                log::info!("traces are exported again; {} were dropped so far", plural_spans(traces.counts().1));
            }
            None => {}
        }
        self.batch.clear();
        None
    }

    /// One line when it begins to fail, not one a batch.
    fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            log::warn!("traces can't be exported (tasks go on): {why}");
        }
    }
}

fn plural_spans(count: u64) -> String {
    plural(usize::try_from(count).unwrap_or(usize::MAX), "span", "spans")
}
