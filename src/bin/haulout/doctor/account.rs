//! The account of a source, and the option file that names it.

use std::path::Path;

use crate::doctor::finding::Finding;
use crate::jobs::account::ToolOptions;

/// The options that make an account.
const OF_ACCOUNT: [&str; 2] = ["user", "password"];

/// Judges where the tool of a source finds its account; `own` is the option file of the source, and
/// `user` the name that is taken if nothing names one.
pub(crate) fn judge(options: &ToolOptions, own: Option<&Path>, user: &str) -> Finding {
    const CHECK: &str = "account";
    let origins = OF_ACCOUNT.map(|name| options.origin(name));
    let is_file = |path: &&Path| path.is_absolute();
    let other = origins.into_iter().flatten().filter(is_file).find(|path| Some(*path) != own);
    if let (Some(other), Some(own)) = (other, own) {
        let (other, own) = (other.display(), own.display());
        return Finding::warning(
            CHECK,
            format!("taken from {other}, which the tools read besides defaults_file {own}"),
            format!("give user and password in {own}, and take both out of {other}"),
        );
    }
    Finding::good(
        CHECK,
        match origins[0] {
            Some(path) if path.is_absolute() => format!("named in {}", path.display()),
            Some(_) => "named in args".to_owned(),
            None => format!("{user}, since no option file names one"),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::tree::parse;
    use crate::doctor::finding::State;

    #[test]
    fn an_account_of_another_file_than_that_of_the_source_is_a_warning() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("backup.cnf");
        fs::write(&own, "[client]\nuser = own\n").unwrap();
        let variable = |name: &str| (name == "HOME").then(|| home.path().as_os_str().to_owned());
        let judged = |text: &str| {
            let (source, mistakes) = parse(text);
            assert_eq!(mistakes, []);
            let options = ToolOptions::of(&source, &variable).unwrap();
            judge(&options, source.text("defaults_file").map(Path::new), "me")
        };
        let with = format!("kind = 'mariadb-dump'\ndefaults_file = '{}'", own.display());
        assert_eq!(judged(&with).found, format!("named in {}", own.display()));
        let none = judged("kind = 'mariadb-dump'");
        assert_eq!(none.found, "me, since no option file names one");
        assert_eq!(judged("kind = 'mariadb-dump'\nargs = ['-ux']").found, "named in args");
        fs::write(home.path().join(".my.cnf"), "[client]\npassword = x\n").unwrap();
        let found = judged(&with);
        assert_eq!(found.state, State::Warning, "{found:?}");
        assert!(found.found.contains("/.my.cnf, which"), "{found:?}");
        assert_eq!(judged("kind = 'mariadb-dump'").state, State::Good);
    }
}
