use proptest::test_runner::{Config, RngSeed};

/// How a property test runs: `few` cases from one fixed seed, or as many as `SKALD_FUZZ_CASES` says from a new seed each time.
pub fn property(few: u32) -> Config {
    let many = std::env::var("SKALD_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    let seed = if many.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    Config { cases: many.unwrap_or(few), rng_seed: seed, failure_persistence: None, ..Config::default() }
}
