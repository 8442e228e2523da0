//! What `top` knows and shows: answers and keys go in, and what is drawn is read off. No IO, no clock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::super::Error;
use super::key::Action;
use super::order;
use super::rate::Rates;
use super::reading::{Finding, Health, Page, Queue, Source, Statistics, Task, Workers};

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    #[default]
    Queues,
    Pools,
    Workers,
    Running,
    Sources,
    Checks,
}

/// What a round of questions brought.
pub(super) struct Answers {
    pub(super) health: Result<Health, Error>,
    pub(super) workers: Result<Workers, Error>,
    pub(super) queues: Result<Page<Queue>, Error>,
    pub(super) running: Result<Page<Task>, Error>,
    pub(super) sources: Result<Page<Source>, Error>,
    pub(super) checks: Result<Page<Finding>, Error>,
    /// With how many tasks were submitted since the answer before.
    pub(super) statistics: Result<(Statistics, u64), Error>,
    /// Names of workflows by id, where they were asked for.
    pub(super) names: Option<HashMap<String, String>>,
}

/// What was answered last, which stays when there is no answer.
#[derive(Debug, Default)]
pub(super) struct Part<T> {
    pub(super) value: T,
    /// When; none before the first answer.
    pub(super) at: Option<DateTime<Utc>>,
    /// Why there was none just now.
    pub(super) trouble: Option<String>,
}

impl<T> Part<T> {
    fn take(&mut self, answer: Result<T, Error>, now: DateTime<Utc>) {
        match answer {
            Ok(value) => *self = Self { value, at: Some(now), trouble: None },
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) health: Part<Health>,
    pub(super) workers: Part<Workers>,
    pub(super) queues: Part<Page<Queue>>,
    pub(super) running: Part<Page<Task>>,
    pub(super) sources: Part<Page<Source>>,
    pub(super) checks: Part<Page<Finding>>,
    /// Why there are no statistics.
    pub(super) no_statistics: Option<String>,
    pub(super) rates: Rates,
    pub(super) names: HashMap<String, String>,
    /// Since when nothing answers.
    pub(super) away_since: Option<DateTime<Utc>>,
    pub(super) panel: Panel,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// By panel: which of its orders, and how many lines are passed over.
    orders: [usize; Panel::ALL.len()],
    offsets: [usize; Panel::ALL.len()],
}

/// Whether to go on after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    End,
}

impl Panel {
    pub(super) const ALL: [Self; 6] =
        [Self::Queues, Self::Pools, Self::Workers, Self::Running, Self::Sources, Self::Checks];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queues => "Queues",
            Self::Pools => "Pools",
            Self::Workers => "Workers",
            Self::Running => "Running",
            Self::Sources => "Sources",
            Self::Checks => "Checks",
        }
    }

    /// Its orders, by name.
    fn orders(self) -> Vec<&'static str> {
        fn names<T>(orders: &[order::Order<T>]) -> Vec<&'static str> {
            orders.iter().map(|(name, _)| *name).collect()
        }
        match self {
            Self::Queues => names(order::QUEUES),
            Self::Pools => names(order::POOLS),
            Self::Workers => names(order::WORKERS),
            Self::Running => names(order::RUNNING),
            Self::Sources => names(order::SOURCES),
            Self::Checks => names(order::CHECKS),
        }
    }

    /// The one so many places on, and round again.
    fn moved(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

impl State {
    /// Takes a round of answers over.
    pub(super) fn take(&mut self, answers: Answers, now: DateTime<Utc>) {
        self.health.take(answers.health, now);
        self.away_since = self.health.trouble.as_ref().map(|_| self.away_since.unwrap_or(now));
        self.workers.take(answers.workers, now);
        self.queues.take(answers.queues, now);
        self.running.take(answers.running, now);
        self.sources.take(answers.sources, now);
        self.checks.take(answers.checks, now);
        match answers.statistics {
            Ok((statistics, submitted)) => {
                self.no_statistics = None;
                self.rates.take(statistics, submitted);
            }
            Err(error) => self.no_statistics = Some(error.to_string()),
        }
        if let Some(names) = answers.names {
            self.names.extend(names);
            // What has no name is not asked for again.
            for task in &self.running.value.items {
                self.names
                    .entry(task.workflow_id.clone())
                    .or_insert_with(|| task.workflow_id.chars().take(8).collect());
            }
        }
    }

    /// Whether something runs whose workflow's name is not known.
    pub(super) fn wants_names(&self) -> bool {
        self.running.value.items.iter().any(|task| !self.names.contains_key(&task.workflow_id))
    }

    /// Whether there was an answer ever.
    pub(super) fn has_seen_anything(&self) -> bool {
        self.workers.at.is_some()
    }

    /// Does what a key asks for. The panel has so many lines, and room for so many of them.
    pub(super) fn apply(&mut self, action: Action, lines: usize, room: usize) -> Next {
        if self.shows_help {
            self.shows_help = false;
            return if action == Action::Quit { Next::End } else { Next::Stay };
        }
        let page = room.max(1);
        let greatest = lines.saturating_sub(room);
        let offset = &mut self.offsets[self.panel as usize];
        *offset = (*offset).min(greatest);
        match action {
            Action::Quit | Action::Leave => return Next::End,
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Help => self.shows_help = true,
            Action::NextPanel => self.panel = self.panel.moved(1),
            Action::PreviousPanel => self.panel = self.panel.moved(Panel::ALL.len() - 1),
            Action::Up => *offset = offset.saturating_sub(1),
            Action::Down => *offset = (*offset + 1).min(greatest),
            Action::PageUp => *offset = offset.saturating_sub(page),
            Action::PageDown => *offset = (*offset + page).min(greatest),
            Action::First => *offset = 0,
            Action::Last => *offset = greatest,
            Action::Sort => {
                *offset = 0;
                let order = &mut self.orders[self.panel as usize];
                *order = (*order + 1) % self.panel.orders().len();
            }
        }
        Next::Stay
    }

    /// Which of its orders a panel is in.
    pub(super) fn order(&self, panel: Panel) -> usize {
        self.orders[panel as usize]
    }

    /// What that order is called.
    pub(super) fn order_name(&self, panel: Panel) -> &'static str {
        panel.orders()[self.order(panel)]
    }

    /// How many lines of a panel are passed over, where it has so many and room for so many.
    pub(super) fn offset(&self, panel: Panel, lines: usize, room: usize) -> usize {
        self.offsets[panel as usize].min(lines.saturating_sub(room))
    }
}

#[cfg(test)]
impl Answers {
    /// Of a service that is not there.
    pub(super) fn none() -> Self {
        fn no<T>() -> Result<T, Error> {
            Err(Error::Unavailable("no Spark service answers at http://h".to_owned()))
        }
        Self {
            health: no(),
            workers: no(),
            queues: no(),
            running: no(),
            sources: no(),
            checks: no(),
            statistics: no(),
            names: None,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
