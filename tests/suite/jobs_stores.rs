//! Jobs whose repositories are in buckets, with keys in files; what a run looks for before it backs
//! up; jobs that only maintain; and the records of a slot in an object store.

use std::fs;
use std::path::PathBuf;

use haulout::store::Store;
use serde_json::Value;

use crate::support::program::Place;
use crate::support::program::Ran;
use crate::support::s3::Answer;
use crate::support::s3::BUCKET;
use crate::support::s3::Fault;
use crate::support::s3::KEY;
use crate::support::s3::S3;
use crate::support::s3::SECRET;
use crate::support::site::NIGHTLY;
use crate::support::site::Site;
use crate::support::site::results;

/// Returns a site whose job stores in a bucket, with a replica in another folder of it.
fn in_buckets(server: &S3) -> Site {
    let repository = |name: &str, keys: &str| {
        format!(
            "[repository.{name}]\nurl = \"s3://{BUCKET}/{name}\"\nendpoint = \"{}\"\n\
             allow_http = true\n{keys}\npassword_file = \"@/password\"\nkeep = {{ last = 2 }}\n",
            server.endpoint
        )
    };
    let bucket =
        repository("bucket", "access_key_file = \"@/access\"\nsecret_key_file = \"@/secret\"");
    let copy = repository("copy", "credentials_file = \"@/credentials\"");
    let jobs = NIGHTLY.replace("\"local\"", "\"bucket\"").replace("\"offsite\"", "\"copy\"");
    let site = Site::new(&format!("{bucket}{copy}{jobs}"));
    site.place.file("access", format!("{KEY}\n"));
    site.place.file("secret", format!("{SECRET}\n"));
    let lines = format!(
        "[other]\naws_access_key_id = wrong\n[default]\naws_access_key_id = {KEY}\n\
         aws_secret_access_key = {SECRET}\n"
    );
    site.place.file("credentials", lines);
    site
}

#[test]
fn a_job_stores_in_buckets_with_the_keys_that_its_files_hold() {
    let server = S3::start();
    let site = in_buckets(&server);
    // Keys of the environment are not those of a repository that has a name.
    let ran = |arguments: &[&str]| {
        let mut command = site.place.command(&site.arguments(arguments));
        command.env("AWS_ACCESS_KEY_ID", "wrong").env("AWS_SECRET_ACCESS_KEY", "wrong");
        Ran::of(command, b"")
    };
    ran(&["init", "--job", "nightly", "-q"]).is(0);
    for _night in 0..3 {
        let record = ran(&["run", "nightly", "--json"]).is(0).json();
        let expected = ["check bucket done", "backup db done", "backup files done"];
        assert_eq!(results(&record)[..3], expected, "{record}");
        assert!(results(&record).contains(&"replicate copy done".to_owned()), "{record}");
    }
    // Two of each source.
    assert_eq!((site.snapshots("bucket"), site.snapshots("copy")), (4, 4));
    site.place.file("secret", "wrong\n");
    ran(&["-r", "bucket", "snapshots"]).is(1).says("denied");
    fs::remove_file(site.place.path("secret")).unwrap();
    ran(&["-r", "bucket", "snapshots"]).is(1).says("cannot read the credentials in");
    ran(&["-r", "copy", "snapshots"]).is(0);
}

#[test]
fn doctor_tries_whether_a_bucket_takes_what_the_job_puts() {
    let server = S3::start();
    let site = in_buckets(&server);
    let writing = |status: i32| -> Vec<(Value, Value)> {
        let examined = site.ran(&["doctor", "nightly", "--json"]).is(status).json();
        let checks = examined["checks"].as_array().unwrap().iter();
        let tried = checks.filter(|check| check["check"] == "writing");
        tried.map(|check| (check["subject"].clone(), check["state"].clone())).collect()
    };
    let both = |state: &str| {
        ["repository bucket", "replica copy"].map(|of| (Value::from(of), Value::from(state)))
    };
    // There is nothing to write to.
    assert_eq!(writing(1), []);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let objects = || [server.store("bucket"), server.store("copy")].map(|store| count(&store));
    let before = objects();
    assert_eq!(writing(3), both("good"));
    assert_eq!(objects(), before);
    // Rights to put are lost, and those to delete, which the retention of the job needs.
    let denied = |method| {
        let answer = Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
        server.break_with(Fault { path: "notes/probe-", ..Fault::next(method, u64::MAX, answer) });
    };
    denied("PUT");
    assert_eq!(writing(1), both("failed"));
    server.heal();
    denied("DELETE");
    for _ in 0..2 {
        assert_eq!(writing(1), both("failed"));
        // One object stays, whatever the number of tries.
        assert_eq!(objects(), before.map(|count| count + 1));
    }
    server.heal();
    assert_eq!(writing(3), both("good"));
    assert_eq!(objects(), before);
}

fn count(store: &dyn Store) -> usize {
    let mut count = 0;
    store.list("", &mut |_| count += 1).unwrap();
    count
}

#[test]
fn plain_http_to_the_other_side_must_be_allowed() {
    let (server, place) = (S3::start(), Place::clear());
    place.backed_up("echo hello").is(0);
    let to = format!("s3://{BUCKET}/other");
    let replicated = |more: &[&str]| {
        let mut arguments = vec!["replicate", "--to", &to, "--init"];
        arguments.extend(["--other-endpoint", &server.endpoint]);
        arguments.extend(more);
        let mut command = place.command(&arguments);
        for (name, value) in S3::variables() {
            command.env(format!("HAULOUT_OTHER_{name}"), value);
        }
        Ran::of(command, b"")
    };
    let refused = replicated(&[]);
    assert_ne!(refused.output.status.code(), Some(0), "{}", refused.err());
    assert_eq!(server.requests(), 0);
    replicated(&["--other-allow-http"]).is(0);
    let mut listing = place.command(&["snapshots", "--json", "--allow-http"]);
    listing.args(["-r", &to, "--endpoint", &server.endpoint]).envs(S3::variables());
    let listed = Ran::of(listing, b"").is(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

/// Changes a byte in the middle of files whose lengths stay.
fn flip(packs: &[PathBuf]) {
    for pack in packs {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
}

#[test]
fn damage_that_no_list_shows_is_found_before_the_backup_only_if_a_part_is_verified() {
    for (more, found) in [("", false), ("verify_before = { budget = \"100%\" }\n", true)] {
        let jobs = NIGHTLY.replace("verify = { budget = \"5%\" }\n", more);
        let site = Site::new(&jobs);
        site.ran(&["init", "--job", "nightly", "-q"]).is(0);
        site.job("nightly", 0);
        let packs = site.packs("local");
        let before: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
        flip(&packs);
        let record = site.job("nightly", if found { 3 } else { 0 });
        let begin: &[&str] = if found {
            &["check local done", "check local findings", "repair offsite done", "backup db done"]
        } else {
            &["check local done", "backup db done"]
        };
        assert_eq!(results(&record)[..begin.len()], *begin, "{record}");
        let is_healed = |(pack, bytes): (&PathBuf, &Vec<u8>)| fs::read(pack).unwrap() == *bytes;
        assert_eq!(packs.iter().zip(&before).all(is_healed), found);
    }
}

#[test]
fn a_job_without_sources_maintains_what_other_hosts_store() {
    let jobs = NIGHTLY.replace("replicas", "steps = [\"backup\"]\nreplicas");
    let maintenance = "[job.upkeep]\nrepository = \"local\"\nreplicas = [\"offsite\"]\n\
                       steps = [\"check\", \"repair\", \"replicate\", \"retention\", \"prune\", \
                       \"verify\"]\nverify = { budget = \"100%\" }\nprune = \"every-run\"\n";
    let site = Site::new(&format!("{jobs}{maintenance}"));
    site.ran(&["init", "--job", "upkeep", "-q"]).is(0);
    for _night in 0..3 {
        let record = site.job("nightly", 0);
        assert_eq!(results(&record), ["backup db done", "backup files done"], "{record}");
    }
    assert_eq!((site.snapshots("local"), site.snapshots("offsite")), (6, 0));
    let expected = [
        "check local done",
        "replicate offsite done",
        "retention local done",
        "retention offsite done",
        "prune local done",
        "prune offsite done",
        "verify local done",
    ];
    assert_eq!(results(&site.job("upkeep", 0)), expected);
    // Two of each source here, three there.
    assert_eq!((site.snapshots("local"), site.snapshots("offsite")), (4, 6));
    let lost = site.packs("local");
    lost.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let record = site.job("upkeep", 3);
    assert_eq!(results(&record)[..2], ["check local findings", "repair offsite done"], "{record}");
    assert!(lost.iter().all(|pack| pack.exists()));
    assert_eq!(results(&site.job("upkeep", 0)), expected);
}

#[test]
fn hosts_agree_on_a_slot_in_an_object_store() {
    let server = S3::start();
    let site = in_buckets(&server);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let slot = |action: &str, at: &str, more: &[&str]| -> Value {
        let mut arguments = vec!["-r", "bucket", "--json", "slot", action, "nightly", "--at", at];
        arguments.extend(["--takeover", "4s"]);
        arguments.extend(more);
        site.ran(&arguments).is(0).json()
    };
    let (tonight, tomorrow) = ("1796059680", "1796146080");
    let won = slot("take", tonight, &["--node", "db3"]);
    assert_eq!(won["won"], true, "{won}");
    let (claim, generation) = (won["claim"].as_str().unwrap(), won["generation"].to_string());
    let own = ["--node", "db3", "--claim", claim, "--generation", &generation];
    assert_eq!(slot("progress", tonight, &own)["counts"], true);
    slot("end", tonight, &[&own[..], &["--result", "done"]].concat());
    let other = slot("take", tonight, &["--node", "db2", "--rank", "1"]);
    assert_eq!(
        (&other["won"], &other["node"], &other["result"]),
        (&Value::Bool(false), &Value::from("db3"), &Value::from("done"))
    );
    assert_eq!(slot("last", tomorrow, &["--node", "db2"])["node"], "db3");
    // A claim of a host that dies lasts until nothing has come for the time of a takeover.
    assert_eq!(slot("take", tomorrow, &["--node", "db3"])["won"], true);
    let second = slot("take", tomorrow, &["--node", "db2", "--rank", "1"]);
    assert_eq!((&second["won"], &second["generation"]), (&Value::Bool(true), &Value::from(1)));
}
