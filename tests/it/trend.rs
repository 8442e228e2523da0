//! The line that a soak (`benches/end_to_end/soak.rs`) lays through its samples.

#[path = "../../benches/end_to_end/trend.rs"]
mod line;

use line::Trend;

fn sampled(value: impl Fn(u32) -> f64) -> Trend {
    let samples: Vec<(f64, f64)> = (0..900).map(|second| (f64::from(second), value(second))).collect();
    Trend::of(&samples).unwrap()
}

#[test]
fn a_line_is_found_exactly() {
    let trend = sampled(|second| 10.0 + f64::from(second) / 100.0);
    assert!((trend.slope - 36.0).abs() < 1e-6 && trend.error < 1e-6, "{trend:?}");
    assert!((trend.last - trend.first - 6.0).abs() < 1e-9, "{trend:?}");
    assert!(trend.grows_beyond(5.9) && !trend.grows_beyond(6.1));
}

#[test]
fn slope_and_error_are_those_of_the_textbook() {
    // By hand, in hours: x 0 1 2 3, y 1 2 2 4: slope 0.9, sum of squared residuals 0.7, error sqrt(0.7 / 2 / 5).
    let trend = Trend::of(&[(0.0, 1.0), (3600.0, 2.0), (7200.0, 2.0), (10800.0, 4.0)]).unwrap();
    assert!((trend.slope - 0.9).abs() < 1e-9, "{trend:?}");
    assert!((trend.error - 0.07_f64.sqrt()).abs() < 1e-9, "{trend:?}");
}

#[test]
fn a_saw_tooth_does_not_grow_and_neither_does_what_falls() {
    assert!(!sampled(|second| f64::from(second % 60)).grows_beyond(1.0));
    assert!(!sampled(|second| 1000.0 - f64::from(second)).grows_beyond(0.0));
}

#[test]
fn too_few_samples_have_no_trend() {
    assert_eq!(Trend::of(&[(0.0, 1.0), (1.0, 2.0)]), None);
    assert_eq!(Trend::of(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
}
