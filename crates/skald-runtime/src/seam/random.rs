use parking_lot::Mutex;
use skald_model::seam::Random;
use std::io;

/// Bytes taken from the system at a time.
const POOL_LEN: usize = 512;

/// Randomness of the operating system, taken some hundred bytes at a time.
pub struct OsRandom(Mutex<Pool>);

struct Pool {
    bytes: [u8; POOL_LEN],
    used: usize,
}

impl OsRandom {
    /// Takes the first bytes.
    ///
    /// # Errors
    /// The system gives none.
    pub fn new() -> io::Result<Self> {
        let mut pool = Pool { bytes: [0; POOL_LEN], used: 0 };
        pool.fill()?;
        Ok(OsRandom(Mutex::new(pool)))
    }
}

impl Pool {
    #[allow(clippy::disallowed_methods, reason = "this is the real randomness")]
    fn fill(&mut self) -> io::Result<()> {
        getrandom::fill(&mut self.bytes)?;
        self.used = 0;
        Ok(())
    }
}

impl Random for OsRandom {
    fn next_u64(&self) -> u64 {
        let mut pool = self.0.lock();
        if pool.used == POOL_LEN {
            pool.fill().expect("a system that gave randomness at the start goes on to");
        }
        let from = pool.used;
        pool.used += 8;
        u64::from_le_bytes(pool.bytes[from..from + 8].try_into().expect("eight bytes are eight bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat() {
        let random = OsRandom::new().expect("the system gives randomness");
        let ids: HashSet<u128> = (0..1000).map(|_| random.next_id()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
