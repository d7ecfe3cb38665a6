//! `verify` as an operator meets it: in parts, by age, remembered in the repository or on the host,
//! and shown by listings.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::Server;
use crate::support::program::Place;
use crate::support::program::Ran;

/// A repository of some nights.
fn nights(count: usize) -> Place {
    let place = Place::clear();
    let mut server = Server::new(7, 2, 60);
    for _ in 0..count {
        night(&place, &mut server);
    }
    place
}

fn night(place: &Place, server: &mut Server) {
    let stream = place.file("stream", server.stream());
    // As mariabackup ends.
    place.backed_up(&format!("cat {stream}; echo 'completed OK!' >&2")).is(0);
    server.night(5);
}

#[track_caller]
fn prints(ran: &Ran, words: &str) {
    assert!(ran.out().contains(words), "{words}: {}{}", ran.out(), ran.err());
}

/// The depth to which each snapshot was verified, nothing if it was not.
fn verified(place: &Place) -> Vec<String> {
    let deepest = |snapshot: &Value| {
        let verified = snapshot["verified"].as_array().unwrap();
        verified.first().map_or(String::new(), |one| one["depth"].as_str().unwrap().to_owned())
    };
    place.snapshots().iter().map(deepest).collect()
}

#[test]
fn listings_show_when_and_how_deep_each_snapshot_was_verified() {
    let mut server = Server::new(7, 2, 60);
    let place = Place::clear();
    night(&place, &mut server);
    assert!(!place.ran(&["snapshots"]).is(0).out().contains("VERIFIED"), "nothing was verified");
    prints(&place.ran(&["show", "latest"]).is(0), "verified  not yet");
    place.ran(&["verify", "--depth", "pages"]).is(0);
    night(&place, &mut server);
    assert_eq!(verified(&place), ["pages", ""]);
    let listed = place.ran(&["snapshots"]).is(0).out();
    assert!(listed.contains("VERIFIED") && listed.contains("pages 20"), "{listed}");
    prints(&place.ran(&["show", "latest"]).is(0), "verified  not yet");
    place.ran(&["verify", "latest", "--depth", "stored"]).is(0);
    prints(&place.ran(&["show", "latest"]).is(0), "verified  stored 20");
    let shown = place.ran(&["show", "latest", "--json"]).is(0).json();
    let program = shown["verified"][0]["program"].as_str().unwrap();
    assert!(program.starts_with("haulout "), "{shown}");
    assert_eq!(place.objects("verified").len(), 1, "the records are joined");
}

#[test]
fn parts_lead_to_everything_and_max_age_says_what_is_overdue() {
    let place = nights(2);
    // Ages count in seconds: what was stored must be older than none.
    thread::sleep(Duration::from_millis(1100));
    let overdue = place.ran(&["verify", "--max-age", "0s"]).is(3).out();
    assert!(
        overdue.contains("were not verified to depth blocks within 0.0 s; the oldest is packs/")
    );
    assert!(overdue.contains("never verified, stored 20"), "{overdue}");
    let new = place.ran(&["verify", "--max-age", "30d"]).is(0);
    prints(&new, "stored, or verified to depth blocks, within 30 days");
    let planned = place.ran(&["verify", "--oldest", "--plan", "--json"]).is(0).json();
    let all = planned["all"]["packs"].as_u64().unwrap();
    assert_eq!(planned["ages"]["never_packs"].as_u64(), Some(all), "{planned}");
    assert_eq!(place.objects("verified").len(), 0, "a plan changes nothing");
    prints(&place.ran(&["verify", "--oldest", "--plan"]).is(0), "would verify");
    let mut packs = 0;
    while packs < all {
        let part = place.ran(&["verify", "--oldest", "--budget", "1B", "--json"]).is(0).json();
        assert_eq!(part["slice"]["packs"].as_u64(), Some(1), "{part}");
        assert_eq!(part["remembered"], "repository");
        packs += 1;
        let never = part["slice"]["ages"]["never_packs"].as_u64().unwrap();
        assert_eq!(never, all - packs, "{part}");
    }
    assert_eq!(verified(&place), ["blocks", "blocks"]);
    let all_are = place.ran(&["verify", "--max-age", "30d"]).is(0);
    prints(&all_are, "all verified to depth blocks, within 30 days");
    let checked = place.ran(&["verify", "--max-age", "30d", "--json"]).is(0).json();
    assert_eq!(checked["overdue"], Value::Null, "{checked}");
    assert_eq!(checked["ages"]["packs"].as_u64(), Some(all));
    let both = place.ran(&["verify", "--oldest", "--budget", "5%", "--max-age", "1h"]);
    prints(&both.is(0), "verified 1 of ");
    place.ran(&["verify", "--max-age", "1h", "--depth", "pages"]).is(0);
    place.ran(&["verify", "--max-age", "0s", "--depth", "pages"]).is(3);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_read() {
    let place = nights(1);
    let cases: [(&[&str], &str); 6] = [
        (&["--budget", "5%"], "--oldest"),
        (&["--plan"], "--oldest"),
        (&["--oldest", "latest"], "cannot be used"),
        (&["--max-age", "30d", "latest"], "cannot be used"),
        (&["--oldest", "--budget", "5"], "it has no unit"),
        (&["--oldest", "--budget", "3m"], "3min"),
    ];
    for (arguments, words) in cases {
        let ran = place.ran(&[&["verify"], arguments].concat());
        ran.is(2).says(words);
    }
}

#[test]
fn who_may_not_put_is_told_and_remembers_in_the_state_directory() {
    let place = nights(1);
    let packs = place.ran(&["verify", "--oldest", "--plan", "--json"]).is(0).json();
    let packs = packs["all"]["packs"].as_u64().unwrap();
    // A file in the place of the folder: nothing can be put below it, not even by root.
    fs::write(place.path("repo").join("verified"), "").unwrap();
    let part = ["verify", "--oldest", "--budget", "1B"];
    place.ran(&part).is(0).says("give --state a directory");
    let state = place.path("state");
    let with_state = |arguments: &[&str]| {
        place.ran(&[arguments, &["--state", state.to_str().unwrap()]].concat())
    };
    for number in 1..=packs {
        let ran = with_state(&[&part[..], &["--json"]].concat()).is(0);
        let part = ran.json();
        assert_eq!(part["remembered"], "state", "{part}");
        let never = part["slice"]["ages"]["never_packs"].as_u64();
        assert_eq!(never, Some(packs - number), "{part}");
    }
    with_state(&part).is(0).says("is remembered in ").says("only");
    assert_eq!(verified(&place), [""], "the repository does not know it");
    // Once it may put, the repository has what the host knew.
    fs::remove_file(place.path("repo").join("verified")).unwrap();
    with_state(&part).is(0);
    assert_eq!(verified(&place), ["blocks"]);
    let files = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    assert!(files.into_iter().all(|path| path.extension().unwrap() == "json"));
}

#[test]
fn a_damaged_record_is_reported_and_then_gone() {
    let place = nights(1);
    place.ran(&["verify", "--depth", "objects"]).is(0);
    let record = place.objects("verified").remove(0);
    fs::set_permissions(&record, Permissions::from_mode(0o600)).unwrap();
    fs::write(&record, "nonsense").unwrap();
    let name = record.file_name().unwrap().to_str().unwrap();
    place.ran(&["snapshots"]).is(0).says(name);
    place.ran(&["verify", "--max-age", "30d"]).is(3).says("passed over");
    prints(&place.ran(&["verify", "--depth", "objects"]).is(3), name);
    place.ran(&["verify", "--depth", "objects"]).is(0);
    assert_eq!(place.objects("verified").len(), 1);
}

/// Returns the commands of a section of the chapter.
fn commands(section: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string("src/guide/verify.md").unwrap();
    let lines = text.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let words = |line: &str| line.split(' ').skip(1).map(str::to_owned).collect();
    lines.filter(|line| line.starts_with("haulout ")).map(words).collect()
}

#[test]
fn the_commands_of_the_chapter_do_what_it_says() {
    let place = nights(2);
    let commands = commands("## In parts");
    assert!(commands.len() >= 4);
    for command in commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let ran = place.ran(&words).is(0);
        let first = ran.out().lines().next().unwrap_or_default().to_owned();
        let wanted = match (words[0], words.contains(&"--plan"), words.contains(&"--oldest")) {
            ("verify", true, _) => "would verify ",
            ("verify", false, true) => "verified ",
            ("verify", false, false) => "pack",
            _ => "ID ",
        };
        assert!(first.contains(wanted), "{words:?}: {first}");
    }
}
