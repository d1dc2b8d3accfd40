use super::*;
use crate::{Rows, RowsBuilder, Timestamp};
use proptest::prelude::*;

fn built(values: &[Vec<u8>]) -> Column {
    let mut builder = ColumnBuilder::default();
    values.iter().enumerate().for_each(|(row, value)| builder.set(row, value));
    builder.finish("n".into(), false, values.len())
}

fn plain(values: &[Vec<u8>]) -> Column {
    let ends = values.iter().scan(0, |end, value| {
        *end += value.len() as u32;
        Some(*end)
    });
    Column::plain("n".into(), false, ends.collect(), values.concat())
}

fn dictionary(values: &[Vec<u8>]) -> Column {
    let mut words: Vec<&Vec<u8>> = Vec::new();
    let ids = values.iter().map(|value| {
        words.iter().position(|word| *word == value).unwrap_or_else(|| {
            words.push(value);
            words.len() - 1
        }) as u32
    });
    let ids = ids.collect();
    let mut bytes = Vec::new();
    let ends = words.iter().map(|word| {
        bytes.extend_from_slice(word);
        bytes.len() as u32
    });
    let ends = ends.collect();
    Column::dictionary_of("n".into(), false, ids, ends, bytes)
}

#[test]
fn rows_left_out_are_empty() {
    let mut builder = ColumnBuilder::default();
    builder.set(1, b"one");
    builder.set(3, b"three");
    let column = builder.finish("n".into(), false, 5);
    let values: Vec<_> = (0..5).map(|row| column.value(row)).collect();
    assert_eq!(values, [&b""[..], b"one", b"", b"three", b""]);
}

#[test]
fn dictionary_and_plain_answer_alike() {
    let column = Column::dictionary_of("n".into(), true, vec![1, 0, 1], vec![0, 2], b"ab".to_vec());
    assert_eq!((column.value(0), column.value(1), column.value(2)), (&b"ab"[..], &b""[..], &b"ab"[..]));
    let (ids, words) = column.dictionary().expect("made as one");
    assert_eq!((ids, words), (&[1, 0, 1][..], vec![&b""[..], b"ab"]));
}

#[test]
fn few_values_cost_nothing_for_the_other_rows() {
    let column = |rows: &[usize], len| {
        let mut builder = ColumnBuilder::default();
        rows.iter().for_each(|row| builder.set(*row, b"value"));
        builder.finish("n".into(), false, len)
    };
    for rows in [&[0][..], &[999_999], &[3, 17, 500_000], &[]] {
        let column = column(rows, 1_000_000);
        assert_eq!((column.len(), column.present_len()), (1_000_000, rows.len()));
        assert!(column.heap_bytes() < 128, "{rows:?} take {} bytes", column.heap_bytes());
        assert!(rows.iter().all(|row| column.value(*row) == b"value"));
    }
    // Rows that come late, and then all have a value, are kept as a bound each.
    let late: Vec<usize> = (1000..9000).collect();
    assert!(matches!(column(&late, 9000).values, Values::Plain { .. }));
}

#[test]
fn wire_and_builder_choose_the_same_form() {
    for (every, sparse) in [(1, false), (7, false), (8, false), (9, true), (100, true)] {
        let values: Vec<Vec<u8>> = (0..10 * every).map(|row| if row % every == 0 { b"v".to_vec() } else { Vec::new() }).collect();
        for column in [built(&values), plain(&values)] {
            assert_eq!(matches!(column.values, Values::Sparse(_)), sparse, "every {every}");
        }
    }
}

#[test]
#[should_panic(expected = "row 100 of a column of 100 rows")]
fn a_row_past_the_end_panics_though_few_have_a_value() {
    let mut builder = ColumnBuilder::default();
    builder.set(3, b"x");
    builder.finish("n".into(), false, 100).value(100);
}

/// Values of which some, or next to none, are present, in stretches.
fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let stretch = prop_oneof![
        (0usize..60).prop_map(|len| vec![Vec::new(); len]),
        prop::collection::vec("[a-c]{0,2}".prop_map(String::into_bytes), 0..20),
        Just(vec![b"lone".to_vec()]),
    ];
    prop::collection::vec(stretch, 0..8).prop_map(|stretches| stretches.concat())
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn every_form_answers_alike(values in values(), from: prop::sample::Index, to: prop::sample::Index) {
        let [from, to] = [from, to].map(|at| at.index(values.len() + 1));
        let range = from.min(to)..from.max(to);
        let want: Vec<(usize, &[u8])> = range.clone().filter(|row| !values[*row].is_empty()).map(|row| (row, &values[row][..])).collect();
        let forms = [built(&values), plain(&values), dictionary(&values)];
        for column in &forms {
            prop_assert_eq!(column.len(), values.len());
            prop_assert!((0..values.len()).all(|row| column.value(row) == values[row]));
            prop_assert_eq!(column.present_len(), values.iter().filter(|value| !value.is_empty()).count());
            prop_assert_eq!(column.present(range.clone()).collect::<Vec<_>>(), want.clone());
            prop_assert!(forms.iter().all(|other| column == other));
            prop_assert!(column.value_bytes().is_none_or(|bytes| bytes == values.concat()));
        }
    }

    #[test]
    fn a_changed_value_makes_columns_differ(values in values(), at: prop::sample::Index) {
        let mut changed = values.clone();
        changed.push(Vec::new());
        prop_assert_ne!(built(&values), built(&changed));
        let mut other = changed.clone();
        let at = at.index(other.len());
        other[at].push(b'!');
        prop_assert_ne!(built(&changed), built(&other));
        prop_assert_ne!(plain(&changed), dictionary(&other));
    }

    #[test]
    fn columns_are_extended_stretch_by_stretch(parts in prop::collection::vec((values(), 0usize..3, 0usize..30), 0..6)) {
        let (mut builder, mut want) = (ColumnBuilder::default(), Vec::new());
        for (values, form, skipped) in &parts {
            want.resize(want.len() + skipped, Vec::new());
            let column = [built, plain, dictionary][*form](values);
            let cut = values.len() / 3;
            for range in [0..cut, cut..values.len()] {
                builder.extend(want.len() + range.start, &column, range);
            }
            want.extend(values.iter().cloned());
        }
        prop_assert_eq!(builder.is_empty(), want.iter().all(Vec::is_empty));
        prop_assert_eq!(builder.finish("n".into(), false, want.len()), plain(&want));
    }

    #[test]
    fn present_columns_find_every_value(columns in prop::collection::vec(prop::collection::vec((0usize..40, "[a-c]{1,2}"), 0..12), 0..6)) {
        let rows = rows_of(&columns, 40);
        let present = PresentColumns::new(&rows);
        for row in 0..rows.len() {
            let mut found: Vec<(usize, &[u8])> = present.values(rows.columns(), row).collect();
            found.sort_unstable();
            let all = rows.columns().iter().enumerate().map(|(at, column)| (at, column.value(row)));
            prop_assert_eq!(found, all.filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>());
        }
    }
}

/// Rows with a metadata name per list of rows and values; of two values for a row the first stays.
fn rows_of(columns: &[Vec<(usize, String)>], len: usize) -> Rows {
    let mut builder = RowsBuilder::default();
    for row in 0..len {
        builder.push(Timestamp(row as i64), b"line");
        for (i, column) in columns.iter().enumerate() {
            if let Some((_, value)) = column.iter().find(|(at, _)| *at == row) {
                builder.set_metadata(&format!("name{i}"), value.as_bytes(), false);
            }
        }
    }
    builder.finish()
}
