//! The largest or smallest values of a group.

/// Keeps `k` values. Which of equal values stay is arbitrary, but users compare answers: it is what this binary heap, given the
/// series in label order, leaves, so its sifting is written out instead of being left to a library.
pub(super) struct Top {
    smallest: bool,
    k: usize,
    /// The next to go first. Value and place of each.
    heap: Vec<(f64, usize)>,
}

impl Top {
    pub(super) fn new(smallest: bool, k: usize) -> Self {
        Top { smallest, k, heap: Vec::new() }
    }

    /// Whether `a` goes before `b`; what is no number goes first.
    fn goes_before(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.smallest { a > b } else { a < b }
    }

    pub(super) fn add(&mut self, value: f64, place: usize) {
        if self.heap.len() >= self.k {
            let Some((next, _)) = self.heap.first().copied() else { return };
            if !self.goes_before(next, value) {
                return;
            }
            self.heap.swap_remove(0);
            self.sift_down();
        }
        self.heap.push((value, place));
        self.sift_up();
    }

    fn sift_up(&mut self) {
        let mut at = self.heap.len() - 1;
        while at > 0 && self.goes_before(self.heap[at].0, self.heap[(at - 1) / 2].0) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sift_down(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right_first = left + 1 < self.heap.len() && self.goes_before(self.heap[left + 1].0, self.heap[left].0);
            let child = left + usize::from(right_first);
            if !self.goes_before(self.heap[child].0, self.heap[at].0) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }

    /// The places of what stayed.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        self.heap.into_iter().map(|(_, place)| place)
    }
}

/// Most `k` for which [`contenders`] looks at values before they are sorted.
const CONTENDERS_K_MAX: usize = 1000;

/// The places that decide which `k` of `values` stay in a [`Top`] that is given all in `order`: giving it these alone, in the same
/// order, comes to the same. `None` means all.
///
/// Once the heap is full, what does not come before its next to go changes nothing; and what is next to go never gets weaker than it
/// was when the heap became full.
pub(super) fn contenders(
    smallest: bool,
    k: usize,
    values: &[f64],
    order: impl Fn(usize, usize) -> std::cmp::Ordering,
) -> Option<Vec<usize>> {
    if k > CONTENDERS_K_MAX || k >= values.len() {
        return None;
    }
    let mut first: Vec<usize> = Vec::with_capacity(k + 1);
    for place in 0..values.len() {
        if first.len() == k && first.last().is_none_or(|last| order(*last, place).is_le()) {
            continue;
        }
        let at = first.partition_point(|known| order(*known, place).is_le());
        first.insert(at, place);
        first.truncate(k);
    }
    let top = Top::new(smallest, k);
    let next = first.iter().map(|place| values[*place]).reduce(|a, b| if top.goes_before(b, a) { b } else { a });
    let mut chosen: Vec<usize> = (0..values.len()).filter(|place| next.is_some_and(|next| top.goes_before(next, values[*place]))).collect();
    chosen.extend(first);
    chosen.sort_unstable();
    chosen.dedup();
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(smallest: bool, k: usize, values: &[f64]) -> Vec<f64> {
        let mut top = Top::new(smallest, k);
        values.iter().enumerate().for_each(|(place, value)| top.add(*value, place));
        let mut kept: Vec<f64> = top.places().map(|place| values[place]).collect();
        kept.sort_by(f64::total_cmp);
        kept
    }

    #[test]
    fn what_is_no_number_goes_first() {
        assert_eq!(kept(false, 2, &[f64::NAN, 1.0, 2.0, f64::NAN]), [1.0, 2.0]);
        assert_eq!(kept(true, 2, &[1.0, f64::NAN, 2.0]), [1.0, 2.0]);
        assert!(kept(false, 1, &[f64::NAN, f64::NAN])[0].is_nan());
    }

    #[test]
    fn the_first_of_equal_values_goes_when_a_larger_one_comes() {
        let mut top = Top::new(false, 2);
        [1.0, 1.0, 2.0].into_iter().enumerate().for_each(|(place, value)| top.add(value, place));
        let mut places: Vec<usize> = top.places().collect();
        places.sort_unstable();
        assert_eq!(places, [1, 2]);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(200))]

        #[test]
        fn the_largest_or_smallest_stay(values in proptest::collection::vec(-9i32..9, 0..30), k in 0usize..8, smallest: bool) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let want = if smallest { &sorted[..k.min(sorted.len())] } else { &sorted[sorted.len().saturating_sub(k)..] };
            prop_assert_eq!(kept(smallest, k, &values), want);
        }

        #[test]
        fn contenders_alone_leave_what_all_leave(
            values in proptest::collection::vec(prop_oneof![8 => (0i32..6).prop_map(f64::from), 1 => Just(f64::NAN)], 0..60),
            shuffle in proptest::collection::vec(0usize..60, 60), k in 0usize..8, smallest: bool,
        ) {
            let mut order: Vec<usize> = (0..values.len()).collect();
            (0..values.len()).for_each(|i| { let j = shuffle[i] % values.len(); order.swap(i, j) });
            let rank = |place: usize| order.iter().position(|p| *p == place);
            let run = |places: &[usize]| {
                let mut top = Top::new(smallest, k);
                places.iter().for_each(|place| top.add(values[*place], *place));
                let mut kept: Vec<usize> = top.places().collect();
                kept.sort_unstable();
                kept
            };
            let chosen = contenders(smallest, k, &values, |a, b| rank(a).cmp(&rank(b)));
            let chosen: Vec<usize> = order.iter().copied().filter(|place| chosen.as_ref().is_none_or(|chosen| chosen.contains(place))).collect();
            prop_assert_eq!(run(&chosen), run(&order));
        }
    }
}
