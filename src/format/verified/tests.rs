//! Tests of records of what was verified: they come back, stay small, and never say too much.

use proptest::prelude::*;

use super::*;

fn name(n: u8) -> PackName {
    PackName([n; 32])
}

fn verification(time: u64) -> Verification {
    Verification { time, program: "haulout 0.2.0".to_owned() }
}

fn depths(by: [u16; DEPTHS]) -> Depths {
    by.map(By)
}

/// One group of three packs, and one snapshot.
fn example() -> Verified {
    let names: Vec<PackName> = (1..=3).map(name).collect();
    let packs = vec![depths([2, 1, 1, 0]), depths([2, 1, 1, 0]), depths([2, 0, 0, 0])];
    Verified {
        verifications: vec![verification(1000), verification(1300)],
        groups: BTreeMap::from([(GroupKey::of(&names).unwrap(), packs)]),
        snapshots: BTreeMap::from([(SnapshotId([9; 32]).into(), depths([2, 1, 1, 0]))]),
    }
}

#[test]
fn a_record_has_the_bytes_that_the_specification_gives() {
    let digest = blake3::hash(&[[1; 32], [2; 32], [3; 32]].concat());
    let mut golden = vec![1, 2, 0xe8, 7, 13];
    golden.extend_from_slice(b"haulout 0.2.0\xac\x02\x0dhaulout 0.2.0\x01");
    golden.extend_from_slice(&[1; 8]);
    golden.extend_from_slice(&digest.as_bytes()[..8]);
    // Three packs; blocks and objects follow, and stored says what blocks does.
    golden.extend_from_slice(&[3, 0b101, 2, 2, 1, 1, 0, 1, 3, 2, 1]);
    golden.extend_from_slice(&[9; 16]);
    golden.extend_from_slice(&[0b101, 0, 1]);
    assert_eq!(example().encode(), golden);
    assert_eq!(Verified::decode(&golden), Ok(example()));
    for cut in 0..golden.len() {
        assert!(Verified::decode(&golden[..cut]).is_err(), "{cut} bytes");
    }
    assert!(Verified::decode(&[&golden[..], &[0]].concat()).is_err());
    let other = Verified::decode(&[&[2], &golden[1..]].concat()).unwrap_err();
    assert_eq!(other.why, UNKNOWN_VERSION);
    assert_eq!(Verified::decode(&[1, 0, 0, 0]), Ok(Verified::default()));
}

#[test]
fn what_no_writer_writes_is_refused() {
    let with = |change: &dyn Fn(&mut Verified)| {
        let mut record = example();
        change(&mut record);
        Verified::decode(&record.encode())
    };
    let packs = |record: &mut Verified, pack: Depths| {
        record.groups.values_mut().for_each(|packs| packs[0] = pack);
    };
    assert!(with(&|_| {}).is_ok());
    assert!(with(&|record| packs(record, depths([3, 1, 1, 0]))).is_err(), "no such verification");
    assert!(with(&|record| packs(record, depths([1, 2, 1, 0]))).is_err(), "a deeper one is later");
    assert!(with(&|record| record.verifications.push(verification(1300))).is_err(), "twice");
    assert!(with(&|record| record.verifications[0].program = "x".repeat(256)).is_err());
    let many = |record: &mut Verified| {
        let times = 0..u64_of(VERIFICATIONS_MAX);
        record.verifications.extend(times.map(|time| verification(2000 + time)));
    };
    assert!(with(&many).is_err(), "too many verifications");
}

#[test]
fn of_two_records_the_later_counts_and_nothing_of_either_is_lost() {
    let key = *example().groups.keys().next().unwrap();
    let mut other = example();
    other.verifications = vec![verification(900), verification(1100)];
    other.groups.insert(key, vec![depths([2, 2, 0, 0]); 3]);
    let foreign = GroupKey::of(&[name(7)]).unwrap();
    other.groups.insert(foreign, vec![depths([1, 0, 0, 0])]);
    other.snapshots = BTreeMap::from([(SnapshotId([8; 32]).into(), depths([1, 1, 1, 1]))]);
    for records in [vec![example(), other.clone()], vec![other.clone(), example()]] {
        let mut merged = Verified::merge(records);
        merged.tidy(&|_| false);
        // They are those of 900, 1000, 1100 and 1300.
        let times: Vec<u64> = merged.verifications.iter().map(|one| one.time).collect();
        assert_eq!(times, [900, 1000, 1100, 1300]);
        let both = [depths([4, 3, 2, 0]), depths([4, 3, 2, 0]), depths([4, 3, 0, 0])];
        assert_eq!(merged.groups[&key], both);
        assert_eq!(merged.groups[&foreign], [depths([1, 0, 0, 0])]);
        assert_eq!(merged.snapshots[&SnapshotId([9; 32]).into()], depths([4, 2, 2, 0]));
        assert_eq!(merged.snapshots[&SnapshotId([8; 32]).into()], depths([1, 1, 1, 1]));
        assert_eq!(Verified::decode(&merged.encode()), Ok(merged));
    }
}

#[test]
fn a_time_that_is_passed_over_takes_nothing_from_what_was_verified_before() {
    let mut record = example();
    record.tidy(&|verification| verification.time > 1200);
    assert_eq!(record.verifications, [verification(1000)]);
    let packs = record.groups.values().next().unwrap();
    assert_eq!(*packs, [[1, 1, 1, 0], [1, 1, 1, 0], [0; 4]].map(depths));
    record.tidy(&|_| true);
    assert_eq!(record, Verified::default());
}

/// Returns a record of this many groups in this many verifications, with the shortest runs.
fn scattered(groups: u64, verifications: u16) -> Verified {
    let mut record = Verified::default();
    let times = (0..verifications).map(|at| verification(1_795_000_000 + 3600 * u64::from(at)));
    record.verifications = times.collect();
    for group in 0..groups {
        let hash = |at: usize| {
            PackName(*blake3::hash(&[group, u64_of(at)].map(u64::to_le_bytes).concat()).as_bytes())
        };
        let names: Vec<PackName> = (0..PACK_TABLE_NODE).map(hash).collect();
        let by = |name: &PackName| {
            let mut by = [0, 8, 16, 24].map(|at| {
                let number = u16::from_le_bytes([name.0[at], name.0[at + 1]]);
                By(number % (verifications + 1))
            });
            by.sort_unstable_by(|a, b| b.cmp(a));
            by
        };
        record.groups.insert(GroupKey::of(&names).unwrap(), names.iter().map(by).collect());
    }
    record
}

#[test]
fn a_record_is_as_small_as_the_specification_says_whatever_was_verified_when() {
    for (groups, bytes_max) in [(4, 21 << 10), (40, 49 << 10), (400, 327 << 10)] {
        let mut record = scattered(groups, 5000);
        let before = record.clone();
        record.tidy(&|_| false);
        let text = record.encode();
        assert!(text.len() <= bytes_max, "{groups} groups: {} bytes", text.len());
        assert_eq!(Verified::decode(&text).as_ref(), Ok(&record));
        let time = |record: &Verified, by: By| record.verification(by).map(|one| one.time);
        for (key, packs) in &record.groups {
            for (now, then) in packs.iter().flatten().zip(before.groups[key].iter().flatten()) {
                assert!(time(&record, *now) <= time(&before, *then), "nothing is said too late");
            }
        }
    }
    // A cycle of slices that took packs in the order of the table, and one look at all names.
    let mut usual = scattered(400, 60);
    let mut at = 0;
    for packs in usual.groups.values_mut() {
        at += 1;
        packs.fill(depths([60, at / 10, at / 10, 0]));
    }
    usual.tidy(&|_| false);
    let bytes = usual.encode().len();
    assert!(bytes <= 400 * 32, "{bytes} bytes");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(record) = Verified::decode(&bytes) {
            prop_assert!(record.encode().len() <= bytes.len());
        }
    }

    #[test]
    fn records_come_back(
        times in prop::collection::btree_set(0u64..1000, 1..20),
        packs in prop::collection::vec(any::<[u16; DEPTHS]>(), 1..=PACK_TABLE_NODE),
        snapshot in any::<[u16; DEPTHS]>(),
    ) {
        let known = u16::try_from(times.len()).unwrap();
        let by = |numbers: [u16; DEPTHS]| {
            let mut by = numbers.map(|number| By(number % (known + 1)));
            by.sort_unstable_by(|a, b| b.cmp(a));
            by
        };
        let names = (0..packs.len()).map(|at| PackName([u8::try_from(at).unwrap(); 32]));
        let names: Vec<PackName> = names.collect();
        let key = GroupKey::of(&names).unwrap();
        let mut record = Verified {
            verifications: times.into_iter().map(verification).collect(),
            groups: BTreeMap::from([(key, packs.into_iter().map(by).collect())]),
            snapshots: BTreeMap::from([(SnapshotKey([7; 16]), by(snapshot))]),
        };
        record.tidy(&|_| false);
        prop_assert_eq!(Verified::decode(&record.encode()), Ok(record));
    }
}
