//! The plan of `key`.

use std::path::Path;
use std::path::PathBuf;

use haulout::repo::keys::Gaps;
use haulout::repo::keys::Role;

use crate::environment::Surroundings;
use crate::secrets::password::NEW_VARIABLES;
use crate::secrets::password::PasswordSource;
use crate::verbs::key::args::KeyAction;
use crate::verbs::key::args::KeyArguments;
use crate::verbs::key::args::NewKeyArguments;
use crate::verbs::key::args::NewPasswordArguments;

/// A change of keys, or a look at them.
#[derive(Debug)]
pub(crate) enum KeyPlan {
    /// Lists the keys of the repository.
    List,
    /// Adds a new key for the repository.
    Add {
        /// The label of the key.
        label: String,
        /// The rights of the key.
        role: Role,
        /// The credential that opens the new key.
        with: NewKey,
    },
    /// Removes the key with this id.
    Remove(String),
    /// Changes the password of the key in use.
    Passwd(PasswordSource),
    /// Rotates the keys: a new one is for what is stored from now on.
    Rotate {
        /// The label of the new key, if it differs from the label of the key in use.
        label: Option<String>,
        /// The credential that opens the new key slot.
        with: NewKey,
        /// The treatment of snapshots that are missing from the list.
        gaps: Gaps,
    },
    /// Writes a recovery kit to a file.
    Export {
        /// The file to write the kit to.
        file: PathBuf,
        /// The source of its password; `None` for a kit in clear.
        password: Option<PasswordSource>,
        /// The locations of copies of the repository.
        replicas: Vec<String>,
    },
}

/// A recovery kit that is to be written.
pub(crate) struct NewKit<'k> {
    /// The file to write the kit to.
    pub(crate) path: &'k Path,
    /// The source of its password; `None` for a kit in clear.
    pub(crate) password: Option<&'k PasswordSource>,
    /// The locations of copies of the repository.
    pub(crate) replicas: &'k [String],
}

/// The credential that opens a new key.
#[derive(Debug)]
pub(crate) enum NewKey {
    /// A password from this source.
    Password(PasswordSource),
    /// A key file that is created at this path.
    File(PathBuf),
}

impl KeyPlan {
    /// Builds the plan from the parsed arguments on this host.
    pub(crate) fn new(typed: KeyArguments, around: &Surroundings<'_>) -> Self {
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
            KeyAction::List(_) => Self::List,
            KeyAction::Add(typed) => Self::Add {
                label: typed.label.unwrap_or_else(|| around.host.clone()),
                role: if typed.write_only { Role::WriteOnly } else { Role::Full },
                with: new_key(typed.key),
            },
            KeyAction::Remove(typed) => Self::Remove(typed.key),
            KeyAction::Passwd(typed) => Self::Passwd(password(typed.new)),
            KeyAction::Rotate(typed) => {
                let gaps = if typed.with_gaps { Gaps::Accepted } else { Gaps::Refused };
                Self::Rotate { label: typed.label, with: new_key(typed.key), gaps }
            }
            KeyAction::Export(typed) => Self::Export {
                file: typed.file,
                password: (!typed.no_password).then(|| password(typed.new)),
                replicas: typed.replicas,
            },
        }
    }
}
