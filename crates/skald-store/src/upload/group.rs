//! What to upload together, and when.

use crate::tier::{Queued, age};
use crate::{ObjectName, Origin, TableId};
use skald_model::{DiskId, GenerationPart, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Most objects that are joined at once: each holds a block in memory meanwhile.
const MEMBERS_MAX: usize = 32;

/// Objects that can be joined.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct GroupId {
    pub(super) table: TableId,
    pub(super) class: String,
    disk: DiskId,
}

/// Objects of a group that are uploaded as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) id: GroupId,
    /// In the order of their generations.
    pub(super) members: Vec<Queued>,
}

impl GroupId {
    pub(super) fn disk(&self) -> DiskId {
        self.disk
    }
}

impl Batch {
    pub(super) fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size).sum()
    }

    fn oldest(&self) -> Timestamp {
        self.members.iter().map(|member| member.since).min().unwrap_or(Timestamp::MAX)
    }
}

/// When a group is due.
pub(super) struct Due<'a> {
    pub(super) target_size: u64,
    pub(super) max_delay: Duration,
    pub(super) now: Timestamp,
    /// Whether everything is due.
    pub(super) all: bool,
    /// Objects that go by themselves.
    pub(super) alone: &'a HashSet<String>,
}

/// The group of an incoming object, and which rows it has.
pub(super) fn group_of(name: &ObjectName) -> Option<(GroupId, GenerationPart, GenerationPart)> {
    match name.origin {
        Origin::Incoming { disk, first, last, .. } => {
            Some((GroupId { table: name.table.clone(), class: name.class.clone(), disk }, first, last))
        }
        Origin::Merged { .. } => None,
    }
}

/// The batches that are due, the oldest first. A group that holds the target size is cut at it; what is left over waits for more, or for its time.
pub(super) fn batches(queued: Vec<Queued>, due: &Due<'_>) -> Vec<Batch> {
    let mut groups: BTreeMap<GroupId, Vec<Queued>> = BTreeMap::new();
    for object in queued {
        if let Some((id, ..)) = group_of(&object.name) {
            groups.entry(id).or_default().push(object);
        }
    }
    let mut batches: Vec<Batch> = groups.into_iter().flat_map(|(id, members)| cut(id, members, due)).collect();
    batches.sort_by_key(Batch::oldest);
    batches
}

fn cut(id: GroupId, mut members: Vec<Queued>, due: &Due<'_>) -> Vec<Batch> {
    members.sort_by(|one, two| one.name.cmp(&two.name));
    let empty = || Batch { id: id.clone(), members: Vec::new() };
    let (mut full, mut open) = (Vec::new(), empty());
    for member in members {
        if due.alone.contains(&member.path) {
            full.push(Batch { id: id.clone(), members: vec![member] });
            continue;
        }
        let too_large = open.bytes().saturating_add(member.size) > due.target_size && !open.members.is_empty();
        if too_large || open.members.len() == MEMBERS_MAX {
            full.push(std::mem::replace(&mut open, empty()));
        }
        open.members.push(member);
    }
    let waited = age(open.oldest(), due.now) >= due.max_delay;
    if !open.members.is_empty() && (due.all || waited || open.bytes() >= due.target_size) {
        full.push(open);
    }
    full
}

/// The name of the object that takes the place of some of a group: their own, where there is one alone.
pub(super) fn joined_name(members: &[ObjectName]) -> Option<ObjectName> {
    let [first, rest @ ..] = members else { return None };
    if rest.is_empty() {
        return Some(first.clone());
    }
    let (id, ..) = group_of(first)?;
    let parts: Vec<_> = members.iter().filter_map(group_of).collect();
    let first = parts.iter().map(|(_, first, _)| *first).min()?;
    let last = parts.iter().map(|(.., last)| *last).max()?;
    let origin = Origin::Incoming { disk: id.disk, first, last, attempt: 0 };
    let mut name = ObjectName { table: id.table, origin, class: id.class };
    // Two objects of one part: their join has the name that one of them has.
    while members.contains(&name) {
        name = name.next_attempt();
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::{Day, Generation, TenantId};

    fn object(tenant: &str, generation: u64, size: u64, since: i64) -> Queued {
        let table = TableId { tenant: TenantId::parse(tenant).expect("valid"), day: Day(1) };
        let at = GenerationPart { generation: Generation(generation), part: 0 };
        let name = ObjectName::incoming(table, DiskId(1), at, "default");
        Queued { path: name.to_string(), name, size, since: Timestamp::from_secs(since) }
    }

    #[track_caller]
    fn check(queued: Vec<Queued>, all: bool, alone: &[&Queued], want: &[&[u64]]) {
        let alone = alone.iter().map(|object| object.path.clone()).collect();
        let (max_delay, now) = (Duration::from_secs(60), Timestamp::from_secs(100));
        let due = Due { target_size: 100, max_delay, now, all, alone: &alone };
        let generation = |member: &Queued| group_of(&member.name).map_or(0, |(_, first, _)| first.generation.0);
        let found: Vec<Vec<u64>> = batches(queued, &due).iter().map(|batch| batch.members.iter().map(generation).collect()).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_group_is_due_by_its_size_by_its_age_and_when_all_is() {
        check(vec![object("a", 1, 40, 90), object("a", 2, 59, 90)], false, &[], &[]);
        check(vec![object("a", 1, 40, 90), object("a", 2, 60, 90)], false, &[], &[&[1, 2]]);
        check(vec![object("a", 1, 40, 40), object("a", 2, 1, 90)], false, &[], &[&[1, 2]]);
        check(vec![object("a", 1, 40, 90), object("a", 2, 1, 90)], true, &[], &[&[1, 2]]);
        check(vec![object("a", 1, 40, 200)], false, &[], &[]);
    }

    #[test]
    fn tables_are_never_mixed_and_the_oldest_goes_first() {
        check(vec![object("a", 1, 60, 90), object("b", 2, 60, 90)], false, &[], &[]);
        check(vec![object("a", 1, 10, 20), object("b", 2, 10, 10)], false, &[], &[&[2], &[1]]);
    }

    #[test]
    fn a_large_group_is_cut_and_its_rest_waits() {
        check(vec![object("a", 1, 60, 90), object("a", 2, 60, 90), object("a", 3, 30, 90)], false, &[], &[&[1]]);
        check(vec![object("a", 1, 300, 90), object("a", 2, 60, 90)], false, &[], &[&[1]]);
        let many: Vec<Queued> = (0..40).map(|generation| object("a", generation, 1, 90)).collect();
        check(many, false, &[], &[&(0..32).collect::<Vec<u64>>()]);
    }

    #[test]
    fn what_cannot_be_joined_goes_by_itself_at_once() {
        let odd = object("a", 2, 10, 90);
        check(vec![object("a", 1, 50, 90), odd.clone(), object("a", 3, 50, 90)], false, &[&odd], &[&[2], &[1, 3]]);
    }

    #[test]
    fn a_join_is_named_by_its_first_and_last_rows_and_never_as_a_member() {
        let [one, two] = [object("a", 1, 1, 1).name, object("a", 4, 1, 1).name];
        assert_eq!(joined_name(std::slice::from_ref(&one)), Some(one.clone()));
        let joined = joined_name(&[one.clone(), two]).expect("they are incoming").to_string();
        assert!(joined.ends_with("-0000000001-0+0000000004-0-default"), "{joined}");
        let again = joined_name(&[one.clone(), one.next_attempt()]).expect("they are incoming");
        assert_eq!(again, one.next_attempt().next_attempt());
    }
}
