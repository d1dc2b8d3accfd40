use super::*;
use proptest::prelude::*;
use skald_model::{RowsBuilder, Timestamp};

fn rows(entries: &[(i64, &str, &str)]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (at, line, trace) in entries {
        builder.push(Timestamp(*at), line.as_bytes());
        builder.set_metadata("trace", trace.as_bytes(), false);
    }
    builder.finish()
}

#[track_caller]
fn check(chunks: &[&[(i64, &str, &str)]], want: &[(i64, &str, &str)]) {
    let chunks: Vec<Rows> = chunks.iter().map(|chunk| rows(chunk)).collect();
    let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("small");
    assert_eq!(merged.rows, rows(want));
    assert_eq!(merged.duplicates, chunks.iter().map(|c| c.len()).sum::<usize>() - want.len());
}

#[test]
fn sorts_by_time_then_arrival() {
    check(&[], &[]);
    check(&[&[(1, "a", ""), (2, "b", "x")], &[(2, "c", ""), (3, "d", "")]], &[(1, "a", ""), (2, "b", "x"), (2, "c", ""), (3, "d", "")]);
    check(&[&[(5, "z", ""), (1, "b", "")], &[(1, "a", "")]], &[(1, "b", ""), (1, "a", ""), (5, "z", "")]);
}

#[test]
fn of_equal_entries_the_first_stays() {
    check(&[&[(1, "a", ""), (1, "b", "")], &[(1, "a", ""), (2, "a", "")]], &[(1, "a", ""), (1, "b", ""), (2, "a", "")]);
    check(&[&[(1, "a", "x")], &[(1, "a", "y"), (1, "a", "x")]], &[(1, "a", "x"), (1, "a", "y")]);
}

#[test]
fn a_long_run_of_one_timestamp_is_not_compared_pair_by_pair() {
    let mut builder = RowsBuilder::default();
    for i in 0..100_000 {
        builder.push(Timestamp(7), format!("line {}", i % 50_000).as_bytes());
    }
    let merged = merge_rows(&[&builder.finish()]).expect("fits");
    assert_eq!((merged.rows.len(), merged.duplicates), (50_000, 50_000));
}

#[test]
fn many_names_cost_what_is_present() {
    let (rows, names, chunks) = (200_000u32, 1000, 10);
    let mut builders = vec![RowsBuilder::default(); chunks as usize];
    for row in 0..rows {
        let builder = &mut builders[(row.wrapping_mul(2_654_435_761) >> 8) as usize % chunks as usize];
        builder.push(Timestamp(i64::from(row / 3)), b"line");
        builder.set_metadata(&format!("name{}", row % names), &row.to_le_bytes(), false);
    }
    let chunks: Vec<Rows> = builders.into_iter().map(RowsBuilder::finish).collect();
    let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("fits");
    assert_eq!((merged.rows.len(), merged.rows.columns().len(), merged.duplicates), (rows as usize, names as usize, 0));
    assert!(merged.rows.is_sorted());
    let mut values = vec![false; rows as usize];
    for column in merged.rows.columns() {
        for (row, value) in column.present(0..column.len()) {
            let pushed = u32::from_le_bytes(value.try_into().expect("four bytes"));
            assert_eq!(merged.rows.timestamps()[row], i64::from(pushed / 3));
            assert_eq!(**column.name(), format!("name{}", pushed % names));
            values[pushed as usize] = true;
        }
    }
    assert!(values.iter().all(|found| *found));
    let held = merged.rows.heap_bytes();
    assert!(held < 50 * rows as usize, "{held} bytes");
}

#[test]
fn a_slice_has_the_rows_of_its_range() {
    let all = [(1, "a", "x"), (2, "bb", ""), (3, "", "z"), (4, "c", "")];
    for (start, end) in [(0, 4), (1, 3), (2, 2), (3, 4)] {
        assert_eq!(slice_rows(&rows(&all), start..end), rows(&all[start..end]));
    }
}

/// Rows of which each has at most one of many names.
fn rows_of_names(entries: &[(i64, Option<u8>)]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (at, name) in entries {
        builder.push(Timestamp(*at), b"x");
        if let Some(name) = name {
            builder.set_metadata(&format!("name{name}"), b"v", *name == 7);
        }
    }
    builder.finish()
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]
    #[test]
    fn rows_of_many_names_agree_with_the_naive_way(
        chunks in proptest::collection::vec(proptest::collection::vec((0i64..40, proptest::option::of(0u8..60)), 0..60), 0..5),
    ) {
        let all: Vec<(i64, Option<u8>)> = chunks.concat();
        // Name 7 is derived: it does not tell entries apart.
        let identity = |entry: &(i64, Option<u8>)| (entry.0, entry.1.filter(|name| *name != 7));
        let mut want: Vec<(i64, Option<u8>)> = Vec::new();
        all.iter().for_each(|entry| if !want.iter().any(|known| identity(known) == identity(entry)) { want.push(*entry) });
        want.sort_by_key(|entry| entry.0);
        let chunks: Vec<Rows> = chunks.iter().map(|chunk| rows_of_names(chunk)).collect();
        let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("small");
        prop_assert_eq!(merged.duplicates, all.len() - want.len());
        let want = rows_of_names(&want);
        prop_assert_eq!(merged.rows.timestamps(), want.timestamps());
        let by_name = |rows: &Rows| {
            let mut columns = rows.columns().to_vec();
            columns.sort_by(|one, two| one.name().cmp(two.name()));
            columns
        };
        prop_assert_eq!(by_name(&merged.rows), by_name(&want));
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]
    #[test]
    fn agrees_with_the_naive_way(entries in proptest::collection::vec((0i64..6, 0u8..4, 0u8..3), 0..60), cut in 0usize..60) {
        let entries: Vec<_> = entries.iter().map(|(at, line, trace)| (*at, ["", "a", "bb", "c"][*line as usize], ["", "x", "y"][*trace as usize])).collect();
        let (one, two) = entries.split_at(cut.min(entries.len()));
        let mut want: Vec<(i64, &str, &str)> = Vec::new();
        entries.iter().for_each(|entry| if !want.contains(entry) { want.push(*entry) });
        want.sort_by_key(|entry| entry.0);
        let merged = merge_rows(&[&rows(one), &rows(two)]).expect("small");
        prop_assert_eq!(merged.rows.len(), want.len());
        for (row, (at, line, trace)) in want.iter().enumerate() {
            prop_assert!(merged.rows.same_entry(row, &rows(&[(*at, line, trace)]), 0));
        }
    }
}
