//! Passwords as operators keep them: in files of every kind, commands and variables. One secret is
//! one password, and what can't be meant is refused.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::program::Place;
use crate::support::program::Ran;

/// A repository that `secret` opens.
fn place() -> Place {
    let place = Place::empty();
    let file = place.file("plain", "secret");
    place.ran(&["init", "-q", "--password-file", &file]).is(0);
    place
}

fn by_variable(place: &Place, password: &str) -> Ran {
    let mut command = place.command(&["snapshots"]);
    command.env("HAULOUT_PASSWORD", password);
    Ran::of(command, b"")
}

#[test]
fn a_secret_opens_from_a_file_a_command_and_the_environment_with_any_end_of_line() {
    let place = place();
    for text in ["secret", "secret\n", "secret\r\n", "secret\nsecond\n"] {
        let file = place.file("password", text);
        place.ran(&["snapshots", "--password-file", &file]).is(0);
        place.ran(&["snapshots", "--password-command", &format!("cat {file}")]).is(0);
        by_variable(&place, text).is(0);
    }
    for text in ["secret ", "\nsecret", ""] {
        let file = place.file("password", text);
        place.ran(&["snapshots", "--password-file", &file]).is(1);
    }
}

#[test]
fn what_an_editor_of_another_system_puts_into_a_file_is_refused_by_its_name() {
    let place = Place::empty();
    for (text, why, hint) in [
        (b"\xef\xbb\xbfsecret\n".as_slice(), "byte order mark (BOM)", "tail -c +4"),
        (b"\xff\xfes\0e\0c\0r\0e\0t\0", "UTF-16", "iconv -f UTF-16"),
        (b"sec\0ret\n", "zero byte", "haulout key add --key-file"),
        (b"\nsecret\n", "its first line is empty", "put the password into the first line"),
        (b"", "its first line is empty", "put the password into the first line"),
    ] {
        let file = place.file("password", text);
        for line in [["--password-file", &file], ["--password-command", &format!("cat {file}")]] {
            let told = place.ran(&[&["init"], &line[..]].concat()).is(1).says(why).says(hint);
            assert!(!told.err().contains("HAULOUT_PASSWORD"), "{}", told.err());
        }
    }
    assert!(!place.path("repo/config").exists());
}

#[test]
fn another_spelling_of_the_same_letters_is_hinted_at() {
    let place = Place::empty();
    let composed = place.file("composed", "caf\u{e9}\n");
    let decomposed = place.file("decomposed", "cafe\u{301}\n");
    let latin = place.file("latin", b"caf\xe9\n");
    place.ran(&["init", "-q", "--password-file", &composed]).is(0);
    let opened = |file: &str| place.ran(&["snapshots", "--password-file", file]);
    opened(&composed).is(0);
    opened(&decomposed).is(1).says("(NFD)").says("uconv -x any-nfc");
    opened(&latin).is(1).says("not UTF-8");
    let plain = place.file("plain", "cafe\n");
    let told = opened(&plain).is(1).err();
    assert!(!told.contains("NF") && !told.contains("UTF-8"), "{told}");
}

#[test]
fn a_file_that_everybody_can_read_is_refused_where_secrets_are_made_and_a_finding_elsewhere() {
    let place = Place::empty();
    let file = place.file("password", "secret\n");
    let mode = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let with = |line: &[&str]| place.ran(&[line, &["--password-file", &file]].concat());
    mode(0o644);
    let refused = with(&["init", "--json"]).is(1);
    assert_eq!(refused.error_kind(), "exposed");
    refused.says("can read it").says("chmod 0400");
    // Not even a group of many is everybody.
    mode(0o640);
    with(&["init", "-q"]).is(0);

    mode(0o604);
    with(&["key", "list"]).is(1).says("can read it");
    let new = place.path("new");
    with(&["key", "add", "--key-file", new.to_str().unwrap()]).is(1);
    assert!(!new.exists());
    with(&["snapshots"]).is(3).says("warning: insecure-permissions: ");
    let line = ["--password-file", &file, "backup", "--source", "db", "--json", "--", "echo", "x"];
    let stored = place.ran(&line).is(3).json();
    assert_eq!(stored["findings"][0]["code"], "insecure-permissions");
    for line in [["snapshots", "-v"], ["key", "list"]] {
        let ran = with(&[&line[..], &["--insecure-permissions"]].concat()).is(0);
        assert!(!ran.err().contains("insecure-permissions"), "{}", ran.err());
    }

    // What is new counts as well as what opens, and a pipe is nobody else's.
    mode(0o600);
    let other = place.file("other", "battery staple\n");
    fs::set_permissions(&other, Permissions::from_mode(0o644)).unwrap();
    with(&["key", "add", "--new-password-file", &other]).is(1).says("can read it");
    let line =
        format!("{} snapshots --password-file <(echo secret)", env!("CARGO_BIN_EXE_haulout"));
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &line]).env("HAULOUT_REPO", place.path("repo"));
    Ran::of(shell, b"").is(0);
}

/// A kit is a secret like a password file: without a password it opens everything by itself.
#[test]
fn a_kit_that_everybody_can_read_is_treated_as_a_password_file_is() {
    let place = place();
    let secret = place.file("password", "secret");
    let own = place.file("own", "battery staple\n");
    let (sealed, bare) = (place.path("sealed"), place.path("bare"));
    let export = |kit: &Path, how: &[&str]| {
        let line = ["key", "export", kit.to_str().unwrap(), "--password-file", &secret];
        place.ran(&[&line[..], how].concat()).is(0);
        let mode = fs::metadata(kit).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what is written is its owner's");
    };
    export(&sealed, &["--new-password-file", &own]);
    export(&bare, &["--no-password"]);
    let by_kit = |kit: &Path, line: &[&str]| {
        let kit = ["--recovery-kit", kit.to_str().unwrap()];
        place.ran(&[line, &kit].concat())
    };
    by_kit(&bare, &["snapshots"]).is(0);
    for kit in [&sealed, &bare] {
        fs::set_permissions(kit, Permissions::from_mode(0o604)).unwrap();
        let refused = by_kit(kit, &["key", "list", "--json"]).is(1);
        assert_eq!(refused.error_kind(), "exposed");
    }
    let own = ["--password-file", &own];
    let told = by_kit(&sealed, &[&["snapshots"], &own[..]].concat()).is(3);
    told.says("insecure-permissions").says(sealed.to_str().unwrap());
    by_kit(&bare, &["snapshots"]).is(3).says("insecure-permissions");
    for line in [["snapshots", "-v"], ["key", "list"]] {
        let ran = by_kit(&bare, &[&line[..], &["--insecure-permissions"]].concat()).is(0);
        assert!(!ran.err().contains("insecure-permissions"), "{}", ran.err());
    }
}

/// A key file that opens nothing would be taken for one that does.
#[test]
fn a_rotation_that_is_refused_leaves_no_key_file() {
    let place = place();
    let secret = place.file("password", "secret");
    let rotate = |file: &Path| {
        let line = ["key", "rotate", "--key-file", file.to_str().unwrap()];
        place.ran(&[&line[..], &["--password-file", &secret]].concat())
    };
    let backup = ["backup", "-q", "--source", "db", "--password-file", &secret];
    place.ran(&[&backup[..], &["--", "echo", "x"]].concat()).is(0);
    let aside = place.path("snapshots");
    fs::rename(place.path("repo/snapshots"), &aside).unwrap();
    let new = place.path("new");
    rotate(&new).is(1).says("lists 2 packs and no snapshot");
    assert!(!new.exists());
    fs::rename(&aside, place.path("repo/snapshots")).unwrap();

    // One that is there is another key's, and is left as it is.
    let taken = place.file("taken", "another key\n");
    rotate(Path::new(&taken)).is(1).says("it exists");
    assert_eq!(fs::read_to_string(&taken).unwrap(), "another key\n");
    rotate(&place.path("no/such/directory")).is(1).says("cannot write");
    assert_eq!(place.objects("keys").len(), 1, "no announcement of a rotation is left");

    rotate(&new).is(0);
    let by_new = ["snapshots", "--password-file", new.to_str().unwrap()];
    place.ran(&by_new).is(0);
    // The previous key may not add any, and makes no file either.
    let late = place.path("late");
    let write_only = place.path("writer");
    let by_new = ["--password-file", new.to_str().unwrap()];
    let add = ["key", "add", "--write-only", "--key-file", write_only.to_str().unwrap()];
    place.ran(&[&add[..], &by_new].concat()).is(0);
    let add = ["key", "add", "--key-file", late.to_str().unwrap()];
    let by_writer = ["--password-file", write_only.to_str().unwrap()];
    place.ran(&[&add[..], &by_writer].concat()).is(1);
    assert!(!late.exists());
}
