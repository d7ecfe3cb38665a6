//! The life of a repository by the program: holds, what is forgotten and why, what prune deletes
//! and compaction moves, and what is refused.

use crate::support;
use crate::support::s3;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use haulout::base::world::World;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::keys::Limits;
use haulout::repo::standing::RunId;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use serde_json::Value;

use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::program::Place;
use crate::support::program::Ran;
use crate::support::s3::Answer;
use crate::support::s3::S3;
use crate::support::s3::locks::Bucket;

/// The repository of a place by the library; it has no password.
fn opened(place: &Place) -> Repository {
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(&place.path("repo")).unwrap());
    let world = World::of_this_machine();
    let no_password = &mut || panic!("no password is needed");
    Repository::open(store, no_password, &Limits::STANDARD, &world).unwrap()
}

/// Puts the intent of a run that was killed.
fn stand(place: &Place, verb: IntentVerb) -> String {
    let run = RunId::new([verb.code(); 16]);
    opened(place).put_intent(run, &Intent::new(verb, 1_700_000_000)).unwrap();
    run.to_string()
}

/// Backs up a line, and returns the id of the snapshot.
fn night(place: &Place, source: &str, line: &str) -> String {
    let script = format!("echo {line}");
    let line = ["backup", "--json", "--source", source, "--", "sh", "-c", &script];
    place.ran(&line).is(0).json()["snapshot"].as_str().unwrap().to_owned()
}

#[test]
fn a_hold_is_shown_until_it_is_released() {
    let place = Place::clear();
    let id = night(&place, "db", "a");
    let short = &id[..10];
    let line = ["hold", "db@latest", "--until", "2100-06-30", "--reason", "audit"];
    let held = format!("snapshot {short} is held until 2100-06-30 23:59:59Z: audit\n");
    place.ran(&line).is(0).prints(&held);
    let more = place.ran(&["hold", short, "--json"]).is(0).json();
    assert_eq!(more["snapshot"], *id);
    let holds = more["holds"].as_array().unwrap();
    assert_eq!((holds.len(), &holds[1]["until"]), (2, &Value::Null));
    assert_eq!(holds[0]["until"], "2100-06-30T23:59:59Z");
    assert!(place.ran(&["show", short]).is(0).out().contains("until 2100-06-30 23:59:59Z: audit"));
    place.ran(&["release", short]).is(0).prints(&format!("released 2 holds of snapshot {short}\n"));
    place.ran(&["release", short]).is(0).prints(&format!("snapshot {short} has no hold\n"));
    assert_eq!(place.snapshots()[0]["holds"], serde_json::json!([]));
    place.ran(&["hold", short, "--until", "2020-01-01"]).is(2).says("has passed");
    place.ran(&["hold", "0000", "--until", "2100-01-01"]).is(2).says("no snapshot 0000");
}

#[test]
fn more_holds_than_a_snapshot_may_have_are_refused() {
    let place = Place::clear();
    let id = night(&place, "db", "a");
    for number in 1..=32 {
        place.ran(&["hold", &id, "--reason", &number.to_string()]).is(0);
    }
    place.ran(&["hold", &id, "--reason", "33"]).is(2).says("keep at most 32");
    place.ran(&["hold", &id, "--reason", "7"]).is(0);
    place
        .ran(&["release", &id])
        .is(0)
        .prints(&format!("released 32 holds of snapshot {}\n", &id[..10]));
}

#[test]
fn there_are_no_locks_and_runs_that_stand_are_named_with_what_ends_them() {
    let place = Place::clear();
    let nothing = place.ran(&["unlock"]).is(0).out();
    assert!(nothing.ends_with("has no locks: there is nothing to unlock\n"), "{nothing}");
    let (backup, prune) = (stand(&place, IntentVerb::Backup), stand(&place, IntentVerb::Prune));
    let text = place.ran(&["unlock"]).is(0).out();
    assert!(text.contains("01010101 (backup, since 2023-11-14 22:13:20Z)"), "{text}");
    assert!(text.contains("haulout prune --break RUN frees"), "{text}");
    assert!(text.contains("haulout prune --abandon 04040404 lets"), "{text}");
    let json = place.ran(&["unlock", "--json"]).is(0).json();
    assert_eq!(json["locks"], serde_json::json!([]));
    let runs = json["runs"].as_array().unwrap();
    assert_eq!((runs[0]["run"].as_str(), runs[1]["run"].as_str()), (Some(&*backup), Some(&*prune)));
    assert_eq!(runs[1]["command"], "haulout prune --abandon 04040404");
}

#[test]
fn check_is_verify() {
    let place = Place::clear();
    night(&place, "db", "a");
    let verified = place.ran(&["verify", "--depth", "blocks", "--json"]).is(0).json();
    let checked = place.ran(&["check", "--depth", "blocks", "--json"]).is(0).json();
    assert_eq!(verified["findings"], checked["findings"]);
    assert_eq!(verified["packs"], checked["packs"]);
}

/// Seconds of a day.
const DAY: u64 = 86_400;
/// The first of January 2023, a Sunday.
const START: u64 = 1_672_531_200;

/// A stream that can't be compressed, another one for each seed.
fn dump(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = b"-- a dump\n".to_vec();
    for _ in 0..100 {
        writeln!(out, "-- {:016x}", random.next()).unwrap();
    }
    out
}

/// Snapshots by their ids, with the stream of each.
type Nights = BTreeMap<String, Vec<u8>>;

/// A place with a repository that has these features, and a night of `db` on each of these days.
fn place_with(features: Features, days: &[u64]) -> (Place, Vec<String>, Nights) {
    let (store, place) = (Arc::new(MemoryStore::new()), Place::empty());
    let repository =
        support::init_as_earlier(support::shared(&store), Protected::Clear, features, 5);
    let (mut ids, mut nights) = (Vec::new(), Nights::new());
    for day in days {
        let options = BackupOptions { source: "db".to_owned(), ..support::options() };
        let source = BytesSource::new(dump(*day), 1 << 16, ProducerExit::Exited(0));
        let world = support::world_at(START + day * DAY);
        let report = backup(&repository, Box::new(source), &options, &world).unwrap();
        ids.push(report.id.to_string());
        nights.insert(report.id.to_string(), dump(*day));
    }
    for (name, bytes) in store.objects() {
        let path = place.path("repo").join(name.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    (place, ids, nights)
}

/// The same as this program makes it, with a night on each of the first days.
fn nights(days: u64) -> (Place, Vec<String>, Nights) {
    place_with(FEATURES_MADE, &(0..days).collect::<Vec<_>>())
}

/// What the program shows must be these snapshots, and each must come back as it was.
#[track_caller]
fn restores(place: &Place, ids: &[String], nights: &Nights) {
    let shown: Vec<String> =
        place.snapshots().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shown, ids);
    for id in ids {
        let ran = place.ran(&["restore", id, "--stdout"]).is(0);
        assert!(ran.output.stdout == nights[id], "{id}");
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// The reasons for which a snapshot stays, as `--json` has them.
fn rules(plan: &Value, id: &str) -> Vec<String> {
    let snapshots = plan["sources"][0]["snapshots"].as_array().unwrap();
    let one = snapshots.iter().find(|one| one["id"] == *id).unwrap();
    let rule = |kept: &Value| {
        let place = |name: &str| kept[name].as_u64().map(|number| format!(" {number}"));
        let (number, of) = (place("number"), place("of"));
        kept["rule"].as_str().unwrap().to_owned()
            + &number.unwrap_or_default()
            + &of.unwrap_or_default()
    };
    one["kept"].as_array().unwrap().iter().map(rule).collect()
}

#[test]
fn a_plan_says_why_each_snapshot_stays_and_changes_nothing() {
    let (place, ids, nights) = nights(10);
    let line = ["forget", "--keep-daily", "3", "--keep-weekly", "2", "--keep-tag", "audit"];
    let plan = [&line[..], &["--plan"]].concat();
    place.ran(&["tag", &ids[0], "--add", "audit"]).is(0);
    place.ran(&["hold", &ids[1], "--reason", "tax"]).is(0);
    let text = place.ran(&plan).is(0).out();
    for (id, words) in [
        (&ids[9], "daily 1 of 3, weekly 1 of 2"),
        (&ids[7], "daily 3 of 3, weekly 2 of 2"),
        (&ids[1], "held without an end"),
        (&ids[0], "tag audit"),
        (&ids[6], &format!("{} took its place", &ids[7][..10])),
    ] {
        let row =
            text.lines().find(|row| row.split_whitespace().nth(1) == Some(&id[..10])).unwrap();
        assert!(row.ends_with(words), "{row}");
    }
    assert!(text.contains("prune would delete 10 packs of 20:"), "{text}");
    let json = place.ran(&[&plan[..], &["--json"]].concat()).is(0).json();
    assert_eq!(json["planned"], true);
    assert_eq!(rules(&json, &ids[8]), ["daily 2 3"]);
    assert_eq!(rules(&json, &ids[1]), ["held"]);
    assert_eq!(rules(&json, &ids[5]), [""; 0]);
    assert_eq!(json["space"]["freed_packs"], 10);
    assert!(json["space"]["freed_bytes"].as_u64().unwrap() > 0);
    assert_eq!(strings(&json["removed"]), [""; 0]);
    restores(&place, &ids, &nights);
}

#[test]
fn what_is_forgotten_is_gone_after_a_prune_and_what_is_kept_restores() {
    // More objects than one batch of deletions takes.
    let (place, ids, nights) = nights(350);
    let count = |place: &Place| ["packs", "twins"].map(|folder| place.objects(folder).len());
    assert_eq!(count(&place), [700, 350]);
    let line = ["forget", "--keep-last", "10", "--allow", "half"];
    place.ran(&line).is(2).says("with --yes").prints("");
    let done = place.ran(&[&line[..], &["--yes", "--reason", "old"]].concat()).is(0);
    done.prints("removed 340 of 350 snapshots of db\n");
    let kept = &ids[340..];
    assert_eq!(place.snapshots().len(), 10);
    assert_eq!(count(&place), [700, 350]);
    let why = place.ran(&["restore", &ids[3], "--stdout"]).is(2);
    why.says("was removed").says("old");
    let plan = place.ran(&["prune", "--plan", "--json"]).is(0).json();
    let freed = usize::try_from(plan["freed_packs"].as_u64().unwrap()).unwrap();
    // Nodes of pack tables are shared.
    assert!((670..=680).contains(&freed), "{freed}");
    assert_eq!(plan["packs"], 700);
    assert_eq!(count(&place), [700, 350]);
    let pruned = place.ran(&["prune", "--no-compact", "--json"]).is(0).json();
    assert_eq!(pruned["freed_packs"], plan["freed_packs"]);
    assert_eq!(pruned["freed_bytes"], plan["freed_bytes"]);
    assert_eq!(pruned["cleaned_up"]["snapshots"], 340);
    assert_eq!(pruned["compaction"]["skipped"], "--no-compact");
    let left = count(&place);
    assert_eq!(left, [700 - freed, left[1]]);
    assert!(left[1] < 20, "{left:?}");
    let again = place.ran(&["prune"]).is(0).out();
    assert!(again.starts_with(&format!("deleted 0 packs of {}: 0 B freed\n", left[0])), "{again}");
    restores(&place, kept, &nights);
    place.ran(&["verify", "--depth", "blocks"]).is(0);
}

#[test]
fn a_timer_forgets_and_prunes_with_one_command() {
    let (place, ids, nights) = nights(12);
    let line = ["forget", "--keep-daily", "7", "--prune", "--yes"];
    let json = place.ran(&[&line[..], &["--json"]].concat()).is(0).json();
    assert_eq!(strings(&json["removed"]), ids[..5].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(json["pruned"]["freed_packs"], 10);
    restores(&place, &ids[5..], &nights);
    // A night without anything to remove.
    let again = place.ran(&line).is(0).out();
    assert!(again.starts_with("no snapshot was removed\ndeleted 0 packs of 14"), "{again}");
}

/// The snapshots that are shown, whatever else is found.
fn shown(place: &Place) -> Vec<Value> {
    place.ran(&["snapshots", "--json"]).json().as_array().unwrap().clone()
}

/// Runs `forget` with a wish that is refused, and with the option that allows it.
#[track_caller]
fn is_refused(place: &Place, line: &[&str], refusal: &str) -> Value {
    let refused = place.ran(&[line, &["--plan", "--json"]].concat()).is(3).json();
    let named: Vec<&str> = refused["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["refusal"].as_str().unwrap())
        .collect();
    assert_eq!(named, [refusal], "{refused}");
    let option = format!("--allow {refusal}");
    assert_eq!(refused["refused"][0]["option"], *option);
    let text = place.ran(&[line, &["--plan"]].concat()).is(3).out();
    assert!(text.contains(&format!("({option})")), "{text}");
    let before = shown(place);
    let kept = place.ran(&[line, &["--yes"]].concat()).is(3).out();
    assert!(kept.contains("no snapshot was removed") && kept.contains(&option), "{kept}");
    assert_eq!(shown(place), before);
    place.ran(&[line, &["--allow", refusal, "--plan", "--json"]].concat()).json()
}

/// The number of snapshots that a plan removes.
fn removals(plan: &Value) -> usize {
    let snapshots = plan["sources"].as_array().unwrap().iter();
    let all = snapshots.flat_map(|of| of["snapshots"].as_array().unwrap());
    all.filter(|one| one["remove"] == true).count()
}

#[test]
fn each_refusal_has_an_option_of_its_own() {
    let (place, ids, _) = nights(14);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let half = is_refused(&place, &["forget", "--keep-last", "2"], "half");
    assert_eq!((removals(&half), half["refused"].as_array().unwrap().len()), (12, 0));
    let newest = is_refused(&place, &["forget", ids[13]], "newest-complete");
    assert_eq!(removals(&newest), 1);
    is_refused(&place, &["forget", "--keep-last", "9", "--keep-tag", "nosuch"], "no-tag");
    let all = [&["forget", "--allow", "half"], &ids[..]].concat();
    let none = is_refused(&place, &all, "none-complete");
    assert_eq!(removals(&none), 14);
    let nothing = ["forget", "--keep-last", "0", "--allow", "half", "--allow", "none-complete"];
    let nothing = is_refused(&place, &nothing, "nothing-kept");
    assert_eq!(removals(&nothing), 14);
    place.ran(&["hold", ids[2], "--reason", "tax"]).is(0);
    is_refused(&place, &["forget", ids[1], ids[2]], "held");
    // What is held stays all the same, and the others go.
    let line = ["forget", ids[1], ids[2], "--allow", "held", "--yes", "--json"];
    let done = place.ran(&line).is(3).json();
    assert_eq!(strings(&done["removed"]), [ids[1]]);
    assert_eq!(done["spared"][0]["snapshot"], ids[2]);
    assert_eq!(done["spared"][0]["why"], "it is held: tax");
    place.ran(&["release", ids[2]]).is(0);
    // One that can't be read.
    let path = place
        .objects("snapshots")
        .into_iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().contains(ids[5]));
    flip(&path.unwrap());
    let unread = is_refused(&place, &["forget", ids[0]], "unread-snapshot");
    assert_eq!(removals(&unread), 1);
    place.ran(&["prune"]).is(1).says("haulout forget ID --damaged");
    place.ran(&["forget", ids[0], "--damaged", "--yes"]).is(2).says("can be read");
    let gone = place.ran(&["forget", &ids[5][..10], "--damaged", "--yes"]).is(0);
    gone.prints("removed 1 snapshot that can't be read\n");
    place.ran(&["prune"]).is(3);
    place.ran(&["prune"]).is(0);
    assert_eq!(place.snapshots().len(), 12);
    // A note that can't be read may hold any of them.
    place.ran(&["hold", ids[7], "--reason", "tax"]).is(0);
    for note in place.objects("notes") {
        flip(&note);
    }
    let line = ["forget", ids[8]];
    let plan = is_refused(&place, &line, "unread-note");
    assert_eq!(removals(&plan), 1);
    place.ran(&["forget", ids[8], "--allow", "unread-note", "--yes"]).is(0);
    assert_eq!(shown(&place).len(), 11);
}

#[test]
fn a_clock_that_is_behind_and_an_increment_are_refused_with_options_of_their_own() {
    let (place, ids, _) = place_with(FEATURES_MADE, &[1, 2, 3, 60_000]);
    let future = is_refused(&place, &["forget", "--keep-last", "3"], "future");
    assert_eq!(removals(&future), 1);
    assert_eq!(rules(&future, &ids[3]), ["last 1 3"]);
    let place = Place::clear();
    let mut server = Server::new(7, 2, 20);
    let backup = ["backup", "-q", "--source", "shop"];
    place.fed(&backup, &server.stream()).is(0);
    let from = server.to_lsn();
    server.night(10);
    place.fed(&backup, &server.increment(from)).is(0);
    server.night(10);
    place.fed(&backup, &server.stream()).is(0);
    let full = place.snapshots()[0]["id"].as_str().unwrap().to_owned();
    let required = is_refused(&place, &["forget", &full], "required");
    assert_eq!(removals(&required), 1);
    let increment = place.snapshots()[1]["id"].as_str().unwrap().to_owned();
    let line = ["forget", &full, "--allow", "required", "--yes", "--json"];
    let done = place.ran(&line).is(0).json();
    assert_eq!(
        (strings(&done["removed"]), done["refused"].as_array().unwrap().len()),
        (vec![&*full], 0)
    );
    assert_eq!(place.snapshots()[0]["id"], *increment);
    place.ran(&["show", &full]).is(2).says("was removed");
}

#[test]
fn packs_of_unknown_runs_and_missing_snapshots_each_need_an_option() {
    let (place, ids, nights) = nights(4);
    place.ran(&["prune"]).is(0);
    // A pack of a run of which nothing is known.
    let stranger = Place::clear();
    night(&stranger, "db", "a");
    let pack = stranger.objects("twins").pop().unwrap();
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let orphan = place.path("repo").join("packs").join(&name[..2]).join(&name);
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::copy(&pack, &orphan).unwrap();
    for line in [&["prune"][..], &["prune", "--plan"], &["prune", "--yes-fewer"]] {
        place.ran(line).is(1).says("1 packs were written by runs of which nothing is known");
        assert!(orphan.exists());
    }
    place.ran(&["prune", "--plan", "--yes-orphans"]).is(0);
    assert!(orphan.exists(), "a plan deletes nothing");
    let done = place.ran(&["prune", "--yes-orphans", "--json"]).is(0).json();
    assert_eq!(done["freed_packs"], 1, "{done}");
    assert!(!orphan.exists());
    restores(&place, &ids, &nights);
    // The newest snapshot is gone, and its packs are there.
    let newest = place.objects("snapshots").into_iter();
    let is_newest = |path: &std::path::PathBuf| path.to_str().unwrap().contains(&ids[3]);
    fs::remove_file({ newest }.find(is_newest).unwrap()).unwrap();
    let packs = place.objects("packs").len();
    for line in [&["prune"][..], &["prune", "--yes-orphans"], &["prune", "--plan"]] {
        place.ran(line).is(1).says("--yes-fewer for snapshots").says(&ids[3][..10]);
    }
    place.ran(&["prune", "--yes-fewer"]).is(1).says("runs of which nothing is known");
    assert_eq!(place.objects("packs").len(), packs);
    place.ran(&["prune", "--yes-fewer", "--yes-orphans"]).is(0);
    assert!(place.objects("packs").len() < packs);
    restores(&place, &ids[..3], &nights);
    // It is not missed any more.
    place.ran(&["prune"]).is(0);
}

#[test]
fn rules_are_tried_on_a_calendar_without_a_repository() {
    let place = Place::empty();
    let line = ["forget", "--simulate", "--every", "day", "--for", "2y", "--keep-daily", "14"];
    let json = place.ran(&[&line[..], &["--json"]].concat()).is(0).json();
    assert_eq!((&json["backups"], &json["most"]), (&Value::from(730), &Value::from(15)));
    let left = json["left"].as_array().unwrap();
    assert_eq!(left.len(), 14);
    assert_eq!(left[13]["kept"][0], serde_json::json!({"rule": "daily", "number": 1, "of": 14}));
    let text = place.ran(&line).is(0).out();
    let last = "730 backups, one every 24 h 00 min: 14 are left, at most 15\n";
    assert!(text.ends_with(last) && text.contains("daily 14 of 14"), "{text}");
    assert!(!place.path("repo").exists());
    let without = &line[..6];
    place.ran(without).is(2).says("nothing says which snapshots stay");
    place.ran(&["forget", "--simulate", "--keep-daily", "1"]).is(2).says("--every");
    let none = ["forget", "--simulate", "--every", "2d", "--for", "1d", "--keep-last", "1"];
    place.ran(&none).is(2).says("make 0 backups");
}

#[test]
fn the_zone_of_the_rules_says_when_a_day_begins() {
    // Each at midnight UTC: in Kiritimati, 14 hours ahead, it is the same day all the same, and
    // with one at noon before it another one.
    let (place, ids, _) = nights(3);
    let days = |zone: &str| {
        let line = ["forget", "--keep-daily", "2", "--time-zone", zone, "--plan", "--json"];
        rules(&place.ran(&line).is(0).json(), &ids[1])
    };
    assert_eq!(days("UTC"), ["daily 2 2"]);
    assert_eq!(days("Pacific/Kiritimati"), ["daily 2 2"]);
    let line = ["forget", "--keep-daily", "2", "--time-zone", "Nowhere/Else"];
    place.ran(&line).is(2).says("neither local nor the name of a time zone");
}

#[test]
fn nothing_is_forgotten_without_rules_or_names() {
    let (place, ids, nights) = nights(2);
    place.ran(&["forget", "--yes"]).is(2).says("nothing says which snapshots stay");
    place
        .ran(&["forget", "--yes", "--keep-last", "1", "--source", "x"])
        .is(2)
        .says("snapshot of x");
    place.ran(&["forget", &ids[0], "--keep-last", "1"]).is(2);
    place.ran(&["forget", "0000", "--yes"]).is(2).says("there is no snapshot 0000");
    restores(&place, &ids, &nights);
}

#[test]
fn a_reader_that_goes_away_stops_no_removal() {
    let (place, ids, nights) = nights(4);
    let line = ["forget", "--keep-last", "2", "--yes", "--prune"];
    let mut child = place.started(&line, Stdio::null());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    restores(&place, &ids[2..], &nights);
    let mut child = place.started(&["prune", "--plan", "--json"], Stdio::null());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_key_that_may_only_write_deletes_nothing() {
    let place = Place::empty();
    let password = place.file("password", "correct horse\n");
    let by = |file: &str, line: &[&str]| place.ran(&[&["--password-file", file], line].concat());
    by(&password, &["init", "-q"]).is(0);
    by(&password, &["backup", "-q", "--source", "db", "--", "echo", "x"]).is(0);
    let writer = place.path("writer").to_str().unwrap().to_owned();
    by(&password, &["key", "add", "-q", "--write-only", "--key-file", &writer]).is(0);
    for line in [&["forget", "--keep-last", "1", "--yes", "--json"][..], &["prune", "--json"]] {
        let refused = by(&writer, line).is(1);
        assert_eq!(refused.error_kind(), "write-only");
        assert!(refused.err().contains("delete none"), "{}", refused.err());
    }
}

#[test]
fn a_repository_of_an_earlier_version_is_pruned_after_an_upgrade_that_asks() {
    let (place, ids, nights) = place_with(Features::NONE, &[0, 1, 2]);
    for line in [&["forget", "--keep-last", "1", "--yes"][..], &["prune"], &["prune", "--plan"]] {
        place.ran(line).is(1).says("run haulout upgrade");
    }
    restores(&place, &ids, &nights);
    place.ran(&["upgrade", "--yes", "-q"]).is(0);
    place.ran(&["prune", "--plan"]).is(0);
    place.ran(&["prune"]).is(2).says("a run of an earlier version that still stands");
    place.ran(&["forget", "--keep-last", "1", "--prune", "--yes"]).is(0);
    restores(&place, &ids[2..], &nights);
    // Something was deleted then, so nothing is asked any more.
    place.ran(&["prune"]).is(0);
}

#[test]
fn after_an_upgrade_it_is_asked_once_even_if_nothing_is_removed() {
    let (place, ids, nights) = place_with(Features::NONE, &[0, 1, 2]);
    place.ran(&["upgrade", "--yes", "-q"]).is(0);
    place.ran(&["prune"]).is(2).says("a run of an earlier version that still stands");
    let pruned = place.ran(&["prune", "--yes", "--json"]).is(0).json();
    assert_eq!(pruned["freed_packs"], 0);
    // The list of what that prune kept says that it was answered.
    place.ran(&["prune"]).is(0);
    for list in place.objects("notes") {
        if list.file_name().unwrap().to_str().unwrap().starts_with("kept-") {
            fs::remove_file(list).unwrap();
        }
    }
    place.ran(&["prune"]).is(2).says("a run of an earlier version that still stands");
    restores(&place, &ids, &nights);
}

#[test]
fn runs_that_were_killed_are_named_with_what_ends_them() {
    let (place, ids, nights) = nights(5);
    let root = opened(&place).find_snapshot(&ids[0]).unwrap().name;
    let intent = Intent {
        roots: [(root.source, [(root.sequence, root.id)].into())].into(),
        ..Intent::new(IntentVerb::Backup, 1_700_000_000)
    };
    opened(&place).put_intent(RunId::new([1; 16]), &intent).unwrap();
    let plan = place.ran(&["forget", "--keep-last", "3", "--plan"]).is(0).out();
    assert!(plan.contains("root of run 01010101 (backup, since 2023-11-14"), "{plan}");
    place.ran(&["forget", "--keep-last", "3", "--yes"]).is(0);
    stand(&place, IntentVerb::Prune);
    let text = place.ran(&["prune"]).is(0).out();
    // The root keeps its packs and its object.
    assert!(text.starts_with("deleted 2 packs of 10:"), "{text}");
    assert!(text.contains("haulout prune --break 01010101"), "{text}");
    assert!(text.contains("haulout prune --abandon 04040404"), "{text}");
    place.ran(&["prune", "--break", "0404"]).is(2).says("only be abandoned");
    place.ran(&["prune", "--abandon", "0101"]).is(2).says("only be broken");
    place.ran(&["prune", "--break", "77"]).is(2).says("haulout unlock names");
    let line = ["prune", "--break", "0101", "--abandon", "0404", "--json"];
    let pruned = place.ran(&line).is(0).json();
    assert_eq!((&pruned["freed_packs"], &pruned["standing"]), (&2.into(), &Value::Array(vec![])));
    restores(&place, &ids[2..], &nights);
    assert_eq!(place.ran(&["unlock", "--json"]).is(0).json()["runs"], Value::Array(vec![]));
}

#[test]
fn the_first_compaction_needs_consent_and_prune_goes_on_without() {
    // Fewer than 64 small packs of data are not worth it.
    let (place, ids, nights) = nights(80);
    place.ran(&["forget", ids[3].as_str(), "--yes"]).is(0);
    let kept = [&ids[..3], &ids[4..]].concat();
    let line = ["prune", "--max-rewrite", "100%", "--json"];
    let plan = place.ran(&[&line[..], &["--plan"]].concat()).is(0).json();
    assert!(plan["compaction"]["packs"].as_u64().unwrap() >= 79, "{plan}");
    let pruned = place.ran(&line).is(0).json();
    assert_eq!(pruned["freed_packs"], 2);
    let skipped = pruned["compaction"]["skipped"].as_str().unwrap();
    assert!(skipped.contains("haulout before 0.2 will refuse"), "{skipped}");
    assert!(skipped.ends_with("give --yes"), "{skipped}");
    let features = |place: &Place| place.ran(&["stats", "--json"]).is(0).json()["features"].clone();
    assert_eq!(features(&place), serde_json::json!([0, 2, 3]));
    let packs = place.objects("packs").len();
    let done = place.ran(&[&line[..], &["--yes"]].concat()).is(0).json();
    let compaction = &done["compaction"];
    assert!(compaction["packs"].as_u64().unwrap() >= 79, "{compaction}");
    assert!(compaction["made"].as_u64().unwrap() < 5, "{compaction}");
    assert_eq!(compaction["skipped"], Value::Null);
    assert_eq!(features(&place), serde_json::json!([0, 1, 2, 3]));
    assert!(place.objects("packs").len() + 70 < packs, "{packs}");
    restores(&place, &kept, &nights);
    // From then on nothing is asked.
    let again = place.ran(&line).is(0).json();
    assert_eq!(again["compaction"]["skipped"], Value::Null);
    place.ran(&["verify", "--depth", "blocks"]).is(0);
}

/// The program on a server, with the place's own words.
fn on(server: &S3, place: &Place, line: &[&str]) -> Ran {
    let network = ["--endpoint", &server.endpoint, "--allow-http"];
    let mut command = place.command(&[&network[..], line].concat());
    command.env("HAULOUT_REPO", "s3://test/db").envs(S3::variables());
    Ran::of(command, b"")
}

#[test]
fn locks_are_extended_and_what_a_bucket_keeps_of_deleted_objects_is_said() {
    let (server, place) = (S3::start(), Place::empty());
    server.locks().become_bucket(Bucket::Hides(Some(10)));
    on(&server, &place, &["init", "--no-encryption", "-q"]).is(0);
    for night in ["a", "b", "c"] {
        on(&server, &place, &["backup", "-q", "--source", "db", "--", "echo", night]).is(0);
    }
    on(&server, &place, &["forget", "--keep-last", "1", "--yes"]).is(0);
    let line = ["prune", "--extend-lock", "35d"];
    let pruned = on(&server, &place, &[&line[..], &["--json"]].concat()).is(0).json();
    assert_eq!(pruned["versions"], "versions");
    let locks = &pruned["locks"];
    assert!(locks["needed"].as_u64().unwrap() > 3, "{locks}");
    assert_eq!((&locks["extended"], &locks["left"]), (&locks["needed"], &Value::from(0)));
    let again = on(&server, &place, &line).is(0).out();
    assert!(again.contains("  locks     0 extended and 0 new of "), "{again}");
    // A time that is a mistake is refused before anything is asked: locks can't be taken back.
    for time in ["35", "1h", "11y", "0d"] {
        on(&server, &place, &["prune", "--extend-lock", time]).is(2);
    }
    // A directory has no locks.
    let (place, _, _) = nights(1);
    let failed = place.ran(&line).is(3).out();
    assert!(failed.contains("  refused   "), "{failed}");
}

#[test]
fn a_store_that_refuses_to_delete_is_reported_and_loses_nothing() {
    let server = S3::start();
    let place = Place::empty();
    let command = |line: &[&str]| on(&server, &place, line);
    command(&["init", "--no-encryption", "-q"]).is(0);
    for night in ["a", "b", "c"] {
        command(&["backup", "-q", "--source", "db", "--", "echo", night]).is(0);
    }
    command(&["forget", "--keep-last", "1", "--yes"]).is(0);
    let objects = || {
        let mut names = Vec::new();
        server.store("db").list("", &mut |meta| names.push(meta.name.to_string())).unwrap();
        names
    };
    let plan = command(&["prune", "--plan", "--json"]).is(0).json();
    let before = objects();
    // Deletions one by one and in batches.
    for method in ["DELETE", "POST"] {
        let denied = Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
        server.break_with(s3::Fault::next(method, u64::MAX, denied));
    }
    let refused = command(&["prune", "--json"]).is(3).json();
    assert_eq!(refused["freed_packs"], 0);
    let words = strings(&refused["refused"]);
    assert!(words.len() > 4 && words.iter().all(|why| why.contains("cannot delete")), "{words:?}");
    assert!(command(&["prune"]).is(3).out().contains("  refused   cannot delete packs/"));
    server.heal();
    let after = objects();
    let intents = after.iter().filter(|name| name.starts_with("intents/")).count();
    assert_eq!(intents, 2);
    assert!(before.iter().all(|name| after.contains(name)), "nothing is lost");
    command(&["restore", "latest", "--stdout"]).is(0).prints("c\n");
    // A prune with the right to delete takes everything, its predecessors' intents by wish.
    let runs = command(&["unlock", "--json"]).is(0).json();
    let runs: Vec<&str> =
        runs["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    let line = ["prune", "--abandon", runs[0], "--abandon", runs[1], "--json"];
    assert!(plan["freed_packs"].as_u64().unwrap() >= 2, "{plan}");
    assert_eq!(command(&line).is(0).json()["freed_packs"], plan["freed_packs"]);
    command(&["restore", "latest", "--stdout"]).is(0).prints("c\n");
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}
