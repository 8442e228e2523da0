//! In which order a pool asks its queues for tasks.

use super::queue::QueueName;

/// The queues of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedQueues {
    /// Their names, first things first.
    pub names: Vec<QueueName>,
    /// For each of them its share of the tasks that are started while all of them have some. Without weights the order is
    /// strict: a queue is asked only while those before it are empty or paused.
    pub weights: Option<Vec<u32>>,
}

impl ServedQueues {
    /// Queues in strict order.
    pub fn strict(names: Vec<QueueName>) -> Self {
        Self { names, weights: None }
    }
}

impl std::fmt::Display for ServedQueues {
    /// `high, low`, or `high:3, low:1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
            if let Some(weight) = self.weights.as_ref().and_then(|weights| weights.get(index)) {
                write!(f, ":{weight}")?;
            }
        }
        Ok(())
    }
}

/// What a task of a queue of weight 1 counts.
const STRIDE: u64 = 1 << 20;

/// Whose turn it is among the queues of a pool. With weights this is stride scheduling (Waldspurger and Weihl, 1995): each
/// task costs its queue a step that is the shorter the greater the queue's weight, and whoever went least far is asked
/// first. So shares hold in tasks, however many are taken at a time, and no queue starves.
#[derive(Clone, Debug)]
pub struct Turns {
    served: ServedQueues,
    /// How far each queue went beyond the one that went least far.
    ahead: Vec<u64>,
}

impl Turns {
    /// Nobody has had a turn yet.
    pub fn new(served: ServedQueues) -> Self {
        Self { ahead: vec![0; served.names.len()], served }
    }

    /// All the queues, open or not.
    pub fn served(&self) -> &ServedQueues {
        &self.served
    }

    /// The queues that are open, in the order in which to ask them now.
    pub fn order(&self, is_open: impl Fn(&QueueName) -> bool) -> Vec<QueueName> {
        let mut turns: Vec<(u64, &QueueName)> =
            self.ahead.iter().copied().zip(&self.served.names).filter(|(_, name)| is_open(name)).collect();
        // Stable: among equals the first named is first, and in strict order all are equals.
        turns.sort_by_key(|(ahead, _)| *ahead);
        turns.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Tasks were taken from these queues, one entry a task, after asking in the order `asked`.
    pub fn took<'a>(&mut self, asked: &[QueueName], taken: impl IntoIterator<Item = &'a QueueName>) {
        let Some(weights) = &self.served.weights else { return };
        let place = |name: &QueueName| self.served.names.iter().position(|other| other == name);
        let mut taken = taken.into_iter().filter_map(place).peekable();
        let Some(first) = taken.peek().copied() else { return };
        // Who had nothing when it was asked before, or is paused, saves nothing up for later.
        let (now, name) = (self.ahead[first], &self.served.names[first]);
        let after = asked.iter().skip_while(|other| *other != name);
        let present: Vec<usize> = after.filter_map(place).collect();
        for (index, ahead) in self.ahead.iter_mut().enumerate() {
            if !present.contains(&index) {
                *ahead = now.max(*ahead);
            }
        }
        for index in taken {
            let weight = weights.get(index).copied().unwrap_or(1).max(1);
            self.ahead[index] += STRIDE / u64::from(weight);
        }
        let least = self.ahead.iter().min().copied().unwrap_or(0);
        self.ahead.iter_mut().for_each(|ahead| *ahead -= least);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<QueueName> {
        (0..count).map(|number| QueueName::new(format!("q{number}")).expect("a name")).collect()
    }

    fn weighted(weights: &[u32]) -> Turns {
        Turns::new(ServedQueues { names: names(weights.len()), weights: Some(weights.to_vec()) })
    }

    /// Takes up to `room` tasks from `backlog` as the mailbox does: the first that has any, then those after it.
    fn take(turns: &mut Turns, backlog: &mut HashMap<QueueName, usize>, room: usize) -> Vec<QueueName> {
        let asked = turns.order(|_| true);
        let mut taken = Vec::new();
        for name in &asked {
            let waiting = backlog.entry(name.clone()).or_default();
            let count = (room - taken.len()).min(*waiting);
            *waiting -= count;
            taken.extend(std::iter::repeat_n(name.clone(), count));
        }
        turns.took(&asked, &taken);
        taken
    }

    fn count(taken: &[QueueName], number: usize) -> usize {
        taken.iter().filter(|name| **name == names(number + 1)[number]).count()
    }

    #[test]
    fn without_weights_the_order_is_the_one_given() {
        let mut turns = Turns::new(ServedQueues::strict(names(3)));
        let asked = turns.order(|_| true);
        turns.took(&asked, [&asked[0], &asked[0], &asked[2]]);
        assert_eq!(turns.order(|_| true), names(3));
        assert_eq!(turns.order(|name| name.as_str() != "q0"), names(3)[1..]);
    }

    #[test]
    fn a_queue_that_was_empty_or_paused_has_saved_nothing_up() {
        let mut turns = weighted(&[1, 1]);
        let mut backlog = HashMap::from([(names(1)[0].clone(), 1_000)]);
        for _ in 0..500 {
            take(&mut turns, &mut backlog, 1);
        }
        backlog.insert(names(2)[1].clone(), 1_000);
        let taken: Vec<QueueName> = (0..100).flat_map(|_| take(&mut turns, &mut backlog, 1)).collect();
        assert_eq!(count(&taken, 1), 50, "it gets its half, and does not catch up");

        let only_first = turns.order(|name| name.as_str() == "q0");
        for _ in 0..500 {
            turns.took(&only_first, &only_first);
        }
        let taken: Vec<QueueName> = (0..100).flat_map(|_| take(&mut turns, &mut backlog, 1)).collect();
        assert!((49..=51).contains(&count(&taken, 1)), "{}", count(&taken, 1));
    }

    #[test]
    fn it_is_shown_with_its_weights() {
        assert_eq!(ServedQueues::strict(names(2)).to_string(), "q0, q1");
        assert_eq!(weighted(&[3, 1]).served.to_string(), "q0:3, q1:1");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn shares_hold_whatever_is_taken_at_a_time(
            weights in prop::collection::vec(1..20u32, 2..5),
            rooms in prop::collection::vec(1..30usize, 400),
        ) {
            let mut turns = weighted(&weights);
            let total: usize = rooms.iter().sum();
            let mut backlog: HashMap<_, _> = names(weights.len()).into_iter().map(|name| (name, total)).collect();
            let taken: Vec<QueueName> = rooms.iter().flat_map(|room| take(&mut turns, &mut backlog, *room)).collect();
            let all: u32 = weights.iter().sum();
            for (number, weight) in weights.iter().enumerate() {
                let due = total as f64 * f64::from(*weight) / f64::from(all);
                // A queue may be ahead by what was taken at once, and behind by what each of the others was.
                prop_assert!((count(&taken, number) as f64 - due).abs() <= 31.0 * weights.len() as f64);
            }
        }
    }
}
