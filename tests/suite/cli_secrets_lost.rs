//! What happens to the objects by which everything is opened, and to snapshots that a backup passes
//! over: both are named, and once each.

use std::fs;
use std::path::Path;

use crate::support::Server;
use crate::support::program::Place;
use crate::support::program::Ran;

fn by(place: &Place, password: &str, line: &[&str]) -> Ran {
    let mut command = place.command(line);
    command.env("HAULOUT_PASSWORD", password);
    Ran::of(command, b"")
}

/// A repository with two keys and a snapshot; the second key.
fn with_two_keys() -> (Place, std::path::PathBuf) {
    let place = Place::empty();
    by(&place, "first", &["init", "-q"]).is(0);
    let first = place.objects("keys");
    let second = place.file("second", "second\n");
    by(&place, "first", &["key", "add", "--new-password-file", &second]).is(0);
    by(&place, "first", &["backup", "-q", "--source", "db", "--", "seq", "9999"]).is(0);
    let mut keys = place.objects("keys");
    keys.retain(|key| !first.contains(key));
    (place, keys.remove(0))
}

fn spoil(object: &Path) {
    let mut bytes = fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(object).unwrap();
    fs::write(object, bytes).unwrap();
}

fn name_of(object: &Path) -> String {
    object.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_damaged_key_is_named_by_verify_and_to_whoever_it_opened_for() {
    let (place, second) = with_two_keys();
    let name = format!("keys/{} is damaged", name_of(&second));
    for depth in ["objects", "stored", "blocks"] {
        by(&place, "first", &["verify", "--depth", depth]).is(0);
    }
    spoil(&second);
    for depth in ["objects", "stored", "blocks"] {
        let told = by(&place, "first", &["verify", "--depth", depth]).is(3).out();
        assert!(told.contains(&name) && told.contains("add another key"), "{told}");
    }
    by(&place, "first", &["snapshots"]).is(0);
    let refused = by(&place, "second", &["snapshots", "--json"]).is(1);
    assert_eq!(refused.error_kind(), "wrong-key");
    // With another key there, the password may as well be a wrong one.
    refused.says("password");
    // It is told of the only key what can be done.
    for key in place.objects("keys") {
        if key != second {
            fs::remove_file(key).unwrap();
        }
    }
    by(&place, "second", &["snapshots"]).is(1).says(&name).says("put the damaged key back");
}

#[test]
fn the_secret_of_a_run_is_in_its_packs_as_well_and_its_loss_is_a_note() {
    let (place, _) = with_two_keys();
    let run = place.objects("runs").remove(0);
    let restored = |about: &str| {
        let ran = by(&place, "first", &["restore", "latest", "--stdout"]).is(0);
        assert!(ran.out().ends_with("9998\n9999\n"), "{about}");
    };
    restored("whole");
    spoil(&run);
    let note = format!("note: runs/{} is damaged: nothing is lost", name_of(&run));
    for depth in ["stored", "blocks"] {
        by(&place, "first", &["verify", "--depth", depth]).is(0).says(&note);
    }
    restored("damaged");
    fs::remove_file(&run).unwrap();
    let note = format!("note: runs/{} is missing: nothing is lost", name_of(&run));
    for depth in ["objects", "stored", "blocks"] {
        by(&place, "first", &["verify", "--depth", depth]).is(0).says(&note);
    }
    let told = by(&place, "first", &["verify", "--json"]).is(0).json();
    assert!(told["notes"][0]["what"].as_str().unwrap().contains("is missing"), "{told}");
    restored("missing");
    by(&place, "first", &["backup", "-q", "--source", "db", "--", "seq", "9998"]).is(0);
}

/// Several threads look for older versions of what is new tonight, and each meets the damage.
#[test]
fn a_snapshot_that_is_passed_over_is_reported_once() {
    let place = Place::clear();
    let mut server = Server::new(7, 2, 90);
    let mut spoiled = Vec::new();
    for night in 0..4 {
        place.fed(&["backup", "-q", "--source", "db"], &server.stream()).is(0);
        let newest = place.objects("snapshots").into_iter().max().unwrap();
        if night % 2 == 1 {
            spoiled.push(newest);
        }
        server.night(5);
    }
    spoiled.iter().for_each(|snapshot| spoil(snapshot));
    let backup = ["backup", "--source", "db", "--threads", "4"];
    for (seed, level) in [(8, "brief"), (9, "normal")] {
        // All of it is new, so that every older snapshot is asked for it.
        let stream = Server::new(seed, 12, 40).stream();
        let before = place.objects("snapshots").len();
        let ran = place.fed(&[&backup[..], &["--log-level", level]].concat(), &stream).is(3);
        assert_eq!(place.objects("snapshots").len(), before + 1);
        let told = ran.out() + &ran.err();
        for snapshot in &spoiled {
            let id = name_of(snapshot).split('-').nth(1).unwrap()[..10].to_owned();
            let count = told.matches(&id).count();
            assert_eq!(count, 1, "{level}, {id}: {told}");
        }
    }
}
