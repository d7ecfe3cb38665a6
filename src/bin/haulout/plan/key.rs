//! What `key` is to do.

use std::path::PathBuf;

use haulout::repo::keys::Gaps;
use haulout::seal::held::Role;

use crate::args::key::KeyAction;
use crate::args::key::KeyArguments;
use crate::args::key::NewKeyArguments;
use crate::args::key::NewPasswordArguments;
use crate::password::NEW_VARIABLES;
use crate::password::PasswordSource;
use crate::plan::Surroundings;

/// A change of keys, or a look at them.
#[derive(Debug)]
pub(crate) enum KeyPlan {
    /// Show them.
    List,
    /// Add one.
    Add {
        /// Its name for people.
        label: String,
        /// What it may do.
        role: Role,
        /// What opens it.
        with: NewKey,
    },
    /// Remove one.
    Remove(String),
    /// Change the password of the one in use.
    Passwd(PasswordSource),
    /// Draw a new key for what is stored from now on.
    Rotate {
        /// The new holder's name for people, if not that of the one in use.
        label: Option<String>,
        /// What opens it.
        with: NewKey,
        /// Whether snapshots may be missing.
        gaps: Gaps,
    },
    /// Write a recovery kit.
    Export {
        /// Where to.
        file: PathBuf,
        /// Its password; nothing for a kit in clear.
        password: Option<PasswordSource>,
        /// Where copies of the repository are.
        replicas: Vec<String>,
    },
}

/// What opens a new key.
#[derive(Debug)]
pub(crate) enum NewKey {
    /// A password.
    Password(PasswordSource),
    /// A key file that is made.
    File(PathBuf),
}

impl KeyPlan {
    /// What was typed, on this machine.
    pub(crate) fn new(typed: KeyArguments, around: &Surroundings<'_>) -> KeyPlan {
        let password = |new: NewPasswordArguments| {
            PasswordSource::choose(
                new.new_password_file,
                new.new_password_command,
                &NEW_VARIABLES,
                around.variable,
            )
        };
        let new_key = |key: NewKeyArguments| match key.key_file {
            Some(file) => NewKey::File(file),
            None => NewKey::Password(password(key.new)),
        };
        match typed.action {
            KeyAction::List(_) => KeyPlan::List,
            KeyAction::Add(typed) => KeyPlan::Add {
                label: typed.label.unwrap_or_else(|| around.host.clone()),
                role: if typed.write_only { Role::WriteOnly } else { Role::Full },
                with: new_key(typed.key),
            },
            KeyAction::Remove(typed) => KeyPlan::Remove(typed.key),
            KeyAction::Passwd(typed) => KeyPlan::Passwd(password(typed.new)),
            KeyAction::Rotate(typed) => {
                let gaps = if typed.with_gaps { Gaps::Accepted } else { Gaps::Refused };
                KeyPlan::Rotate { label: typed.label, with: new_key(typed.key), gaps }
            }
            KeyAction::Export(typed) => KeyPlan::Export {
                file: typed.file,
                password: (!typed.no_password).then(|| password(typed.new)),
                replicas: typed.replicas,
            },
        }
    }
}
