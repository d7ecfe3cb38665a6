//! A first configuration of a real cluster and a bucket, and three nights of it:
//! `tests/mariadb/nights`, with an S3 server in the test process.

use std::process::Command;
use std::process::Stdio;

use crate::support::s3::BUCKET;
use crate::support::s3::S3;

#[test]
#[ignore = "needs MariaDB servers and HAProxy; tests/run mariadb runs it"]
fn a_cluster_and_a_bucket_are_set_up_and_three_nights_run() {
    let server = S3::start();
    let address = server.endpoint.strip_prefix("http://").unwrap();
    let mut command = Command::new("tests/mariadb/nights");
    command.args(["--endpoint", address, "--bucket", BUCKET]).envs(S3::variables());
    command.env("HAULOUT", env!("CARGO_BIN_EXE_haulout"));
    assert!(command.stdin(Stdio::null()).status().unwrap().success(), "it says what is wrong");
    assert!(server.requests() > 0, "the store was never asked");
}
