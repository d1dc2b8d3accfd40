//! Frames of the write-ahead log and of the wire between processes.

use crate::Target;
use skald_model::{Labels, Rows, RowsBuilder, TenantId, Timestamp};
use skald_proto::{decode_frame, encode_frame};

pub(crate) const FRAME: Target = Target {
    name: "frame",
    about: "the record of the write-ahead log; what was decoded is encoded and decoded to the same",
    seeds,
    tokens: &[],
    run: |bytes| {
        let Ok((tenant, streams)) = decode_frame(bytes.to_vec().into()) else { return };
        let borrowed: Vec<(Labels, &Rows)> = streams.iter().map(|(labels, rows)| (labels.clone(), rows)).collect();
        let again = decode_frame(encode_frame(&tenant, &borrowed).into()).expect("our own frame");
        assert_eq!(again, (tenant, streams));
    },
};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let rows = |count: usize| {
        let mut rows = RowsBuilder::default();
        for i in 0..count {
            rows.push(Timestamp(1_768_435_200_000_000_000 + i as i64), format!("line {i}").as_bytes());
            rows.set_metadata("trace", &[i as u8; 3], false);
            rows.set_metadata("detected_level", b"info", true);
        }
        rows.finish()
    };
    let labels = |app: &str| Labels::from_pairs([("app", app), ("pod", "p")]).expect("names differ");
    let (one, many) = (rows(1), rows(40));
    let tenant = TenantId::parse("team-a").expect("valid");
    vec![encode_frame(&tenant, &[(labels("a"), &many), (labels("b"), &one)]), encode_frame(&tenant, &[(Labels::empty(), &one)])]
}
