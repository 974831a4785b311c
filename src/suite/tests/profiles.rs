use super::super::{Profile, wire};
use super::*;

fn with_settings(profile: &str, settings: &str) -> String {
    format!("version: 1\nsuite: test\nprofile: {profile}\nsettings: {settings}\ncases:\n{GEMM}")
}

fn profile(text: &str) -> Profile {
    parse(text).unwrap_or_else(|e| panic!("{e}")).profile
}

#[test]
fn the_shipped_profiles_keep_what_the_method_demands() {
    let [quick, ci, certify] = ["quick", "ci", "certify"].map(|n| Profile::named(n).unwrap());
    assert_eq!((quick.repeats, quick.window_tau_multiple, quick.certifiable), (5, 20, false));
    assert_eq!((quick.window_floor.get(), quick.idle.get(), quick.probe.get()), (0.15, 2.0, 0.1));
    assert_eq!((quick.warm_up_min.get(), quick.warm_up_max.get(), quick.sampler.get()), (0.05, 0.5, 10.0));
    assert_eq!((ci.repeats, ci.window_floor.get(), ci.window_tau_multiple, ci.certifiable), (5, 2.0, 50, false));
    assert_eq!((certify.repeats, certify.window_floor.get(), certify.window_tau_multiple), (10, 60.0, 200));
    assert_eq!((certify.idle.get(), certify.certifiable, certify.confidence), (120.0, true, 0.95));
    // The alignment error of the shortest window must be within the profile's own limit.
    for p in [&quick, &ci, &certify] {
        let worst = 1.0 / (f64::from(p.window_tau_multiple) * 6f64.sqrt());
        assert!(worst <= p.alignment_limit, "{}", p.name);
        assert!((p.probe_size.get() / f64::from(1 << 28)).fract() == 0.0);
    }
    // Each profile is stricter than the one before.
    assert_eq!(ci.laxer_than(&quick), None);
    assert_eq!(certify.laxer_than(&ci), None);
    assert_eq!(quick.laxer_than(&certify), Some("repeats"));
}

#[test]
fn settings_replace_numbers_and_only_those() {
    let changed =
        profile(&with_settings("ci", "{repeats: 7, window_floor: 1.5 s, steal_limit: 3 %, probe_size: 1 GiB}"));
    let mut expected = Profile::named("ci").unwrap();
    expected.repeats = 7;
    expected.window_floor = crate::units::Seconds::new(1.5).unwrap();
    expected.steal_limit = 0.03;
    expected.probe_size = crate::units::Bytes::new(f64::from(1 << 30)).unwrap();
    assert_eq!(changed, expected);
}

#[test]
fn every_number_can_be_lowered_below_certify_only_by_losing_the_certificate() {
    assert!(profile(&with_settings("certify", "{}")).certifiable);
    assert!(profile(&with_settings("certify", "{repeats: 20, alignment_limit: 0.1 %, retries: 0}")).certifiable);
    let laxer = [
        "repeats: 9",
        "window_floor: 59 s",
        "window_tau_multiple: 199",
        "alignment_limit: 0.3 %",
        "idle: 119 s",
        "idle_drift_limit: 6 %",
        "warm_up_min: 29 s",
        "warm_up_max: 299 s",
        "warm_up_slope: 2 %",
        "sampler: 9 Hz",
        "probe: 4 s",
        "probe_size: 512 MiB",
        "foreign_load_limit: 3 %",
        "steal_limit: 1 %",
        "retries: 3",
        "bootstrap_resamples: 9999",
        "confidence: 0.9",
    ];
    assert_eq!(laxer.len(), super::super::profile::NUMBERS.len());
    for setting in laxer {
        assert!(!profile(&with_settings("certify", &format!("{{{setting}}}"))).certifiable, "{setting}");
    }
    assert!(!profile(&with_settings("quick", "{repeats: 100}")).certifiable);
}

#[test]
fn wrong_settings_are_errors_at_their_place() {
    let found = errors(&with_settings("ci", "{repeats: 0, idel: 1 s, warm_up_min: 1 min}"));
    assert_eq!(
        summary(&found),
        [
            (4, 21, "0", "`repeats`: the number 0 is out of range"),
            (4, 24, "idel", "unknown key `idel` in the settings"),
        ]
    );
    let found = errors(&with_settings("ci", "{warm_up_min: 1 min}"));
    assert_eq!(summary(&found), [(4, 25, "1 min", "`warm_up_min` is longer than `warm_up_max`")]);
    let found = errors(&with_settings("certfy", "{repeats: x}"));
    assert_eq!(found.problems().len(), 2, "{found}");
    assert!(found.problems()[0].help.contains("did you mean `certify`?"));
}

#[test]
fn a_profile_may_be_a_file_beside_the_suite_but_cannot_certify_itself() {
    let folder = tempfile::tempdir().unwrap();
    let quick = include_str!("../../../suites/profiles/quick.yaml");
    let mine = quick.replace("profile: quick", "profile: mine").replace("certifiable: false", "certifiable: true");
    std::fs::write(folder.path().join("mine.yaml"), &mine).unwrap();
    let suite = folder.path().join("suite.yaml");
    let text = with_settings("./mine.yaml", "{}");
    let found = Suite::parse(&suite, &text, &catalog()).unwrap().profile;
    assert_eq!((found.name.as_str(), found.certifiable), ("mine", false));

    std::fs::write(folder.path().join("mine.yaml"), mine.replace("repeats: 5", "repeats: five")).unwrap();
    let shown = Suite::parse(&suite, &text, &catalog()).unwrap_err().to_string();
    assert!(shown.contains("mine.yaml:8:10"), "{shown}");
    let shown = Suite::parse(&suite, &with_settings("./none.yaml", "{}"), &catalog()).unwrap_err().to_string();
    assert!(shown.contains("cannot be read: no such file"), "{shown}");
}

#[test]
fn an_unknown_profile_name_gets_a_suggestion() {
    assert!(Profile::named("quik").unwrap_err().to_string().contains("did you mean `quick`?"));
}

#[test]
fn a_profile_file_needs_every_number() {
    let text = "version: 1\nprofile: short\ncertifiable: false\nrepeats: 3\n";
    let found = Profile::parse(Path::new("short.yaml"), text).unwrap_err();
    assert_eq!(found.problems().len(), super::super::profile::NUMBERS.len() - 1);
    assert!(wire::PROFILE.iter().all(|k| !found.to_string().contains(&format!("lacks the key `{}`", k.name))));
}
