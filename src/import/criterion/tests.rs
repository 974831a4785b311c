//! Files as criterion writes them, and files as it does not.

use super::*;

const BENCHMARK: &str = r#"{"group_id":"g","function_id":"f","value_str":null,"throughput":{"Elements":1000},"full_id":"g/f","directory_name":"g/f","title":"g/f"}"#;
const SAMPLE: &str = r#"{"sampling_mode":"Linear","iters":[1.0,2.0,3.0,4.0],"times":[100.0,190.0,320.0,400.0]}"#;

fn estimate(value: f64) -> String {
    format!(
        r#"{{"confidence_interval":{{"confidence_level":0.9,"lower_bound":{},"upper_bound":{}}},"point_estimate":{value},"standard_error":1.0}}"#,
        value * 0.95,
        value * 1.05
    )
}

/// Estimates with the given mean, median and slope.
fn estimates(mean: f64, median: f64, slope: f64) -> String {
    let [mean, median, slope] = [mean, median, slope].map(estimate);
    format!(r#"{{"mean":{mean},"median":{median},"slope":{slope},"std_dev":null}}"#)
}

fn import(sample: &str, estimates: Option<&str>, raw: Option<&str>) -> Result<Imported, ImportError> {
    from_bytes(BENCHMARK.as_bytes(), sample.as_bytes(), estimates.map(str::as_bytes), raw.map(str::as_bytes))
}

// Per iteration: 100, 95, 106.67, 100. Slope: (100 + 380 + 960 + 1600) / 30.
const MEAN: f64 = (100.0 + 95.0 + 320.0 / 3.0 + 100.0) / 4.0;
const SLOPE: f64 = 3040.0 / 30.0;

#[test]
fn statistics_are_reckoned_from_the_samples() {
    let imported = import(SAMPLE, Some(&estimates(MEAN, 100.0, SLOPE)), None).unwrap();
    assert_eq!((imported.id.as_str(), imported.samples, imported.iterations), ("g/f", 4, 10.0));
    assert!((imported.mean - MEAN).abs() < 1e-9 && (imported.slope.unwrap() - SLOPE).abs() < 1e-9);
    let median = imported.median.unwrap();
    assert_eq!((median.median, median.confidence, median.n), (100.0, 0.9, 4));
    assert!(median.low.unwrap() < 100.0 && median.high.unwrap() > 100.0);
    assert_eq!((imported.unit, imported.unit_source), (Unit::Nanoseconds, UnitSource::Inferred));
    // 1000 elements in 100 ns.
    let rate = imported.throughput.unwrap();
    assert_eq!((rate.of, rate.per), ("elem", Some("s")));
    assert!((rate.rate.unwrap() / 1e10 - 1.0).abs() < 1e-12);
    assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
}

#[test]
fn estimates_that_do_not_belong_to_the_samples_are_told() {
    let notes = |mean, median, slope| import(SAMPLE, Some(&estimates(mean, median, slope)), None).unwrap().notes;
    let all = notes(MEAN * 1.2, 100.0, SLOPE);
    assert!(all[1].starts_with("the mean of sample.json") && all[1].contains("outside the interval"), "{all:?}");
    let all = notes(MEAN, 100.1, SLOPE);
    assert!(all[1].contains("the median") && all[1].contains("is not 1.001e2"), "{all:?}");
    let all = notes(MEAN, 100.0, SLOPE * 0.5);
    assert!(all[1].contains("the slope") && all.len() == 2, "{all:?}");
    // Without estimates there is nothing to compare with.
    assert_eq!(import(SAMPLE, None, None).unwrap().criterion, None);
}

#[test]
fn the_unit_is_stated_or_inferred_or_unknown() {
    let unit = |times: &str, raw: Option<&str>| {
        let sample = format!(r#"{{"sampling_mode":"Flat","iters":[1,1],"times":{times}}}"#);
        let imported = import(&sample, None, raw).unwrap();
        (imported.unit, imported.unit_source, imported.slope)
    };
    let rows = |unit: &str| {
        format!(
            "group,function,value,throughput_num,throughput_type,sample_measured_value,unit,iteration_count\n\
             \"a, b\",f,,,,1.5,{unit},1\n\"a, b\",f,,,,1.5,{unit},2\n"
        )
    };
    assert_eq!(unit("[5,7]", None), (Unit::Nanoseconds, UnitSource::Inferred, None));
    assert_eq!(unit("[0.130001,7]", None), (Unit::Joules, UnitSource::Inferred, None));
    assert_eq!(unit("[0.1234567,7]", None), (Unit::Unknown, UnitSource::None, None));
    assert_eq!(unit("[5,7]", Some(&rows("J"))), (Unit::Joules, UnitSource::RawCsv, None));
    assert_eq!(unit("[0.5,7]", Some(&rows("ns"))), (Unit::Nanoseconds, UnitSource::RawCsv, None));
    assert_eq!(unit("[5,7]", Some(&rows("cycles"))), (Unit::Unknown, UnitSource::RawCsv, None));
    assert_eq!(decide_asked(), (Unit::Joules, UnitSource::Asked));
}

fn decide_asked() -> (Unit, UnitSource) {
    unit::decide(Some(Unit::Joules), Some("ns"), &[1.0])
}

#[test]
fn whatever_is_no_result_is_an_error_with_its_file() {
    let bad = [
        ("", "sample.json:1:0"),
        ("[]", "sample.json:1:"),
        (r#"{"sampling_mode":"Flat","iters":[1],"times":[]}"#, "1 iteration counts and 0 values"),
        (r#"{"sampling_mode":"Flat","iters":[],"times":[]}"#, "0 samples"),
        (r#"{"sampling_mode":"Flat","iters":[0],"times":[1]}"#, "sample 1 has 0 iterations"),
        (r#"{"sampling_mode":"Flat","iters":[1.5],"times":[1]}"#, "1.5 iterations"),
        (r#"{"sampling_mode":"Flat","iters":[1,1],"times":[1,-1]}"#, "sample 2 has the value -1"),
        (r#"{"sampling_mode":"Flat","iters":[1],"times":[1e300]}"#, "sample 1 has the value"),
        (r#"{"sampling_mode":"Flat","iters":[1],"times":[null]}"#, "sample.json:1:"),
    ];
    for (sample, words) in bad {
        let error = import(sample, None, None).unwrap_err().to_string();
        assert!(error.contains("sample.json") && error.contains(words), "{sample}: {error}");
    }
    let error = import(SAMPLE, Some("{}"), None).unwrap_err().to_string();
    assert!(error.contains("estimates.json:1:2") && error.contains("mean"), "{error}");
    for raw in [
        "",
        "a,b\n",
        "sample_measured_value,unit,iteration_count\n",
        "sample_measured_value,unit,iteration_count\n1,ns,x\n",
    ] {
        let error = import(SAMPLE, None, Some(raw)).unwrap_err().to_string();
        assert!(error.contains("raw.csv"), "{error}");
    }
}

#[test]
fn a_folder_without_results_and_a_missing_folder_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let error = super::import(dir.path(), None).unwrap_err();
    assert!(matches!(error.as_slice(), [ImportError::Nothing { .. }]));
    let error = super::import(&dir.path().join("missing"), None).unwrap_err();
    assert!(matches!(error.as_slice(), [ImportError::Io { .. }]));
    let folder = dir.path().join("a/new");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sample.json"), SAMPLE).unwrap();
    let error = super::import(dir.path(), None).unwrap_err();
    assert!(error[0].to_string().contains("benchmark.json"), "{}", error[0]);
}
