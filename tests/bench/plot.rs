//! The plots of a run, as SVG: what is drawn. How it is drawn is [`panel`]'s affair.

mod panel;

use std::path::Path;

use plotters::prelude::SeriesLabelPosition;

use self::panel::{Bar, Panel, Series, draw};
use crate::figures::{Metric, Section};
use crate::scenario::long_backlog;

/// Draws what the scenarios that were run have to show.
pub(crate) fn all(dir: &Path, sections: &[Section]) {
    let section = |name: &str| sections.iter().find(|section| section.name == name);
    if let Some(section) = section("backlog") {
        draw(&dir.join("throughput.svg"), &[throughput(section)]);
    }
    if let Some(section) = section("open-loop") {
        draw(&dir.join("latency.svg"), &[latency(section)]);
    }
    if let Some(section) = section("long-backlog") {
        let memory = over_time(section, long_backlog::RSS, "Resident memory over a long backlog");
        let rate = over_time(section, long_backlog::RATE, "Throughput over the same time");
        draw(&dir.join("over-time.svg"), &[memory, rate]);
    }
    if let Some(section) = section("scaling") {
        draw(&dir.join("scaling.svg"), &[scaling(section)]);
    }
}

/// The concurrencies stand side by side, as far from each other as they come.
fn throughput(section: &Section) -> Panel {
    let cases = section.cases();
    let places: Vec<_> = (0u32..).map(f64::from).zip(cases.clone()).collect();
    let last = cases.len() as f64 - 1.0;
    let label = move |x: f64| {
        let case = places.iter().find(|(place, _)| (place - x).abs() < 0.01);
        case.map_or_else(String::new, |(_, case)| case.clone())
    };
    Panel {
        title: "Throughput of a backlog, with an API that answers at once".to_owned(),
        x_title: "jobs at a time".to_owned(),
        y_title: "jobs/s".to_owned(),
        x: -0.25..last + 0.25,
        x_labels: 3,
        x_label: Box::new(label),
        series: programs(section, |at, _| at as f64),
        legend: SeriesLabelPosition::LowerRight,
    }
}

/// The far end has most of the room: each line down, a tenth as many jobs are slower.
fn latency(section: &Section) -> Panel {
    let nines = |percent: f64| -(1.0 - percent / 100.0).log10();
    let label = |x: f64| match x.round() {
        0.0 => "0 %".to_owned(),
        1.0 => "90 %".to_owned(),
        2.0 => "99 %".to_owned(),
        _ => "99.9 %".to_owned(),
    };
    let curve = |(at, name): (usize, &String)| {
        let curve = section.curves.iter().find(|curve| curve.name == *name)?;
        let points = curve.points.iter().map(|(percent, ms)| (nines(*percent), *ms)).collect();
        Some(Series::line(name, at, points))
    };
    Panel {
        title: "Latency that is added to the API's 20 ms, at 1,000 jobs/s".to_owned(),
        x_title: "share of the jobs".to_owned(),
        y_title: "ms".to_owned(),
        x: 0.0..3.0,
        x_labels: 4,
        x_label: Box::new(label),
        series: section.compared.iter().enumerate().filter_map(curve).collect(),
        legend: SeriesLabelPosition::UpperLeft,
    }
}

fn over_time(section: &Section, name: &str, title: &str) -> Panel {
    let curve = section.curves.iter().find(|curve| curve.name == name).expect("the curve was drawn");
    let end = curve.points.last().expect("a point").0;
    Panel {
        title: title.to_owned(),
        x_title: "seconds".to_owned(),
        y_title: name.to_owned(),
        x: 0.0..end,
        x_labels: 10,
        x_label: Box::new(|x| format!("{x:.0}")),
        series: vec![Series::line(&section.compared[0], 0, curve.points.clone())],
        legend: SeriesLabelPosition::LowerRight,
    }
}

fn scaling(section: &Section) -> Panel {
    let processes = |case: &str| case.parse::<f64>().expect("a number of processes");
    let mut series = programs(section, |_, case| processes(case));
    let (x, y) = series[0].points[0];
    let most = section.cases().iter().map(|case| processes(case)).fold(x, f64::max);
    series.push(Series::ideal("so many times one worker", vec![(x, y), (most, y / x * most)]));
    Panel {
        title: "Throughput of several processes on one queue, API 300 ms".to_owned(),
        x_title: "processes with 64 jobs at a time each".to_owned(),
        y_title: "jobs/s".to_owned(),
        x: 0.0..most + 0.5,
        x_labels: 5,
        x_label: Box::new(|x| format!("{x:.0}")),
        series,
        legend: SeriesLabelPosition::UpperLeft,
    }
}

/// Jobs per second of both programs; `place` says where a case stands, from its number and its name.
fn programs(section: &Section, place: impl Fn(usize, &str) -> f64) -> Vec<Series> {
    let cases = section.cases();
    let bars = |program: &str| -> Vec<Bar> {
        let bar = |(at, case): (usize, &String)| {
            let rounds = section.rounds(case, program, Metric::JobsPerSecond)?;
            let (min, median, max) = (rounds.min(), rounds.median(), rounds.max());
            Some(Bar { x: place(at, case), min, median, max })
        };
        cases.iter().enumerate().filter_map(bar).collect()
    };
    let series = section.compared.iter().enumerate();
    series.map(|(at, program)| Series::with_bars(program, at, bars(program))).collect()
}
