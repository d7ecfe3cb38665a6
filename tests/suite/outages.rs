//! A store that answers nothing for a while, on real servers: `tests/mariadb/outage` stops the way
//! to an S3 server in the test process, `HAULOUT_OUTAGE` seconds long (20 unless given).

use std::process::Command;
use std::process::Stdio;

use crate::support::s3::BUCKET;
use crate::support::s3::S3;

#[test]
#[ignore = "needs MariaDB servers and HAProxy; tests/run mariadb runs it"]
fn a_store_that_is_away_for_a_while_costs_no_backup_and_no_server_waits_for_it() {
    let server = S3::start();
    let address = server.endpoint.strip_prefix("http://").unwrap();
    let mut command = Command::new("tests/mariadb/outage");
    command.args(["--endpoint", address, "--bucket", BUCKET]).envs(S3::variables());
    if let Ok(seconds) = std::env::var("HAULOUT_OUTAGE") {
        command.args(["--outage", &seconds]);
    }
    command.env("HAULOUT", env!("CARGO_BIN_EXE_haulout")).env_remove("HAULOUT_OUTAGE");
    assert!(command.stdin(Stdio::null()).status().unwrap().success(), "it says what is wrong");
    assert!(server.requests() > 0, "the store was never asked");
}
