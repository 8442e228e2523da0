//! Group commit: calls that arrive while a batch is in flight make up the next one. An idle batcher adds no delay.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Collects items into batches; cheap to clone. Ends when its last clone is dropped and all is flushed.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many items wait as may.
    #[error("too many writes wait for the database")]
    Full,
    /// The batcher has ended.
    #[error("the service is stopping")]
    Closed,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher. At most `capacity` items wait, at most `max_batch` make a batch; `flush` gets a batch and
    /// answers one result an item, in order. One batch is in flight at a time.
    pub fn spawn<F, Fut>(runtime: &Handle, capacity: usize, max_batch: usize, mut flush: F) -> Self
    where
        F: FnMut(Vec<I>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<O>> + Send,
    {
        let (queue, mut waiting) = mpsc::channel::<(I, oneshot::Sender<O>)>(capacity);
        runtime.spawn(async move {
            let mut arrived = Vec::with_capacity(max_batch);
            while waiting.recv_many(&mut arrived, max_batch).await > 0 {
                let (items, replies): (Vec<I>, Vec<oneshot::Sender<O>>) = arrived.drain(..).unzip();
                for (reply, result) in replies.into_iter().zip(flush(items).await) {
                    // Whoever asked may be gone; the write is done all the same.
                    drop(reply.send(result));
                }
            }
        });
        Self { queue }
    }

    /// How many items wait for their batch.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Hands an item in and waits for its result.
    ///
    /// # Errors
    /// Too many items wait, or the batcher has ended.
    pub async fn call(&self, item: I) -> Result<O, Refused> {
        self.push(item)?.await.map_err(|_| Refused::Closed)
    }

    /// Hands an item in; the result may be awaited or left.
    ///
    /// # Errors
    /// Too many items wait, or the batcher has ended.
    pub fn push(&self, item: I) -> Result<oneshot::Receiver<O>, Refused> {
        let (reply, result) = oneshot::channel();
        self.queue.try_send((item, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Closed,
        })?;
        Ok(result)
    }
}

/// Cuts a batch so that what is in one part stays within a size, in order; one that is larger stands alone.
pub fn portions<T>(items: Vec<T>, size: impl Fn(&T) -> usize, most: usize) -> Vec<Vec<T>> {
    let mut portions = vec![Vec::new()];
    let mut sum = 0;
    for item in items {
        let size = size(&item);
        if sum + size > most && sum > 0 {
            portions.push(Vec::new());
            sum = 0;
        }
        sum += size;
        if let Some(portion) = portions.last_mut() {
            portion.push(item);
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Mutex, Semaphore};

    use super::*;

    #[tokio::test]
    async fn what_arrives_while_a_batch_is_in_flight_is_the_next_batch() {
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let batcher = Batcher::spawn(&Handle::current(), 10, 3, {
            let (gate, sizes) = (gate.clone(), sizes.clone());
            move |items: Vec<u32>| {
                let (gate, sizes) = (gate.clone(), sizes.clone());
                async move {
                    sizes.lock().await.push(items.len());
                    gate.acquire().await.expect("open").forget();
                    items.into_iter().map(|item| item * 2).collect()
                }
            }
        });
        let first = batcher.push(1).expect("taken");
        // The first batch is in flight once its size was noted.
        while sizes.lock().await.is_empty() {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (2..6).map(|item| batcher.push(item).expect("taken")).collect();
        gate.add_permits(3);
        assert_eq!(first.await, Ok(2));
        for (item, result) in (2..6).zip(rest) {
            assert_eq!(result.await, Ok(item * 2));
        }
        assert_eq!(*sizes.lock().await, [1, 3, 1]);
    }

    #[test]
    fn portions_keep_the_order_and_within_their_size() {
        let cut = |items: &[usize]| portions(items.to_vec(), |item| *item, 10);
        assert_eq!(cut(&[4, 6, 1, 20, 0, 2]), [vec![4, 6], vec![1], vec![20], vec![0, 2]]);
        assert_eq!(cut(&[]), [Vec::<usize>::new()]);
    }

    #[tokio::test]
    async fn more_than_the_capacity_is_refused() {
        let batcher: Batcher<u32, u32> = Batcher::spawn(&Handle::current(), 2, 2, |items| async move { items });
        // The current-thread runtime does not run the batcher before this test awaits.
        let _held = [batcher.push(1).expect("taken"), batcher.push(2).expect("taken")];
        assert_eq!(batcher.push(3).err(), Some(Refused::Full));
    }
}
