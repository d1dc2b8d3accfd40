use super::*;
use crate::work::tests::work;

struct Holds(usize);

impl State for Holds {
    fn add(&mut self, _batch: &Batch<'_>, _selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
        Ok(Stats::default())
    }

    fn heap_bytes(&self) -> usize {
        self.0
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}

fn shared_by<S: State, F: Fn() -> S + Send + Sync + 'static>(work: &Work, new_state: F) -> Shared<Together<F>> {
    Shared {
        evaluation: Arc::new(Together(new_state)),
        states: Mutex::default(),
        parts: Mutex::default(),
        decoders: Mutex::default(),
        needs: Needs { lines: LineNeed::None, columns: skald_logql::exec::Columns::All },
        laziness: Laziness::Whole,
        work: work.clone(),
        held: Mutex::new(work.budget().hold_nothing()),
        outcome: Mutex::default(),
    }
}

#[test]
fn what_states_let_go_of_is_no_longer_held_and_what_is_too_much_fails() {
    let shared = shared_by(&work(100), || Holds(0));
    let resize = |bytes: usize| {
        shared.with_state(None, |lent, _| {
            lent.state.0 = bytes;
            Ok(())
        })
    };
    for bytes in [100, 10, 100, 30] {
        resize(bytes).expect("it fits");
        assert_eq!(shared.held.lock().bytes(), bytes as u64);
    }
    assert!(matches!(resize(101), Err(QueryError::Budget(_))));
}

/// Says after the first rows that nobody waits any more.
struct Abandoned(Work, usize);

impl State for Abandoned {
    fn add(&mut self, batch: &Batch<'_>, _selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
        self.0.cancel();
        self.1 += batch.len();
        Ok(Stats::default())
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}

#[test]
fn a_job_ends_within_a_slice_once_nobody_waits() {
    let entries: Vec<(i64, &str)> = (0..20_000).map(|at| (at, "line")).collect();
    let (labels, rows) = (skald_testkit::labels(&[("app", "a")]), skald_testkit::rows(&entries));
    let work = work(1 << 20);
    let of_state = work.clone();
    let shared = shared_by(&work, move || Abandoned(of_state.clone(), 0));
    for _ in 0..2 {
        let ended = shared.with_state(None, |lent, _| lent.add(&Batch::new(&labels, &rows), &Selection::All, (0, 0)));
        assert!(matches!(ended, Err(QueryError::Cancelled)));
        assert_eq!(shared.states.lock()[0].1, SLICE_ROWS, "no further slice was begun");
    }
}

#[test]
fn slices_are_small_and_hold_every_row_once() {
    let long = "x".repeat(SLICE_BYTES);
    let labels = skald_testkit::labels(&[("app", "a")]);
    let entries: Vec<(i64, &str)> = (0..10_000).map(|at| (at, if at % 1000 == 0 { long.as_str() } else { "short" })).collect();
    let rows = skald_testkit::rows(&entries);
    let batch = Batch::new(&labels, &rows);
    let cut = slices(&batch);
    let lines = batch.lines.expect("there are lines");
    assert!(cut.iter().all(|rows| rows.len() == 1 || lines.byte_len(rows.clone()) <= SLICE_BYTES));
    assert_eq!(cut.iter().cloned().flatten().collect::<Vec<_>>(), (0..10_000).collect::<Vec<_>>());
    let selected = Selection::Rows(vec![0, 5, 9, 10, 12]);
    assert_eq!(part(&selected, &(5..11)), Selection::Rows(vec![0, 4, 5]));
    assert_eq!(part(&Selection::All, &(5..11)), Selection::All);
}
