//! The keys of an S3 store in files: in the format of `~/.aws/credentials`, or one key in each of
//! two files, as secrets are mounted into containers.
//!
//! Source of the format: "Configuration and credential file settings" of the AWS SDKs.

use std::fs;
use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

/// The names of the keys in such a file, and of the variables that mean the same.
const NAMES: [(&str, &str); 3] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
];

/// Returns the variables that stand for the credentials of a repository.
pub(crate) fn variables_of(repository: &Table) -> Outcome<Vec<(String, String)>> {
    let mut variables = Vec::new();
    if let Some(path) = repository.text("credentials_file") {
        let text = read(path)?;
        let found = profile(&text, "default");
        if found.len() < 2 {
            let message = format!("{path} has no aws_access_key_id and aws_secret_access_key");
            return Err(Failure::new(
                Error::new(ErrorKind::NoKey, message),
                "write both below a line [default], as the AWS command line does",
            ));
        }
        variables.extend(found);
    }
    for (key, variable) in
        [("access_key_file", "AWS_ACCESS_KEY_ID"), ("secret_key_file", "AWS_SECRET_ACCESS_KEY")]
    {
        if let Some(path) = repository.text(key) {
            let text = read(path)?;
            let line = text.lines().next().unwrap_or_default().trim();
            variables.push((variable.to_owned(), line.to_owned()));
        }
    }
    Ok(variables)
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(Path::new(path)).map_err(|error| {
        let message = format!("cannot read the credentials in {path}");
        Failure::new(
            Error::new(ErrorKind::NoKey, message).because(error),
            "check the path in the configuration, and that this user may read the file",
        )
    })
}

/// Returns the keys of a profile.
fn profile(text: &str, wanted: &str) -> Vec<(String, String)> {
    let mut is_wanted = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_wanted = name.trim() == wanted;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_wanted) else { continue };
        let name = name.trim().to_ascii_lowercase();
        let variable = NAMES.iter().find(|(known, _)| *known == name).map(|(_, meant)| *meant);
        found.extend(variable.map(|variable| (variable.to_owned(), value.trim().to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_default_profile_are_taken() {
        let text = "# keys\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id=AK\n\
                    Aws_Secret_Access_Key = a=b+/\nregion = x\n";
        let found = profile(text, "default");
        let expected = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "a=b+/")];
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(found, expected);
    }
}
