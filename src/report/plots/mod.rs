//! Charts of the view model as SVG, drawn with plotters: no fonts are read, no clock is asked, and
//! the same series give the same bytes.
//!
//! A chart without data is no chart: [`bars`], [`roofline`] and the others then give `None`, and
//! the report prints the model's sentence instead.

mod bars;
mod crossover;
mod intervals;
mod labels;
mod overlay;
pub mod palette;
mod pareto;
mod roofline;
mod scale;
mod sheet;
#[cfg(test)]
pub(crate) mod specimen;
mod ticks;
mod timeline;
mod trace;

pub use bars::bars;
pub use crossover::crossover;
pub use intervals::intervals;
pub use overlay::overlay;
pub use pareto::pareto;
pub use roofline::roofline;
pub use scale::{ClassBand, ClassScale, classes};
pub use sheet::{Figure, PlotError, escape as xml_escaped};
pub use timeline::{TimelineChange, TimelineChart, TimelineLevel, TimelineMark, timeline};
pub use trace::trace;

/// Width of every chart in units of its own coordinate system.
pub const WIDTH: f64 = 760.0;
