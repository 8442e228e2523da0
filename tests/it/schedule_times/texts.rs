//! Cron expressions as people write them: numbers, names in either case, ranges, steps, lists.

use proptest::prelude::*;

const MONTHS: [&str; 12] = ["jan", "FEB", "Mar", "apr", "MAY", "jun", "JUL", "aug", "Sep", "OCT", "nov", "DEC"];
const DAYS: [&str; 7] = ["SUN", "mon", "Tue", "WED", "thu", "FRI", "sat"];

/// Any expression.
pub(super) fn cron() -> impl Strategy<Value = String> {
    let hour = prop_oneof![
        2 => Just("*".to_owned()),
        // The hours in which clocks are changed.
        3 => list(entry(0, 4), 3),
        3 => list(entry(0, 23), 3),
    ];
    let day = prop_oneof![4 => Just("*".to_owned()), 1 => Just("?".to_owned()), 4 => list(entry(1, 31), 3)];
    let month = prop_oneof![4 => Just("*".to_owned()), 2 => list(entry(1, 12), 3), 1 => list(month_name(), 3)];
    let weekday = prop_oneof![
        4 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        3 => list(entry(0, 7), 2),
        2 => list(day_name(), 2),
    ];
    (list(entry(0, 59), 3), hour, day, month, weekday)
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// One that runs every day.
pub(super) fn frequent_cron() -> impl Strategy<Value = String> {
    let hour = prop_oneof![Just("*".to_owned()), list(entry(0, 4), 2), list(entry(0, 23), 3)];
    (list(entry(0, 59), 3), hour).prop_map(|(minute, hour)| format!("{minute} {hour} * * *"))
}

fn list(entry: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(entry, 1..=most).prop_map(|entries| entries.join(","))
}

fn entry(min: u32, max: u32) -> impl Strategy<Value = String> {
    let range = move || (min..=max).prop_flat_map(move |low| (Just(low), low..=max));
    prop_oneof![
        4 => (min..=max).prop_map(|number| number.to_string()),
        2 => range().prop_map(|(low, high)| format!("{low}-{high}")),
        1 => (range(), 1..=20u32).prop_map(|((low, high), step)| format!("{low}-{high}/{step}")),
        2 => (1..=max).prop_map(|step| format!("*/{step}")),
    ]
}

fn month_name() -> impl Strategy<Value = String> {
    (0..12usize).prop_flat_map(|low| (Just(low), low..12, any::<bool>())).prop_map(|(low, high, alone)| {
        if alone { MONTHS[low].to_owned() } else { format!("{}-{}", MONTHS[low], MONTHS[high]) }
    })
}

/// A range may end on Sunday, as a week does in some places.
fn day_name() -> impl Strategy<Value = String> {
    (0..7usize).prop_flat_map(|low| (Just(low), low..=7, any::<bool>())).prop_map(|(low, high, alone)| {
        if alone { DAYS[low].to_owned() } else { format!("{}-{}", DAYS[low], DAYS[high % 7]) }
    })
}
