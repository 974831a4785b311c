//! The table of all records, and the data that its script searches, filters and sorts by.

use super::entry::{Best, Row};
use super::{POLICY, RECORDS, inert, quantiles, render};
use crate::report::ReportError;
use crate::report::model::plain::shorten;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The table of all records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The page; every row stands in it, whatever scripts do.
    pub html: String,
    /// The data of its script, as a script.
    pub data: String,
}

/// What the script needs of all rows, in the order of the table.
#[derive(Serialize)]
struct Data<'a> {
    slugs: Vec<&'a str>,
    /// What a search looks through, in lower case.
    text: Vec<String>,
    facets: Vec<Facet>,
    ranks: Vec<Ranks>,
    widening: Vec<Vec<f64>>,
    dof: [u32; 12],
}

/// A filter: its values, and for every row the values that it has.
#[derive(Serialize)]
struct Facet {
    key: &'static str,
    title: &'static str,
    values: Vec<String>,
    counts: Vec<usize>,
    of: Vec<Vec<usize>>,
}

/// An order of the rows: equal rows have equal numbers, rows without a value have none.
#[derive(Serialize)]
struct Ranks {
    key: &'static str,
    of: Vec<Option<usize>>,
}

/// Renders the table, newest record first. `left_out` counts what has a line on the page of what could not be shown.
///
/// # Errors
/// [`ReportError::Render`] when the template refuses the rows.
pub fn index(title: &str, rows: &[&Row], left_out: usize) -> Result<Index, ReportError> {
    let facets = facets(rows);
    let count = |key: &str| facets.iter().find(|f| f.key == key).map_or(0, |f| f.values.len());
    let plural = |n: usize, one: &str, many: &str| format!("{} {}", grouped(n), if n == 1 { one } else { many });
    let subtitle = [
        plural(rows.len(), "record", "records"),
        plural(count("device"), "device", "devices"),
        plural(count("kernel"), "kernel", "kernels"),
    ]
    .join(" · ");
    let filters: Vec<_> = facets
        .iter()
        .map(|f| {
            let options = f.values.iter().zip(&f.counts).map(|(value, n)| context! { value, count => grouped(*n) });
            context! { key => f.key, title => f.title, options => options.collect::<Vec<_>>() }
        })
        .collect();
    let html = render(
        "index.html",
        context! {
            title => shorten(title, 200),
            subtitle,
            policy => POLICY,
            records => RECORDS,
            hits => plural(rows.len(), "record", "records"),
            left_out => (left_out > 0).then(|| plural(left_out, "entry was left out", "entries were left out")),
            filters,
            rows => Value::from(Serde(rows)),
        },
    )?;
    let data = Data {
        slugs: rows.iter().map(|r| r.slug.as_str()).collect(),
        text: rows.iter().map(|r| searched(r)).collect(),
        facets,
        ranks: ranks(rows),
        widening: quantiles::widening(),
        dof: quantiles::DOF,
    };
    let data = inert::script(&data).map_err(|e| super::failed(&e))?;
    Ok(Index { html, data: format!("const WATTPROOF = {data};\n") })
}

/// `12,345`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn searched(row: &Row) -> String {
    let mut parts: Vec<&str> = vec![&row.id, &row.date, &row.suite, &row.profile, &row.class, row.energy];
    parts.extend(row.machines.iter().flat_map(|m| [m.vendor.as_str(), m.device.as_str()]));
    parts.extend(row.kernels.iter().chain(&row.dtypes).map(String::as_str));
    parts.extend(row.marks.iter().map(|m| m.text.as_str()));
    parts.join(" ").to_lowercase()
}

fn facets(rows: &[&Row]) -> Vec<Facet> {
    let facet = |key, title, values: &dyn Fn(&Row) -> Vec<String>| {
        let of: Vec<BTreeSet<String>> = rows.iter().map(|row| values(row).into_iter().collect()).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        of.iter().flatten().for_each(|value| *counts.entry(value).or_default() += 1);
        let places: BTreeMap<&str, usize> = counts.keys().enumerate().map(|(i, value)| (*value, i)).collect();
        Facet {
            key,
            title,
            values: counts.keys().map(|v| (*v).to_owned()).collect(),
            of: of.iter().map(|values| values.iter().map(|v| places[v.as_str()]).collect()).collect(),
            counts: counts.values().copied().collect(),
        }
    };
    vec![
        facet("vendor", "Vendor", &|r| r.machines.iter().map(|m| m.vendor.clone()).collect()),
        facet("device", "Device", &|r| r.machines.iter().map(|m| m.device.clone()).collect()),
        facet("kernel", "Kernel", &|r| r.kernels.clone()),
        facet("dtype", "Type", &|r| r.dtypes.clone()),
        facet("class", "Class", &|r| vec![r.class.clone()]),
        facet("energy", "Energy", &|r| vec![r.energy.to_owned()]),
    ]
}

fn ranks(rows: &[&Row]) -> Vec<Ranks> {
    let words = |text: &str| (!text.is_empty()).then(|| text.to_lowercase());
    let by_text = |key, text: &dyn Fn(&Row) -> Option<String>| Ranks {
        key,
        of: ranked(&rows.iter().map(|r| text(r)).collect::<Vec<_>>(), Ord::cmp),
    };
    let by_number = |key, number: &dyn Fn(&Row) -> Option<f64>| Ranks {
        key,
        of: ranked(&rows.iter().map(|r| number(r)).collect::<Vec<_>>(), f64::total_cmp),
    };
    let value = |best: &Option<Best>| best.as_ref().map(|b| b.value);
    // A class first, the best index of a class first; then refusals.
    let class = |r: &Row| match r.index {
        Some(index) => Some((r.class.clone(), -index)),
        None if r.class == "no certificate" => None,
        None => Some((format!("~{}", r.class), 0.0)),
    };
    let order = |a: &(String, f64), b: &(String, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    let classes = Ranks { key: "class", of: ranked(&rows.iter().map(|r| class(r)).collect::<Vec<_>>(), order) };
    vec![
        by_text("record", &|r| words(&r.id)),
        by_text("date", &|r| Some(r.started.clone())),
        by_text("device", &|r| r.machines.first().and_then(|m| words(&m.device))),
        by_text("suite", &|r| words(&r.suite)),
        by_text("kernels", &|r| words(&r.kernels.join(" "))),
        by_text("types", &|r| words(&r.dtypes.join(" "))),
        classes,
        by_text("energy", &|r| (r.energy != "not measured").then(|| format!("{} {}", r.energy, r.grade))),
        by_number("efficiency", &|r| value(&r.efficiency)),
        by_number("rate", &|r| value(&r.rate)),
    ]
}

/// Places of values in rising order; equal values share one.
fn ranked<T>(values: &[Option<T>], order: impl Fn(&T, &T) -> Ordering) -> Vec<Option<usize>> {
    let mut known: Vec<(usize, &T)> =
        values.iter().enumerate().filter_map(|(i, v)| v.as_ref().map(|v| (i, v))).collect();
    known.sort_by(|a, b| order(a.1, b.1));
    let mut ranks = vec![None; values.len()];
    let mut place = 0;
    for (n, (i, value)) in known.iter().enumerate() {
        if n > 0 && order(known[n - 1].1, value) != Ordering::Equal {
            place += 1;
        }
        ranks[*i] = Some(place);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_place_and_unknown_ones_have_none() {
        let values = [Some(2.0), None, Some(1.0), Some(2.0)];
        assert_eq!(ranked(&values, f64::total_cmp), [Some(1), None, Some(0), Some(1)]);
    }

    #[test]
    fn large_counts_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
