//! Power cuts and failing calls at every point of the writer's protocol.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use crate::store::local::sim::Found;
use crate::store::local::sim::Sabotage;
use crate::store::local::sim::SimDisk;
use crate::store::local::sim::SimFailure;
use crate::store::local::writer::Failure;
use crate::store::local::writer::TEMPORARY_PREFIX;
use crate::store::local::writer::Writer;
use crate::store::name::ObjectName;

const ROOT: &str = "/store";

/// The objects that are put, in this order: new directories, known ones, the same again, an empty
/// object.
const OBJECTS: [(&str, &str); 6] = [
    ("packs/ab/one", "the bytes of one"),
    ("packs/ab/two", "the bytes of two, which are a few more"),
    ("packs/cd/three", "three"),
    ("packs/ab/one", "the bytes of one"),
    ("snapshots/s/none", ""),
    ("config", "the bytes of config"),
];

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// Returns the text in several parts, some of them empty.
fn payload(text: &'static str) -> Vec<Bytes> {
    let (first, second) = text.split_at(text.len() / 3);
    ["", first, "", second, ""].map(|part| Bytes::from_static(part.as_bytes())).into()
}

fn writer(disk: SimDisk) -> Writer<SimDisk> {
    Writer::new(disk, ROOT.into(), 1)
}

fn put(writer: &Writer<SimDisk>, object: &str, text: &'static str) -> Result<(), Failure> {
    writer.put(&name(object), &payload(text))
}

/// Puts everything, and returns which objects were acknowledged.
fn put_all(writer: &Writer<SimDisk>) -> BTreeMap<&'static str, &'static str> {
    OBJECTS.into_iter().filter(|(object, text)| put(writer, object, text).is_ok()).collect()
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with(TEMPORARY_PREFIX)
}

/// Says what is wrong with what is found after a power cut, if anything is.
fn fault_of(found: &Found, acknowledged: &BTreeMap<&str, &str>) -> Option<String> {
    for (object, text) in acknowledged {
        match found.get(&Path::new(ROOT).join(object)) {
            None => return Some(format!("{object} was acknowledged and is lost")),
            Some(bytes) if bytes != text.as_bytes() => {
                return Some(format!("{object} was acknowledged and is torn"));
            }
            Some(_) => {}
        }
    }
    for (path, bytes) in found.iter().filter(|(path, _)| !is_temporary(path)) {
        let object = path.strip_prefix(ROOT).unwrap().to_str().unwrap();
        let expected = OBJECTS.into_iter().find(|(own, _)| *own == object).unwrap().1;
        if bytes != expected.as_bytes() {
            return Some(format!("{object} is visible and torn"));
        }
    }
    None
}

/// Cuts the power before every operation of the series; gives the faults and the states seen.
fn cut_everywhere(disk: impl Fn() -> SimDisk) -> (Vec<String>, u64) {
    let (mut faults, mut states) = (Vec::new(), 0);
    for nth in 0.. {
        let writer = writer(disk());
        writer.disk().failure(nth, SimFailure::Cut);
        let acknowledged = put_all(&writer);
        writer.disk().after_power_cut(&mut |found| {
            states += 1;
            faults.extend(fault_of(&found, &acknowledged));
        });
        if !writer.disk().has_failed() {
            break;
        }
    }
    (faults, states)
}

#[test]
fn a_power_cut_at_any_point_loses_nothing_acknowledged_and_shows_nothing_torn() {
    let (faults, states) = cut_everywhere(|| SimDisk::new(Path::new(ROOT)));
    assert_eq!(faults, [""; 0]);
    assert!(states > 500, "only {states} states were seen");
}

#[test]
fn after_any_power_cut_everything_can_be_put_again() {
    let root = Path::new(ROOT);
    for nth in 0.. {
        let writer_before = writer(SimDisk::new(root));
        writer_before.disk().failure(nth, SimFailure::Cut);
        let acknowledged = put_all(&writer_before);
        writer_before.disk().after_power_cut(&mut |found| {
            let again = writer(SimDisk::rebooted(root, &found));
            assert_eq!(put_all(&again).len(), 5, "all five objects, cut before {nth}");
            again.disk().after_power_cut(&mut |found| {
                assert_eq!(fault_of(&found, &put_all(&again)), None);
                assert_eq!(fault_of(&found, &acknowledged), None);
            });
        });
        if !writer_before.disk().has_failed() {
            break;
        }
    }
}

#[test]
fn the_crash_model_notices_every_step_that_is_left_out() {
    for sabotage in [
        Sabotage::SkipSync,
        Sabotage::SkipSyncDirectory,
        Sabotage::SkipSyncOfParents,
        Sabotage::PublishBeforeSync,
    ] {
        let (faults, _) = cut_everywhere(|| SimDisk::new(Path::new(ROOT)).sabotaged(sabotage));
        assert!(!faults.is_empty(), "{sabotage:?} goes unnoticed");
    }
}

#[test]
fn a_failing_call_is_reported_or_made_good() {
    for kind in [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::Other,
        ErrorKind::PermissionDenied,
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::Interrupted,
    ] {
        for failure in [SimFailure::Fail(kind), SimFailure::FailFromHere(kind)] {
            // An interrupted write is tried for ever, as it should be.
            if failure != SimFailure::FailFromHere(ErrorKind::Interrupted) {
                fail_everywhere(failure);
            }
        }
    }
}

fn fail_everywhere(failure: SimFailure) {
    for nth in 0.. {
        let writer = writer(SimDisk::new(Path::new(ROOT)));
        writer.disk().failure(nth, failure);
        let acknowledged = put_all(&writer);
        writer.disk().after_power_cut(&mut |found| {
            let fault = fault_of(&found, &acknowledged);
            assert_eq!(fault, None, "{failure:?} at {nth}");
        });
        if !writer.disk().has_failed() {
            assert_eq!(acknowledged.len(), 5);
            break;
        }
    }
}

#[test]
fn a_failing_write_leaves_no_temporary_file() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for nth in 0.. {
            let writer = writer(SimDisk::new(Path::new(ROOT)));
            writer.disk().failure(nth, SimFailure::Fail(kind));
            let acknowledged = put_all(&writer);
            let junk: Vec<_> =
                writer.disk().live().into_keys().filter(|path| is_temporary(path)).collect();
            assert!(junk.is_empty(), "{kind:?} at {nth} leaves {junk:?}");
            if !writer.disk().has_failed() {
                assert_eq!(acknowledged.len(), 5);
                break;
            }
        }
    }
}

/// Gives the number of an operation of a put: the `nth`, counted from 0, of those of that name.
fn number_of(operation: &str, nth: usize) -> u64 {
    let is_it = |number: &u64| {
        let writer = writer(SimDisk::new(Path::new(ROOT)));
        writer.disk().failure(*number, SimFailure::Fail(ErrorKind::Other));
        let _outcome = put(&writer, "config", "text");
        writer.disk().failed() == Some(operation)
    };
    (0..100).filter(is_it).nth(nth).expect("a put has such an operation")
}

#[test]
fn a_failed_fsync_of_a_file_is_made_good_by_another_file() {
    let syncs = number_of("sync", 0);
    let writer = writer(SimDisk::new(Path::new(ROOT)));
    writer.disk().failure(syncs, SimFailure::Fail(ErrorKind::Other));
    put(&writer, "config", "text").unwrap();
    writer.disk().after_power_cut(&mut |found| {
        assert_eq!(found[&Path::new(ROOT).join("config")], b"text");
    });
    let lasting = self::writer(SimDisk::new(Path::new(ROOT)));
    lasting.disk().failure(syncs, SimFailure::FailFromHere(ErrorKind::Other));
    put(&lasting, "config", "text").unwrap_err();
}

#[test]
fn after_a_failed_fsync_of_a_directory_nothing_is_acknowledged() {
    let syncs = number_of("sync", 1);
    let writer = writer(SimDisk::new(Path::new(ROOT)));
    writer.disk().failure(syncs, SimFailure::Fail(ErrorKind::Other));
    put(&writer, "config", "text").unwrap_err();
    for object in ["config", "other"] {
        let refused = put(&writer, object, "text").unwrap_err();
        assert!(refused.to_string().contains("earlier fsync failed"), "{refused}");
    }
    writer.delete(&name("config")).unwrap_err();
}

#[test]
fn a_directory_that_can_not_be_opened_once_is_not_held_against_the_disk() {
    let opens = number_of("open", 0);
    let writer = writer(SimDisk::new(Path::new(ROOT)));
    writer.disk().failure(opens, SimFailure::Fail(ErrorKind::Other));
    put(&writer, "config", "text").unwrap_err();
    put(&writer, "config", "text").unwrap();
    writer.disk().after_power_cut(&mut |found| {
        assert_eq!(found[&Path::new(ROOT).join("config")], b"text");
    });
}

#[test]
fn a_deletion_that_was_acknowledged_stays_done() {
    let writer = writer(SimDisk::new(Path::new(ROOT)));
    put_all(&writer);
    writer.delete(&name("packs/ab/one")).unwrap();
    writer.delete(&name("packs/none/at-all")).unwrap();
    writer.disk().after_power_cut(&mut |found| {
        assert!(!found.contains_key(&Path::new(ROOT).join("packs/ab/one")));
    });
}

#[test]
fn an_object_that_another_process_did_not_sync_is_made_durable() {
    let root = Path::new(ROOT);
    // The other process is killed between the rename and the sync of the directory.
    let other = writer(SimDisk::new(root));
    let before = number_of("sync", 1);
    other.disk().failure(before, SimFailure::Fail(ErrorKind::Other));
    put(&other, "config", "text").unwrap_err();
    let lost = |disk: &SimDisk| {
        let mut lost = false;
        disk.after_power_cut(&mut |found| lost |= !found.contains_key(&root.join("config")));
        lost
    };
    assert!(lost(other.disk()));
    let own = Writer::new(other.into_disk(), root.into(), 2);
    put(&own, "config", "text").unwrap();
    assert!(!lost(own.disk()));
}

#[test]
fn directories_of_an_earlier_process_are_made_durable_by_one_fsync_of_their_parent() {
    let objects = ["packs/one", "snapshots/two", "runs/three", "config"];
    let first = writer(SimDisk::new(Path::new(ROOT)));
    objects.into_iter().for_each(|object| put(&first, object, "a").unwrap());
    let own = Writer::new(first.into_disk(), ROOT.into(), 2);
    let before = own.disk().syncs();
    let more = ["packs/four", "snapshots/five", "runs/six"];
    more.into_iter().for_each(|object| put(&own, object, "b").unwrap());
    assert_eq!(own.disk().syncs() - before, 2 * 3 + 1, "each file and its directory, and the root");
}

const OLD: &str = "the old config, which is longer";
const NEW: &str = "the new config";

/// A writer with an old config that is durable.
fn with_old_config(disk: SimDisk) -> Writer<SimDisk> {
    let writer = writer(disk);
    put(&writer, "config", OLD).unwrap();
    writer
}

/// Says what is wrong with the config that is found after a power cut, if anything is.
fn fault_of_config(found: &Found, replaced: &Result<(), Failure>) -> Option<&'static str> {
    match found.get(&Path::new(ROOT).join("config")).map(Vec::as_slice) {
        Some(bytes) if bytes == NEW.as_bytes() => None,
        Some(bytes) if bytes == OLD.as_bytes() && replaced.is_err() => None,
        Some(bytes) if bytes == OLD.as_bytes() => Some("it was replaced, and is the old one"),
        Some(_) => Some("it is torn"),
        None => Some("it is gone"),
    }
}

/// Cuts the power before every operation of `replace`; gives the faults and the states seen.
fn cut_while_replacing(
    disk: impl Fn() -> SimDisk,
    replace: impl Fn(&Writer<SimDisk>) -> Result<(), Failure>,
) -> (Vec<&'static str>, u64) {
    let (mut faults, mut states) = (Vec::new(), 0);
    for nth in 0.. {
        let writer = with_old_config(disk());
        writer.disk().failure(nth, SimFailure::Cut);
        let replaced = replace(&writer);
        writer.disk().after_power_cut(&mut |found| {
            states += 1;
            faults.extend(fault_of_config(&found, &replaced));
        });
        if !writer.disk().has_failed() {
            break;
        }
    }
    (faults, states)
}

#[test]
fn a_power_cut_while_an_object_is_replaced_leaves_the_old_or_the_new_one_whole() {
    let disk = || SimDisk::new(Path::new(ROOT));
    let (faults, states) =
        cut_while_replacing(disk, |writer| writer.replace(&name("config"), &payload(NEW)));
    assert_eq!(faults, [""; 0]);
    assert!(states > 50, "only {states} states were seen");
    // What the protocol is for: the model sees an object that is deleted first, and bytes that
    // have their name before they are durable.
    let (faults, _) = cut_while_replacing(disk, |writer| {
        writer.delete(&name("config"))?;
        put(writer, "config", NEW)
    });
    assert!(faults.contains(&"it is gone"), "{faults:?}");
    let old = Found::from([(Path::new(ROOT).join("config"), OLD.as_bytes().to_vec())]);
    for (sabotage, fault) in [
        (Sabotage::SkipSync, "it is torn"),
        (Sabotage::SkipSyncDirectory, "it was replaced, and is the old one"),
    ] {
        let disk = || SimDisk::rebooted(Path::new(ROOT), &old).sabotaged(sabotage);
        let (faults, _) =
            cut_while_replacing(disk, |writer| writer.replace(&name("config"), &payload(NEW)));
        assert!(faults.contains(&fault), "{sabotage:?}: {faults:?}");
    }
}

#[test]
fn a_call_that_fails_while_an_object_is_replaced_leaves_the_old_or_the_new_one_whole() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::PermissionDenied] {
        for failure in [SimFailure::Fail(kind), SimFailure::FailFromHere(kind)] {
            for nth in 0.. {
                let writer = with_old_config(SimDisk::new(Path::new(ROOT)));
                writer.disk().failure(nth, failure);
                let replaced = writer.replace(&name("config"), &payload(NEW));
                writer.disk().after_power_cut(&mut |found| {
                    assert_eq!(fault_of_config(&found, &replaced), None, "{failure:?} at {nth}");
                });
                let live = writer.disk().live();
                let junk = live.keys().any(|path| is_temporary(path));
                assert!(!junk || matches!(failure, SimFailure::FailFromHere(_)), "{kind:?} {nth}");
                if !writer.disk().has_failed() {
                    replaced.unwrap();
                    break;
                }
            }
        }
    }
}
