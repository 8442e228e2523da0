//! `/api/v1/stats`: what ended, in figures for charts. They outlive the tasks that they tell of.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Error, ValidationBody};
use super::query::Query;
use super::state::ApiState;
use crate::domain::clock;
use crate::domain::distribution::Distribution;
use crate::domain::ids::{SourceId, WorkflowId};
use crate::domain::statistics::{Figures, Window};
use crate::store::statistics::{Group, GroupKey, StatisticsFilter, StatisticsRow};

/// Most groups of an answer; those with the most tasks.
const GROUPS_MAX: usize = 100;

/// What ended within a window.
#[derive(Debug, Serialize, ToSchema)]
pub struct Statistics {
    /// The window that was asked for.
    #[schema(example = "day")]
    pub window: &'static str,
    /// When the first point begins.
    pub from: DateTime<Utc>,
    /// When this was answered; the last point goes on.
    pub until: DateTime<Utc>,
    /// Seconds of a point.
    pub step_s: i64,
    /// All of the window.
    pub totals: StatisticsFigures,
    /// Every point of the window, the oldest first, also those in which nothing ended.
    pub series: Vec<StatisticsPoint>,
    /// The window by what `by` names, most tasks first; at most 100. Absent without `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<StatisticsGroup>>,
}

/// What ended within some time.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsPoint {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// What ended.
    #[serde(flatten)]
    pub figures: StatisticsFigures,
}

/// What ended of a queue, a workflow or a source.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsGroup {
    /// The queue, or the id of the workflow or source; empty where the source of a workflow is not known.
    #[schema(example = "celery")]
    pub key: String,
    /// What the workflow or source is called, if it has not been deleted.
    pub name: Option<String>,
    /// What ended.
    #[serde(flatten)]
    pub figures: StatisticsFigures,
}

/// What ended, and how long it took.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsFigures {
    /// Tasks that came to their end. One that is retried by hand and ends again counts again.
    pub tasks: TaskCounts,
    /// Attempts that ended.
    pub attempts: AttemptCounts,
    /// How long tasks that could start had waited for their attempts.
    pub wait_s: Times,
    /// How long attempts ran that ended with a result, an error or at a time limit.
    pub run_s: Times,
}

/// Tasks by how they ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskCounts {
    /// All of them.
    pub ended: u64,
    /// With a result.
    pub completed: u64,
    /// For good.
    pub failed: u64,
    /// Called off.
    pub cancelled: u64,
}

/// Attempts by how they ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptCounts {
    /// With a result.
    pub completed: u64,
    /// With an error.
    pub failed: u64,
    /// At their time limit.
    pub timed_out: u64,
    /// Called off.
    pub cancelled: u64,
    /// With their child or node.
    pub lost: u64,
    /// Given back when the service stopped.
    pub released: u64,
}

/// How long things took, in seconds. The percentiles come from buckets and are off by less than a fifth.
#[derive(Debug, Serialize, ToSchema)]
pub struct Times {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// What half of them did not exceed.
    pub p50: Option<f64>,
    /// What 95 % of them did not exceed.
    pub p95: Option<f64>,
    /// What 99 % of them did not exceed.
    pub p99: Option<f64>,
}

/// Show what ended: how many tasks and attempts, how, and how long they waited and ran. The figures stay when tasks are
/// deleted.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "operations",
    params(
        ("window" = Option<String>, Query, description = "`hour` (60 points of a minute), `day` (96 of 15 minutes; the \
            default), `week` (168 of an hour), `month` (120 of six hours) or `year` (365 of a day)"),
        ("by" = Option<String>, Query, description = "Also in groups: `queue`, `workflow` or `source`"),
        ("queue" = Option<String>, Query, description = "Only of this queue"),
        ("workflow_id" = Option<uuid::Uuid>, Query, description = "Only of this workflow"),
        ("source_id" = Option<uuid::Uuid>, Query, description = "Only of this source's workflows"),
    ),
    responses(
        (status = 200, description = "The figures", body = Statistics),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn show(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Statistics>, Error> {
    let mut query = Query::of(&request);
    let window = query.read("window").unwrap_or(Window::Day);
    let by = query.text("by");
    let group = by.as_deref().and_then(read_group);
    if by.is_some() && group.is_none() {
        query.refuse("by", "by must be queue, workflow or source");
    }
    let filter = StatisticsFilter {
        queue: query.text("queue"),
        workflow: query.id("workflow_id").map(WorkflowId),
        source: query.id("source_id").map(SourceId),
    };
    query.finish()?;
    of_window(&state, window, group, filter).await.map(Json)
}

/// What ended within a window.
pub(super) async fn of_window(
    state: &ApiState,
    window: Window,
    group: Option<Group>,
    filter: StatisticsFilter,
) -> Result<Statistics, Error> {
    let now = clock::now();
    let points = window.beginnings(now);
    let (step, _) = window.points();
    let from = points.first().copied().unwrap_or(now);
    let rows = state.store.statistics(from, step, filter.clone()).await?;
    let groups = match group {
        Some(group) => Some(ranked(state.store.grouped_statistics(from, group, filter).await?)),
        None => None,
    };
    let totals = StatisticsFigures::from(&sum(&rows));
    let mut found = by_key(rows);
    let series = points
        .into_iter()
        .map(|at| StatisticsPoint { at, figures: StatisticsFigures::from(&found.remove(&at).unwrap_or_default()) });
    Ok(Statistics {
        window: window.as_str(),
        from,
        until: now,
        step_s: step * 60,
        totals,
        series: series.collect(),
        groups,
    })
}

fn read_group(text: &str) -> Option<Group> {
    match text {
        "queue" => Some(Group::Queue),
        "workflow" => Some(Group::Workflow),
        "source" => Some(Group::Source),
        _ => None,
    }
}

fn sum<K>(rows: &[StatisticsRow<K>]) -> Figures {
    let mut figures = Figures::default();
    rows.iter().for_each(|row| figures.add(row.figure, &row.outcome, row.bucket, row.count, row.sum_ms));
    figures
}

fn by_key<K: Ord>(rows: Vec<StatisticsRow<K>>) -> BTreeMap<K, Figures> {
    let mut found: BTreeMap<K, Figures> = BTreeMap::new();
    for row in rows {
        found.entry(row.key).or_default().add(row.figure, &row.outcome, row.bucket, row.count, row.sum_ms);
    }
    found
}

fn ranked(rows: Vec<StatisticsRow<GroupKey>>) -> Vec<StatisticsGroup> {
    let mut groups: Vec<(GroupKey, Figures)> = by_key(rows).into_iter().collect();
    groups.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.tasks_ended()));
    groups.truncate(GROUPS_MAX);
    let shown = |(key, figures): (GroupKey, Figures)| StatisticsGroup {
        key: key.key,
        name: key.name,
        figures: StatisticsFigures::from(&figures),
    };
    groups.into_iter().map(shown).collect()
}

impl From<&Figures> for StatisticsFigures {
    fn from(figures: &Figures) -> Self {
        Self {
            tasks: TaskCounts {
                ended: figures.tasks_ended(),
                completed: figures.tasks("completed"),
                failed: figures.tasks("failed"),
                cancelled: figures.tasks("cancelled"),
            },
            attempts: AttemptCounts {
                completed: figures.attempts("completed"),
                failed: figures.attempts("failed"),
                timed_out: figures.attempts("timed_out"),
                cancelled: figures.attempts("cancelled"),
                lost: figures.attempts("lost"),
                released: figures.attempts("released"),
            },
            wait_s: Times::from(&figures.wait),
            run_s: Times::from(&figures.run),
        }
    }
}

impl From<&Distribution> for Times {
    fn from(times: &Distribution) -> Self {
        let seconds = |ms: f64| ms.round() / 1000.0;
        let quantile = |share| times.quantile_ms(share).map(seconds);
        Self {
            count: times.count(),
            mean: times.mean_ms().map(seconds),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::statistics::Figure;

    #[test]
    fn groups_with_the_most_tasks_come_first() {
        let row = |key: &str, figure, count| StatisticsRow {
            key: GroupKey { key: key.to_owned(), name: None },
            figure,
            outcome: "completed".to_owned(),
            bucket: 0,
            count,
            sum_ms: 0.0,
        };
        let rows = vec![
            row("few", Figure::Task, 1),
            row("many", Figure::Task, 2),
            row("many", Figure::Task, 3),
            row("none", Figure::Attempt, 9),
        ];
        let shown: Vec<(String, u64)> =
            ranked(rows).into_iter().map(|group| (group.key, group.figures.tasks.ended)).collect();
        assert_eq!(shown, [("many".to_owned(), 5), ("few".to_owned(), 1), ("none".to_owned(), 0)]);
    }
}
