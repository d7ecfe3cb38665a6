//! Error codes: the short list that operators and their scripts act on.
//!
//! Every error has one, by its `ErrorKind`. The program prints it with the hint
//! and in `--json`, and explains it from the table below. A code says who has to act, and where: on
//! the command, the key, the store, the producer or the target. What exactly to do is for the hint.

use std::fmt;
use std::str::FromStr;

/// Declares the codes: each has a spelling that never changes, what it means, and what to do.
macro_rules! codes {
    ($($name:ident $spelling:literal $meaning:literal $advice:literal)*) => {
        /// The coarse grain of what can be done about an error. The spellings are part of the
        /// interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $name,)*
        }

        impl ErrorCode {
            /// All codes, in the order of their declaration.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// Returns the spelling of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $spelling,)* }
            }

            /// Explains what such an error means.
            pub fn meaning(self) -> &'static str {
                match self { $(ErrorCode::$name => $meaning,)* }
            }

            /// Says what to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(ErrorCode::$name => $advice,)* }
            }
        }
    };
}

codes! {
    Usage "usage"
    "The command is not written as it should be, its options contradict each other, or it names a \
     snapshot or file that does not exist."
    "Change the command as the hint says. haulout COMMAND --help has its options, haulout \
     snapshots the names of snapshots."

    Location "location"
    "There is no repository at the location that was given, or it has lost its config; or init, \
     replicate or restore found something where nothing may be."
    "Check --repo or HAULOUT_REPO, and what is mounted there. Put a lost config back from a copy \
     of the repository. Choose an empty directory for a restore or a new repository."

    Unsupported "unsupported"
    "The repository, a snapshot or a stream has a version or feature that this haulout does not \
     know."
    "Use the version of haulout that wrote it, or a newer one. Nothing was changed."

    Key "key"
    "A password or key is needed, and none was given; or the one that was given opens no key of \
     the repository, may only add backups, or was not carried over when the keys were rotated; or \
     every user of this host can read its file."
    "Check --password-file, --password-command and the HAULOUT_PASSWORD variables. Use a key that \
     has the right, or a recovery kit; the owner of such a key adds others with haulout key add."

    Damaged "damaged"
    "An object of the repository is missing, or its bytes are not those that were stored."
    "Run haulout verify to see which snapshots and tables are affected, then haulout repair, or \
     haulout replicate --from a copy of the repository. Other snapshots may be intact."

    Distrusted "distrusted"
    "The repository shows something else than this host, a recovery kit or the repository itself \
     says it must: an older state, another repository, a gap in the snapshots, or an object that \
     is in another's place or was sealed with a key that does not count."
    "Find out who changed the repository, and compare it with a replica, before you rely on it or \
     write to it."

    Store "store"
    "The store that holds the repository refused, failed, could not be reached or is full; or the \
     directory for temporary files did; or runs may still be writing to the repository."
    "Check the mount, the network, the rights and the free space, or wait for the runs, then run \
     the command again. What is already stored is used."

    Producer "producer"
    "The producer of a backup could not be started or read, or wrote nothing that could be stored; \
     or the server that it reads could not be asked."
    "Read the producer's messages, and run it by itself to see whether its stream is whole."

    Target "target"
    "The target of a restore or of other output could not be written, has too little room, or can \
     be written by other users; or preparing what was restored failed."
    "Check the room and the rights of the target, and do what the hint says. What has been written \
     may be incomplete."

    Stopped "stopped"
    "A signal stopped the command before it was done."
    "Run the command again. A backup continues from its last checkpoint."

    Machine "machine"
    "This machine let haulout have too little memory or too few processes, or computed the same \
     thing with two different results."
    "Raise the limit that the hint names. After two different results, test memory and processor \
     before you trust a backup that was made here; nothing wrong was stored."

    Internal "internal"
    "A part of haulout did not work as it should. This is a fault of haulout."
    "Report the message with the command that was run. What is stored stays as it is, and haulout \
     verify checks it."
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a spelling that no error code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such error code")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownErrorCode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_few_codes_and_each_is_explained() {
        assert!(ErrorCode::ALL.len() <= 12, "{}", ErrorCode::ALL.len());
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            let spelling = code.as_str();
            assert!(seen.insert(spelling), "{spelling} twice");
            assert_eq!(spelling.parse(), Ok(*code));
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(spelling.chars().all(kebab), "{spelling}");
            for text in [code.meaning(), code.advice()] {
                assert!(text.len() > 30 && text.ends_with('.'), "{spelling}: {text}");
            }
        }
        assert_eq!("".parse::<ErrorCode>(), Err(UnknownErrorCode));
    }
}
