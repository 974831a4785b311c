//! The figures of one record as a gate states them, for a history that keeps them.

use super::Metric;
use super::ratio::Arm;
use crate::analysis::CaseGauge;
use crate::policy::Policy;
use crate::record::RunRecord;

/// One metric of one case of one record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseFigure {
    /// What it is.
    pub metric: Metric,
    /// In [`Metric::unit`]: the mean on logarithms of the windows that count; finite and positive.
    pub value: f64,
    /// Interval of 95 % from the scatter of the windows; `None` for one window.
    pub interval: Option<(f64, f64)>,
    /// Standard error of the logarithm of `value`, from the same scatter.
    pub error: Option<f64>,
    /// Windows that count.
    pub windows: u32,
}

/// Every figure that `case` of `record` has, in the order of tables. A case without a right answer has none.
#[must_use]
pub fn figures(case: &CaseGauge, record: &RunRecord, policy: &Policy) -> Vec<CaseFigure> {
    let useful = case.work.map_or(0.0, |w| w.useful.get());
    let metrics = Metric::ALL.into_iter().filter(|m| *m != Metric::Accuracy);
    let figure = |metric: Metric| {
        let arm = Arm::of(metric, case, record, policy)?;
        let turn = |joules: f64| if metric == Metric::PerfPerWatt { useful / joules } else { joules };
        let value = turn(arm.value()?);
        let interval = arm.interval(&policy.coverage).map(|(low, high)| {
            let (a, b) = (turn(low), turn(high));
            (a.min(b), a.max(b))
        });
        let interval = interval.filter(|(low, high)| *low > 0.0 && high.is_finite());
        let usable = value.is_finite() && value > 0.0;
        usable.then(|| CaseFigure { metric, value, interval, error: arm.error(), windows: arm.len() })
    };
    metrics.filter_map(figure).collect()
}
