//! `work-by-formula`: operations and bytes are those of the kernel's formulas.

use super::judge::*;
use crate::kernels;

pub(super) const RULE: Rule = Rule {
    code: "work-by-formula",
    title: "operations and bytes follow from the kernel's formulas",
    rationale: "Performance is work over time: a record that counts more work than its parameters give is faster on paper.",
    source: "docs/kernels.md; a property of the program: no policy can change it",
    limits: &[],
    fix: "measure again with this version; records are not edited by hand",
    unknown: None,
    spared: Some("the record has no workload with figures"),
    example: "4294967296 operations an iteration, the formula gives 2147483648",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    RULE.each(subject, program("the work that the formulas give"), |case| {
        let prepared = case.measurement.prepared.as_ref()?;
        let stated = prepared.work;
        let case = &case.measurement.case;
        // The device that was planned is the one whose work this is; older records name processors otherwise.
        if !case.device.is_cpu() && prepared.device != case.device {
            return Some(Seen::Broken(format!("planned for {}, ran on {}", case.device, prepared.device)));
        }
        let Some(kernel) = kernels::find(&case.kernel) else {
            return Some(Seen::Broken(format!("this version has no kernel `{}`", case.kernel)));
        };
        let expected = match kernel.work_on(&case.params, case.device.api()) {
            Ok(work) => work,
            Err(error) => return Some(Seen::Broken(format!("its parameters give no work: {error}"))),
        };
        let pairs = [
            ("operations", stated.useful.get(), expected.useful.get()),
            ("dense-equivalent operations", stated.dense_equivalent.get(), expected.dense_equivalent.get()),
            ("bytes", stated.bytes.get(), expected.bytes.get()),
        ];
        // Whole numbers below 2^53: equal or not.
        let wrong = pairs.into_iter().find(|(_, stated, expected)| stated.to_bits() != expected.to_bits());
        Some(match wrong {
            None => kept("the work of every workload"),
            Some((what, stated, expected)) => {
                Seen::Broken(format!("{stated} {what} an iteration, the formula gives {expected}"))
            }
        })
    })
}
