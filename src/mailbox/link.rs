//! A pooled connection that knows whether it may be used again.

use std::time::Duration;

use bb8::ManageConnection;
use bb8_redis::RedisConnectionManager;
use futures_util::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

/// What a server says that must not be written to: after a failover it is the wrong one, and whoever connects anew finds
/// the right one.
const OF_ANOTHER_SERVER: [&str; 2] = ["READONLY", "MASTERDOWN"];

/// A connection. One whose last command brought no answer, or the answer of the wrong server, is not used again.
pub(super) struct Link {
    plain: MultiplexedConnection,
    is_sound: bool,
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let answered = async move {
            // Should nobody wait for the answer to its end, this stays.
            self.is_sound = false;
            let answer = self.plain.req_packed_command(command).await;
            self.is_sound = is_sound(&answer, is_right);
            answer
        };
        answered.boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let answered = async move {
            self.is_sound = false;
            let answers = self.plain.req_packed_commands(pipeline, offset, count).await;
            self.is_sound = is_sound(&answers, |values| values.iter().all(is_right));
            answers
        };
        answered.boxed()
    }

    fn get_db(&self) -> i64 {
        self.plain.get_db()
    }
}

/// Whether there was an answer, be it a refusal, and of the right server.
fn is_sound<T>(answer: &RedisResult<T>, is_right: impl FnOnce(&T) -> bool) -> bool {
    match answer {
        Ok(answer) => is_right(answer),
        Err(error) => error.code().is_some_and(is_of_right_server),
    }
}

fn is_right(value: &Value) -> bool {
    !matches!(value, Value::ServerError(error) if !is_of_right_server(error.code()))
}

fn is_of_right_server(code: &str) -> bool {
    !OF_ANOTHER_SERVER.contains(&code)
}

/// Makes and tries connections for the pool.
pub(super) struct Manager {
    plain: RedisConnectionManager,
    response_timeout: Duration,
}

impl Manager {
    pub(super) fn new(url: &str, response_timeout: Duration) -> Result<Self, RedisError> {
        Ok(Self { plain: RedisConnectionManager::new(url)?, response_timeout })
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = RedisError;

    async fn connect(&self) -> Result<Link, RedisError> {
        let mut plain = self.plain.connect().await?;
        plain.set_response_timeout(self.response_timeout);
        Ok(Link { plain, is_sound: true })
    }

    async fn is_valid(&self, link: &mut Link) -> Result<(), RedisError> {
        self.plain.is_valid(&mut link.plain).await
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        !link.is_sound
    }
}
