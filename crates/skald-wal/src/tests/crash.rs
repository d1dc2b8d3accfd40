//! Power cuts and kills at every operation.

use super::*;
use skald_model::seam::Random;
use skald_testkit::SeededRandom;
use std::collections::{BTreeMap, BTreeSet};

/// What was promised so far.
#[derive(Default)]
struct Promises {
    /// Acknowledged bodies of each generation that is to be found.
    acknowledged: BTreeMap<Generation, Vec<String>>,
    /// The generation whose removal was under way.
    removing: Option<Generation>,
    removed: BTreeSet<Generation>,
    last_number: u64,
    bodies: u64,
}

impl Promises {
    /// Two generations, some groups each, the oldest removed; stops at the first error as a process does that loses its disk.
    fn work(&mut self, disk: &Arc<SimDisk>, random: &SeededRandom) -> Result<(), WalError> {
        let (wal, sealed) = try_open(disk)?;
        self.check(&sealed);
        for _ in 0..2 {
            let mut writer = wal.begin_generation()?;
            let generation = writer.generation();
            assert!(generation.0 > self.last_number, "{generation} was used before");
            self.last_number = generation.0;
            self.acknowledged.insert(generation, Vec::new());
            for _ in 0..4 {
                let group: Vec<String> = (0..=random.below(2)).map(|_| self.next_body(random)).collect();
                writer.append(&group)?;
                self.acknowledged.get_mut(&generation).unwrap().extend(group);
            }
            drop(writer);
            let oldest = *self.acknowledged.keys().next().unwrap();
            self.removing = Some(oldest);
            wal.remove_generation(oldest)?;
            self.forget_removed();
        }
        Ok(())
    }

    fn forget_removed(&mut self) {
        if let Some(removed) = self.removing.take() {
            self.acknowledged.remove(&removed);
            self.removed.insert(removed);
        }
    }

    fn next_body(&mut self, random: &SeededRandom) -> String {
        self.bodies += 1;
        format!("{}:{}", self.bodies, "x".repeat(random.below(150) as usize))
    }

    /// All that was acknowledged is found, in order; what was being removed is whole or gone; what was removed is gone.
    fn check(&mut self, sealed: &[SealedGeneration]) {
        let found: BTreeMap<Generation, Vec<String>> = sealed.iter().map(|s| (s.generation(), self.found_in(s))).collect();
        if self.removing.take_if(|removing| found.contains_key(removing)).is_none() {
            self.forget_removed();
        }
        for (generation, want) in &self.acknowledged {
            let found = found.get(generation).map(Vec::as_slice).unwrap_or_default();
            let kept: Vec<&String> = found.iter().filter(|body| want.contains(body)).collect();
            assert_eq!(kept, want.iter().collect::<Vec<_>>(), "acknowledged in {generation}");
        }
        assert!(found.keys().all(|generation| !self.removed.contains(generation)), "a removed generation came back");
        // What was found once is to be found again, acknowledged or not.
        self.acknowledged = found;
    }

    fn found_in(&self, sealed: &SealedGeneration) -> Vec<String> {
        let (records, report) = replay(sealed);
        assert_eq!(report.missing_records, 0, "{report:?}");
        texts(&records)
    }
}

#[test]
fn a_power_cut_after_any_operation_loses_nothing_that_was_acknowledged() {
    let mut cuts = 0;
    for seed in 0..12 {
        for operation in 1.. {
            let (disk, random) = (SimDisk::new(), SeededRandom::new(seed));
            let mut promises = Promises::default();
            disk.cut_power_at(operation);
            let done = promises.work(&disk, &random).is_ok();
            disk.power_cut(random.next_u64());
            promises.work(&disk, &random).expect("works again");
            promises.check(&open(&disk).1);
            if done {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 12 * 50, "only {cuts} cuts");
}

#[test]
fn kills_and_power_cuts_in_a_row_lose_nothing_and_use_no_number_twice() {
    for seed in 0..150 {
        let (disk, random) = (SimDisk::new(), SeededRandom::new(seed));
        let mut promises = Promises::default();
        for _ in 0..8 {
            disk.cut_power_at(1 + random.below(60));
            let _ = promises.work(&disk, &random);
            if random.below(3) == 0 { disk.kill() } else { disk.power_cut(random.next_u64()) }
        }
        promises.work(&disk, &random).expect("works again");
    }
}
