use super::*;

fn sample() -> Rows {
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(2), b"two");
    builder.set_metadata("trace", b"x", false);
    builder.set_metadata("detected_level", b"info", true);
    builder.push(Timestamp(1), b"");
    builder.push(Timestamp(3), b"three");
    builder.set_metadata("span", b"y", false);
    builder.finish()
}

#[test]
fn keeps_arrival_order_and_metadata() {
    let rows = sample();
    assert_eq!((rows.len(), rows.line(0), rows.line(1), rows.line(2)), (3, &b"two"[..], &b""[..], &b"three"[..]));
    assert!(!rows.is_sorted());
    assert_eq!(rows.time_span(), Some((Timestamp(1), Timestamp(3))));
    assert_eq!(rows.pushed_bytes(), 8 + 6 + 5);
    assert_eq!(rows.pushed_bytes_by_row(), [3 + 6, 0, 5 + 5]);
    let sorted = rows.gather(&[1, 0, 2]);
    assert_eq!(sorted.timestamps(), [1, 2, 3]);
    assert!(sorted.same_entry(1, &rows, 0));
}

#[test]
fn derived_metadata_is_no_part_of_an_entry() {
    let rows = sample();
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(2), b"two");
    builder.set_metadata("trace", b"x", false);
    builder.set_metadata("detected_level", b"error", true);
    assert!(rows.same_entry(0, &builder.clone().finish(), 0));
    builder.push(Timestamp(2), b"two");
    builder.set_metadata("trace", b"z", false);
    assert!(!rows.same_entry(0, &builder.finish(), 1));
}

#[test]
fn slices_and_joins_keep_every_column() {
    let rows = sample();
    let parts: Vec<Rows> = vec![rows.slice(0..1), rows.slice(1..1), rows.slice(1..3)];
    let joined = Rows::concat(&parts.iter().collect::<Vec<_>>());
    assert_eq!(joined.timestamps(), rows.timestamps());
    for row in 0..rows.len() {
        assert!(joined.same_entry(row, &rows, row));
    }
    assert_eq!(joined.columns().len(), 3);
    assert_eq!(rows.slice(2..3).line(0), b"three");
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    assert!(Rows::from_columns(vec![1], vec![], vec![], vec![]).is_err());
    assert!(Rows::from_columns(vec![1, 2], vec![3, 2], vec![0; 2], vec![]).is_err());
    assert!(Rows::from_columns(vec![1], vec![1], vec![0; 2], vec![]).is_err());
}
