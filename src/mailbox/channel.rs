//! What nodes tell one another in passing: Redis's publish and subscribe. Nothing is kept, and whoever does not listen
//! misses it.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};

use super::{Error, Mailbox};

/// How long nothing may be heard before the connection is tried: one that broke without a word stays silent too.
const SILENCE: Duration = Duration::from_secs(15);

impl Mailbox {
    /// Tells all that listen.
    ///
    /// # Errors
    /// Redis is away; some or none may have heard it.
    pub async fn publish(&self, message: String) -> Result<(), Error> {
        let channel = self.keys.channel();
        self.run(|mut connection| async move {
            redis::cmd("PUBLISH").arg(channel).arg(message).exec_async(&mut *connection).await?;
            Ok(())
        })
        .await
    }

    /// Listens from now on, over a connection of its own.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn listen(&self) -> Result<Ear, Error> {
        let limit = self.options.acquire_timeout + self.options.response_timeout;
        let listening = async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(self.keys.channel()).await?;
            let (sink, messages) = connection.split();
            Ok(Ear { sink, messages, answer_limit: self.options.response_timeout })
        };
        tokio::time::timeout(limit, listening).await.map_err(|_| Error::Slow)?
    }

    /// Whether Redis answers, how many listen, and whether it was emptied; in one round trip. Where Redis's rules for this
    /// user forbid to ask, nobody listens and nothing was emptied, as far as can be told.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ping(&self) -> Result<Pong, Error> {
        let (channel, mark) = (self.keys.channel(), self.keys.mark());
        self.run(|mut connection| async move {
            let mut pipeline = redis::pipe();
            pipeline.cmd("PING").cmd("PUBSUB").arg("NUMSUB").arg(channel);
            // Of all nodes one makes the mark, and is told so.
            pipeline.cmd("SET").arg(mark).arg(1).arg("NX").ignore_errors();
            let [pong, listeners, marked]: [redis::RedisResult<redis::Value>; 3] =
                pipeline.query_async(&mut *connection).await?;
            pong?;
            let listeners = listeners.and_then(|counted| Ok(redis::from_redis_value::<(String, u64)>(counted)?));
            Ok(Pong {
                listeners: listeners.map_or(0, |(_, count)| count),
                was_emptied: matches!(marked, Ok(redis::Value::Okay)),
            })
        })
        .await
    }
}

/// What a ping brings to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// How many listen.
    pub listeners: u64,
    /// Whether everything that was in Redis is gone, or nothing was there yet. Told once, to whoever sees it first.
    pub was_emptied: bool,
}

/// Hears what is told.
pub struct Ear {
    sink: PubSubSink,
    messages: PubSubStream,
    answer_limit: Duration,
}

impl Ear {
    /// The next message, in the order of their telling; nothing once the connection is lost, and with it what was told
    /// meanwhile.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(SILENCE, self.messages.next()).await {
                Ok(message) => return message?.get_payload().ok(),
                Err(_) => {
                    let pong = tokio::time::timeout(self.answer_limit, self.sink.ping::<redis::Value>()).await;
                    pong.ok()?.ok()?;
                }
            }
        }
    }
}
