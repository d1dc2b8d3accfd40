//! Fakes and builders for tests.

mod ingester;

pub use ingester::FakeIngester;
