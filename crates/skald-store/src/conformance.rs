//! The promises of [`ObjectStore`] as a test that any backend can run.

use crate::{ObjectMeta, ObjectStore, StoreError};
use bytes::Bytes;
use futures::future::join_all;

/// Racing puts of one name.
const RACERS: usize = 16;

/// Checks every promise that a single process can see, under the folder `folder`, which is empty before and after.
///
/// # Panics
/// When the store breaks a promise.
pub async fn suite(store: &dyn ObjectStore, folder: &str) {
    let at = |name: &str| format!("{folder}/{name}");
    reads_what_was_put(store, &at("put")).await;
    refuses_ranges_past_the_end(store, &at("ranges")).await;
    lets_one_racer_win(store, &at("race")).await;
    lists_whole_folders_in_order(store, &at("list")).await;
    deletes_for_good(store, &at("delete")).await;
    refuses_odd_names(store).await;
    assert_eq!(names(store, &format!("{folder}/")).await, [""; 0], "the suite cleans up");
}

async fn reads_what_was_put(store: &dyn ObjectStore, name: &str) {
    let missing = store.get_range(name, 0..0).await;
    assert!(matches!(&missing, Err(StoreError::NotFound(found)) if found == name), "{missing:?}");
    put(store, name, "one").await;
    assert_eq!(get(store, name, 3).await, "one");
    put(store, name, "longer").await;
    assert_eq!(get(store, name, 6).await, "longer", "a put replaces");
    put(store, name, "").await;
    assert_eq!(get(store, name, 0).await, "", "an object may be empty");
    let large = Bytes::from(vec![7; 3 << 20]);
    store.put(name, large.clone()).await.expect("put");
    assert!(store.get_range(name, 0..large.len() as u64).await.expect("get") == large);
    delete(store, name).await;
}

async fn refuses_ranges_past_the_end(store: &dyn ObjectStore, name: &str) {
    put(store, name, "0123456789").await;
    for (range, want) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (4..4, ""), (10..10, "")] {
        assert_eq!(store.get_range(name, range.clone()).await.expect("get"), want, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "such a range is one of the cases")]
    let refused = [0..11, 10..11, 11..11, 5..u64::MAX, u64::MAX..u64::MAX, 5..3];
    for range in refused {
        let got = store.get_range(name, range.clone()).await;
        assert!(matches!(&got, Err(StoreError::OutOfRange { end, .. }) if *end == range.end), "{range:?}: {got:?}");
    }
    put(store, name, "").await;
    let got = store.get_range(name, 0..1).await;
    assert!(matches!(&got, Err(StoreError::OutOfRange { end: 1, .. })), "an empty object ends at once: {got:?}");
    let ranges = store.get_ranges(name, vec![0..0, 0..0]).await.expect("get");
    assert!(ranges == [Bytes::new(), Bytes::new()]);
    delete(store, name).await;
}

async fn lets_one_racer_win(store: &dyn ObjectStore, name: &str) {
    for round in 0..8 {
        let name = format!("{name}/{round}");
        let bytes = |racer: usize| Bytes::from(format!("{racer:02}").repeat(1000));
        let results = join_all((0..RACERS).map(|racer| store.put_if_absent(&name, bytes(racer)))).await;
        let winners: Vec<usize> = (0..RACERS).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        for lost in results.into_iter().filter_map(Result::err) {
            assert!(matches!(&lost, StoreError::AlreadyExists(taken) if *taken == name), "{lost:?}");
        }
        assert_eq!(store.get_range(&name, 0..2000).await.expect("get"), bytes(winners[0]));
        delete(store, &name).await;
        store.put_if_absent(&name, bytes(0)).await.expect("a deleted name is free");
        delete(store, &name).await;
    }
}

async fn lists_whole_folders_in_order(store: &dyn ObjectStore, folder: &str) {
    let inside = ["a", "a-b/x", "b/x", "b/y/z", "b.x", "ba/x", "é"].map(|name| format!("{folder}/{name}"));
    for name in &inside {
        put(store, name, name).await;
    }
    let mut sorted = inside.to_vec();
    sorted.sort();
    assert_eq!(names(store, &format!("{folder}/")).await, sorted);
    assert_eq!(names(store, &format!("{folder}/b/")).await, [format!("{folder}/b/x"), format!("{folder}/b/y/z")]);
    assert_eq!(names(store, &format!("{folder}/a/")).await, [""; 0], "an object is no folder");
    assert_eq!(names(store, &format!("{folder}/none/")).await, [""; 0]);
    let all = names(store, "").await;
    assert!(all.is_sorted() && sorted.iter().all(|name| all.contains(name)));
    let listed = store.list(&format!("{folder}/b/y/")).await.expect("list");
    let name = format!("{folder}/b/y/z");
    let [ObjectMeta { name: found, size, .. }] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((found, *size), (&name, name.len() as u64));
    for name in &inside {
        delete(store, name).await;
    }
}

async fn deletes_for_good(store: &dyn ObjectStore, name: &str) {
    delete(store, name).await;
    put(store, name, "x").await;
    get(store, name, 1).await;
    delete(store, name).await;
    delete(store, name).await;
    let got = store.get_range(name, 0..1).await;
    assert!(matches!(got, Err(StoreError::NotFound(_))), "{got:?}");
    let inner = format!("{name}/inner");
    put(store, &inner, "x").await;
    let got = store.get_range(name, 0..1).await;
    assert!(matches!(got, Err(StoreError::NotFound(_))), "a folder is no object: {got:?}");
    delete(store, name).await;
    assert_eq!(get(store, &inner, 1).await, "x", "deleting a folder's name deletes nothing");
    delete(store, &inner).await;
    let many = ["a", "b/c", "missing"].map(|part| format!("{name}/{part}"));
    put(store, &many[0], "x").await;
    put(store, &many[1], "x").await;
    store.delete_many(&many).await.expect("delete several");
    store.delete_many(&[]).await.expect("delete none");
    assert_eq!(names(store, &format!("{name}/")).await, [""; 0]);
}

async fn refuses_odd_names(store: &dyn ObjectStore) {
    let invalid = |result: Result<(), StoreError>, name: &str| {
        assert!(matches!(&result, Err(StoreError::InvalidName(_))), "{name:?}: {result:?}");
    };
    for name in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "./a", "a\0b", "a\nb"] {
        invalid(store.put(name, Bytes::new()).await, name);
        invalid(store.put_if_absent(name, Bytes::new()).await, name);
        invalid(store.get_range(name, 0..0).await.map(drop), name);
        invalid(store.delete(name).await, name);
    }
    for prefix in ["a", "/", "/a/", "a//", "../", "a/./"] {
        invalid(store.list(prefix).await.map(drop), prefix);
    }
}

async fn put(store: &dyn ObjectStore, name: &str, text: &str) {
    store.put(name, Bytes::copy_from_slice(text.as_bytes())).await.expect("put");
}

async fn get(store: &dyn ObjectStore, name: &str, len: u64) -> Bytes {
    store.get_range(name, 0..len).await.expect("get")
}

async fn delete(store: &dyn ObjectStore, name: &str) {
    store.delete(name).await.expect("delete");
}

async fn names(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.expect("list").into_iter().map(|object| object.name).collect()
}
