//! Collects the reports of nodes: from files, and from other hosts by ssh.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::rescue::node::NodeReport;
use crate::rescue::node::VERSION;

/// Reads a report from a file.
pub(crate) fn from_file(path: &Path) -> Outcome<NodeReport> {
    let text = fs::read(path).map_err(|error| {
        let message = format!("cannot read the report {}", path.display());
        let hint = "haulout --json rescue inspect prints the report of a host";
        Failure::new(Error::new(ErrorKind::Usage, message).because(error), hint)
    })?;
    parse(&text, &path.display().to_string())
}

/// Asks another host. It is asked without a password, so that it ends.
pub(crate) fn from_host(host: &str, program: &OsStr, words: &[String]) -> Outcome<NodeReport> {
    let mut command = Command::new(program);
    command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host]);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    let failed = |why: String| {
        let message = format!("cannot inspect {host} by {}", program.display());
        let hint = format!(
            "run haulout --json rescue inspect > {host}.json there and give that file, or give \
             --lost {host} if its data are gone"
        );
        Failure::new(Error::new(ErrorKind::Source, message).because(why), hint)
    };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    parse(&output.stdout, host)
}

fn parse(text: &[u8], from: &str) -> Outcome<NodeReport> {
    let refused = |why: String| {
        let hint = "haulout --json rescue inspect of this version prints the report of a host";
        let message = format!("what {from} has is no report of a node");
        Failure::new(Error::new(ErrorKind::Usage, message).because(why), hint)
    };
    let report: NodeReport =
        serde_json::from_slice(text).map_err(|error| refused(error.to_string()))?;
    if report.version != VERSION {
        return Err(refused(format!("its version is {}", report.version)));
    }
    Ok(report)
}
