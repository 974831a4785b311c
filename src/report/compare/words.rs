//! Title, verdict, facts, caveats and method in words.

use crate::analysis::Severity;
use crate::compare::{By, Caveat, Comparison, Metric};
use crate::report::model::context::fact;
use crate::report::model::plain::{sentence, shorten};
use crate::report::model::{CaveatLine, Fact, Paragraph, Tone, VerdictLine};
use crate::report::si;

/// Arms that a caveat names.
const NAMED: usize = 4;

/// Longest name of an arm in running text and tables.
pub(super) const NAME: usize = 80;

/// The name of an arm.
pub(super) fn arm(c: &Comparison, place: usize) -> String {
    shorten(&c.arms[place].name, NAME)
}

/// `records`, `vendors`: what the arms are.
pub(super) const fn kind(by: By) -> &'static str {
    match by {
        By::Record => "records",
        By::Vendor => "vendors",
        By::Device => "devices",
        By::Driver => "drivers",
        By::Dtype => "element types",
    }
}

pub(super) fn title(c: &Comparison) -> String {
    format!("Comparison of {} {}", c.arms.len(), kind(c.by))
}

pub(super) fn subtitle(c: &Comparison) -> String {
    let cases = if c.cases.len() == 1 { "1 case".to_owned() } else { format!("{} cases", c.cases.len()) };
    let records = if c.records.len() == 1 { "1 record".to_owned() } else { format!("{} records", c.records.len()) };
    let day = c.date.split('T').next().unwrap_or_default();
    format!("{cases} · {records} · newest run {day} · reference {}", arm(c, c.reference))
}

pub(super) fn verdict(c: &Comparison) -> VerdictLine {
    let grave = c.caveats.iter().any(|c| c.severity == Severity::Critical);
    let winner = c
        .mean(c.ranked_by())
        .is_some_and(|m| m.rows.iter().filter(|r| r.rank.is_some_and(|k| k.best == 1)).count() == 1);
    let tone = match (grave, winner && c.without_energy.is_none()) {
        (true, _) => Tone::Warning,
        (false, true) => Tone::Good,
        (false, false) => Tone::Neutral,
    };
    VerdictLine { tone, text: sentence(&shorten(&c.text, 390)) }
}

pub(super) fn facts(c: &Comparison) -> Vec<Fact> {
    let mut facts = vec![
        fact("Reference", arm(c, c.reference)),
        fact(
            "Ranked by",
            match c.ranked_by() {
                Metric::Energy => "performance per watt",
                Metric::Time => "time: energy was not measured",
            },
        ),
    ];
    if let Some(mean) = c.mean(c.ranked_by()) {
        facts.push(fact("Geometric mean over", format!("{} of {} cases", mean.cases.len(), c.cases.len())));
    }
    let mut boundaries: Vec<&str> = c.cases.iter().map(|k| k.boundary.as_str()).filter(|b| !b.is_empty()).collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    if !boundaries.is_empty() {
        facts.push(fact("Energy of", boundaries.join("; ")));
    }
    let mut grades: Vec<char> = c.arms.iter().filter_map(|a| a.grade).collect();
    grades.sort_unstable();
    grades.dedup();
    if !grades.is_empty() {
        facts.push(fact("Evidence grades", grades.iter().map(char::to_string).collect::<Vec<_>>().join(", ")));
    }
    facts.push(fact("Any false distinction", format!("at most {}", si::set_percent(c.alpha))));
    facts
}

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical => Tone::Bad,
        Severity::Warning => Tone::Warning,
        Severity::Note => Tone::Neutral,
    }
}

pub(super) fn caveats(c: &Comparison) -> Vec<CaveatLine> {
    let line = |caveat: &Caveat| {
        let arms = match caveat.arms.len() {
            0 => String::new(),
            n if n == c.arms.len() => " (all arms)".to_owned(),
            n => {
                let named: Vec<String> = caveat.arms.iter().take(NAMED).map(|a| arm(c, *a)).collect();
                let more = if n > NAMED { format!(" and {} more", n - NAMED) } else { String::new() };
                format!(" ({} of {} arms: {}{more})", n, c.arms.len(), named.join(", "))
            }
        };
        let text = sentence(&caveat.text);
        let text = format!("{}{arms}.", text.trim_end_matches('.'));
        CaveatLine { code: caveat.code, tone: tone(caveat.severity), case: String::new(), text }
    };
    let mut lines: Vec<CaveatLine> = c.caveats.iter().map(line).collect();
    if !c.skipped.is_empty() {
        let text = format!("{} records were left out; see what was left out.", c.skipped.len());
        lines.push(CaveatLine { code: "skipped", tone: Tone::Warning, case: String::new(), text });
    }
    lines
}

pub(super) fn method(c: &Comparison) -> Vec<Paragraph> {
    let paragraph = |title: &str, text: String| Paragraph { title: title.to_owned(), text };
    let confidence = si::set_percent(c.confidence);
    let runs = match (c.by, c.run_to_run > 0.0) {
        (By::Record, false) => "Each record is an arm.".to_owned(),
        (By::Record, true) => {
            format!("Each record is an arm; runs were declared to scatter by {}.", si::set_percent(c.run_to_run))
        }
        _ => "Records of one arm are runs of it: the scatter of their means counts where it is larger than that of their \
              windows."
            .to_owned(),
    };
    let holm = if c.of_cases.stepwise { "all steps of Holm (1979)" } else { "the first step of Holm (1979)" };
    vec![
        paragraph(
            "Figures",
            format!(
                "Means on logarithms of the windows that count; reports print medians, so that last digits differ. Intervals \
                 cover {confidence} of the errors, each for itself: scatter of the windows and the bounds of the sensor \
                 (GUM, JCGM 100:2008). {runs}"
            ),
        ),
        paragraph(
            "Ratios",
            format!(
                "Runs are independent. The gain of one sensor on one machine is one error in both arms and cancels; across \
                 machines it counts in full on both sides. Ratios refer to {}.",
                arm(c, c.reference)
            ),
        ),
        paragraph(
            "Ranks",
            format!(
                "Two arms are told apart when Welch's t on logarithms, sensor errors included, is beyond chance in its family: \
                 all {} pairs of the means, and all {} pairs of all cases ({holm}), half of the error for each. So any false \
                 distinction anywhere has a probability of at most {}. A rank such as 2–4 says which ranks are possible: one \
                 more than the arms that are certainly better, up to all arms less those that are certainly worse. Arms that \
                 cannot be told apart share them. Intervals, each for itself, are narrower than what ranks ask for.",
                c.of_means.pairs,
                c.of_cases.pairs,
                si::set_percent(c.alpha)
            ),
        ),
        paragraph(
            "Geometric means",
            "The mean of the logarithms of the ratios over the cases that all arms have. Scatter is independent from case to \
             case; the gain of a sensor is one error in all cases and does not average out."
                .to_owned(),
        ),
        paragraph(
            "Front",
            "On the front of time against energy: certainly better than every other arm in one of the two. Not on it: another \
             arm is certainly better in both. Possible: anything else."
                .to_owned(),
        ),
        paragraph(
            "Sparse work",
            "Performance per watt counts useful operations. Dense-equivalent figures count what dense work would need for the \
             same result; they are shown beside it and never ranked."
                .to_owned(),
        ),
    ]
}
