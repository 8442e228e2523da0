//! `/dashboard/schedules/calendar`: what runs within the coming day.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use maud::{Markup, html};

use super::super::error::Error;
use super::super::state::ApiState;
use super::element::{empty, when};
use super::view::{Section, View};
use crate::domain::schedule::Rule;
use crate::store::brief::UpcomingSchedule;

/// How far the page looks.
const DAY: TimeDelta = TimeDelta::hours(24);
/// Schedules that are shown, the next ones first.
const SCHEDULES_MAX: i64 = 300;
/// A schedule that runs more often within the day is named once, not at each of its times.
const OFTEN: usize = 48;

/// What runs when.
#[derive(Default)]
struct Day<'a> {
    /// Those that run all day long.
    often: Vec<&'a UpcomingSchedule>,
    /// The others, by the hour in which they run.
    hours: BTreeMap<DateTime<Utc>, Vec<(DateTime<Utc>, &'a UpcomingSchedule)>>,
}

impl<'a> Day<'a> {
    fn of(schedules: &'a [UpcomingSchedule], end: DateTime<Utc>) -> Self {
        let mut day = Self::default();
        for schedule in schedules {
            let runs = runs(schedule, end);
            if runs.len() > OFTEN {
                day.often.push(schedule);
                continue;
            }
            for at in runs {
                let hour = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
                day.hours.entry(hour).or_default().push((at, schedule));
            }
        }
        day.hours.values_mut().for_each(|runs| runs.sort_by_key(|(at, _)| *at));
        day
    }
}

/// The times of a schedule until then; one more than [`OFTEN`] are enough. A rule that can't be read has the time that
/// is stored.
fn runs(schedule: &UpcomingSchedule, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let rule = || {
        let (kind, zone) = (schedule.kind.parse().ok()?, schedule.timezone.parse().ok()?);
        Rule::parse_stored(kind, &schedule.expr, zone).ok()
    };
    let rule = rule();
    let next = |at: &DateTime<Utc>| rule.as_ref()?.next_after(*at);
    std::iter::successors(Some(schedule.next_run_at), next).take_while(|at| *at < end).take(OFTEN + 1).collect()
}

/// The page.
pub(super) async fn page(state: Data<ApiState>, view: View) -> Result<HttpResponse, Error> {
    let end = view.now + DAY;
    let schedules = state.store.upcoming_schedules(end, SCHEDULES_MAX).await?;
    let day = Day::of(&schedules, end);
    let is_cut = i64::try_from(schedules.len()).is_ok_and(|count| count == SCHEDULES_MAX);
    let body = html! {
        p { a href="/dashboard/schedules" { "All schedules" } " " span.muted { "· times in UTC" } }
        @if schedules.is_empty() {
            (empty("Nothing is due within 24 hours.", Some(("/dashboard/schedules/new", "Make a schedule"))))
        } @else {
            (often(&view, &day))
            (hours(&view, &day))
            @if is_cut { p.muted { "The next " (SCHEDULES_MAX) " schedules are shown." } }
        }
    };
    Ok(view.page(Section::Schedules, "The coming day", body))
}

fn often(view: &View, day: &Day<'_>) -> Markup {
    html! {
        @if !day.often.is_empty() {
            section.card { h2 { "All day long" }
                ul.chips { @for schedule in &day.often { li {
                    a.chip href={ "/dashboard/schedules/" (schedule.id) } {
                        (schedule.workflow) " " span.mono { (schedule.expr) } " " span.muted { "next " (when(view.now, schedule.next_run_at)) }
                    }
                } } }
            }
        }
    }
}

fn hours(view: &View, day: &Day<'_>) -> Markup {
    let start = view.now.duration_trunc(TimeDelta::hours(1)).unwrap_or(view.now);
    let all = (0..=24).map(|hour| start + TimeDelta::hours(hour));
    html! {
        section.card {
            h2 { "Hour by hour" }
            ol.hours { @for hour in all { li {
                time.mono datetime=(hour.to_rfc3339()) data-exact {
                    (hour.format(if hour.format("%H").to_string() == "00" { "%a %d, %H:%M" } else { "%H:%M" }))
                }
                ul.chips {
                    @for (at, schedule) in day.hours.get(&hour).into_iter().flatten() { li {
                        a.chip href={ "/dashboard/schedules/" (schedule.id) } {
                            span.mono { (at.format("%H:%M")) } " " (schedule.workflow)
                        }
                    } }
                }
            } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ScheduleId;

    fn schedule(kind: &str, expr: &str, next: &str) -> UpcomingSchedule {
        UpcomingSchedule {
            id: ScheduleId::generate(),
            workflow: "flow".into(),
            kind: kind.into(),
            expr: expr.into(),
            timezone: "UTC".into(),
            next_run_at: next.parse().expect("an instant"),
        }
    }

    #[test]
    fn a_day_has_each_run_in_its_hour_and_names_what_runs_all_the_time_once() {
        let schedules = [
            schedule("cron", "30 */6 * * *", "2026-06-10T12:30:00Z"),
            schedule("interval", "30s", "2026-06-10T12:00:10Z"),
            schedule("one-time", "2026-06-10 12:10", "2026-06-10T12:10:00Z"),
            schedule("cron", "unreadable", "2026-06-10T13:00:00Z"),
        ];
        let day = Day::of(&schedules, "2026-06-11T12:00:00Z".parse().expect("an instant"));
        assert_eq!(day.often.iter().map(|one| one.expr.as_str()).collect::<Vec<_>>(), ["30s"]);
        let counts: Vec<(String, usize)> =
            day.hours.iter().map(|(hour, runs)| (hour.format("%d %H").to_string(), runs.len())).collect();
        let expected = [("10 12", 2), ("10 13", 1), ("10 18", 1), ("11 00", 1), ("11 06", 1)];
        assert_eq!(counts, expected.map(|(hour, count)| (hour.to_owned(), count)));
        let first = day.hours.values().next().expect("an hour");
        assert!(first[0].0 < first[1].0, "in the order of their times");
    }
}
