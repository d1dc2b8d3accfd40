//! A short run of every target, always with the same inputs; `make fuzz` makes long ones.

use skald_fuzz::{Run, TARGETS, Target};
use std::collections::HashSet;

/// Inputs of each target.
const CASES: u64 = 150;

#[test]
fn no_damaged_input_breaks_a_promise() {
    std::thread::scope(|scope| {
        for half in TARGETS.chunks(TARGETS.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(check));
        }
    });
}

fn check(target: &Target) {
    if let Err(failure) = (Run { seed: 0, cases: 0..CASES }).of(target, |_, _| {}) {
        panic!("{failure}");
    }
}

#[test]
fn sound_inputs_break_none() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
        (target.run)(&[]);
    }
}

#[test]
fn names_differ() {
    let names: HashSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    assert!(names.iter().all(|name| skald_fuzz::target(name).is_some()));
}

#[test]
fn a_broken_promise_is_told_with_the_case_that_breaks_it() {
    let target = Target {
        name: "planted",
        about: "trusts a length",
        seeds: || vec![[&[20][..], &[7; 20]].concat()],
        tokens: &[],
        run: |bytes| {
            if let Some((len, rest)) = bytes.split_first() {
                assert!(*len as usize <= rest.len() + 200);
            }
        },
    };
    let failure = (Run { seed: 0, cases: 0..5000 }).of(&target, |_, _| {}).expect_err("it is found");
    let again = Run { seed: failure.seed, cases: failure.case..failure.case + 1 };
    assert_eq!(again.of(&target, |_, _| {}).expect_err("it is found again").input, failure.input);
}

/// cargo-fuzz takes one program for each target.
#[test]
fn every_target_is_one_of_libfuzzers() {
    let manifest = include_str!("../../../fuzz/Cargo.toml");
    let listed: HashSet<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"")).collect();
    assert_eq!(listed, TARGETS.iter().map(|target| target.name).collect());
}
