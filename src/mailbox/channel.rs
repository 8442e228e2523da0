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

    /// Whether Redis answers, and how many listen; in one round trip. Nobody, as far as can be told, where Redis's rules
    /// for this user forbid to ask.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ping(&self) -> Result<u64, Error> {
        let channel = self.keys.channel();
        self.run(|mut connection| async move {
            let mut pipeline = redis::pipe();
            pipeline.cmd("PING").cmd("PUBSUB").arg("NUMSUB").arg(channel).ignore_errors();
            let [pong, listeners]: [redis::RedisResult<redis::Value>; 2] =
                pipeline.query_async(&mut *connection).await?;
            pong?;
            let listeners = listeners.and_then(|counted| Ok(redis::from_redis_value::<(String, u64)>(counted)?));
            Ok(listeners.map_or(0, |(_, count)| count))
        })
        .await
    }
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
