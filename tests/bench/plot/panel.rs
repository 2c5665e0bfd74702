//! A plot with lines, bars from the least to the greatest, axes and a legend, readable on any background.

use std::fmt::{self, Debug};
use std::ops::Range;
use std::path::Path;

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    BLACK, Cartesian2d, ChartBuilder, Color, DashedLineSeries, DrawingArea, ErrorBar, IntoDrawingArea,
    LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, ShapeStyle, WHITE,
};

/// In pixels; a further panel adds its height.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 380;

/// What is measured, and what it is compared with. People who see few colours can tell them apart.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 181), RGBColor(220, 110, 20)];
const GREY: RGBColor = RGBColor(110, 110, 110);
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// One system of axes with all that is in it.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x_title: String,
    pub(super) y_title: String,
    pub(super) x: Range<f64>,
    /// About how many numbers stand at the axis.
    pub(super) x_labels: usize,
    /// How they are written.
    pub(super) x_label: Box<dyn Fn(f64) -> String>,
    pub(super) series: Vec<Series>,
    pub(super) legend: SeriesLabelPosition,
}

/// A line with a name.
#[derive(Debug)]
pub(super) struct Series {
    name: String,
    colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
    bars: Vec<Bar>,
    is_dashed: bool,
}

/// Several rounds of one figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panel").field("title", &self.title).finish_non_exhaustive()
    }
}

impl Series {
    /// The line of the program with this number.
    pub(super) fn line(name: &str, program: usize, points: Vec<(f64, f64)>) -> Self {
        let colour = COLOURS[program];
        Self { name: name.to_owned(), colour, points, bars: Vec::new(), is_dashed: false }
    }

    /// The same, through the medians of bars.
    pub(super) fn with_bars(name: &str, program: usize, bars: Vec<Bar>) -> Self {
        let points = bars.iter().map(|bar| (bar.x, bar.median)).collect();
        Self { bars, ..Self::line(name, program, points) }
    }

    /// What would be ideal.
    pub(super) fn ideal(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), colour: GREY, points, bars: Vec::new(), is_dashed: true }
    }

    fn top(&self) -> f64 {
        let points = self.points.iter().map(|(_, y)| *y);
        points.chain(self.bars.iter().map(|bar| bar.max)).fold(0.0, f64::max)
    }
}

/// Writes panels into one file, one below the other.
pub(super) fn draw(path: &Path, panels: &[Panel]) {
    let count = u32::try_from(panels.len()).expect("a few panels");
    let root = SVGBackend::new(path, (WIDTH, HEIGHT * count)).into_drawing_area();
    root.fill(&WHITE).expect("a background");
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
        panel.draw(area);
    }
    root.present().expect("the plot is written");
}

impl Panel {
    fn draw(&self, area: &Area<'_>) {
        let top = self.series.iter().map(Series::top).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 18))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(66)
            .build_cartesian_2d(self.x.clone(), 0.0..top * 1.15)
            .expect("axes");
        self.mesh(&mut chart);
        for series in &self.series {
            series.draw(&mut chart);
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(self.legend.clone())
                .background_style(WHITE.mix(0.85))
                .border_style(GREY.mix(0.4))
                .label_font((FONT, 14))
                .draw()
                .expect("a legend");
        }
    }

    fn mesh(&self, chart: &mut Chart<'_, '_>) {
        chart
            .configure_mesh()
            .x_desc(&self.x_title)
            .y_desc(&self.y_title)
            .x_labels(self.x_labels)
            .y_labels(6)
            .x_label_formatter(&|x| (self.x_label)(*x))
            .y_label_formatter(&thousands)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .bold_line_style(GREY.mix(0.25))
            .light_line_style(WHITE.mix(0.0))
            .axis_style(BLACK)
            .draw()
            .expect("a mesh");
    }
}

impl Series {
    fn draw(&self, chart: &mut Chart<'_, '_>) {
        let style = ShapeStyle { stroke_width: 2, ..self.colour.to_rgba().into() };
        let drawn = if self.is_dashed {
            chart.draw_series(DashedLineSeries::new(self.points.clone(), 6, 4, style))
        } else {
            chart.draw_series(LineSeries::new(self.points.clone(), style))
        };
        let sample = move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style);
        drawn.expect("a line").label(&self.name).legend(sample);
        let bars = self
            .bars
            .iter()
            .map(|bar| ErrorBar::new_vertical(bar.x, bar.min, bar.median, bar.max, style, 10));
        chart.draw_series(bars).expect("bars");
    }
}

/// Such as `12,000` or `0.5`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the chart wants it so")]
fn thousands(value: &f64) -> String {
    if value.fract().abs() > f64::EPSILON {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    match whole.len().checked_sub(3).map(|at| whole.split_at(at)) {
        Some((thousands, rest)) if !thousands.is_empty() => format!("{thousands},{rest}"),
        _ => whole,
    }
}
