//! The hints for people, by the kind of an error: what to do about it.
//!
//! Lower case, no full stop, an action first. One line each.

use haulout::error::ErrorKind;
use haulout::store::error::Diagnosis;
use rustix::io::Errno;

/// Makes the function that gives each kind its hint, so that none can be forgotten.
macro_rules! hints {
    ($($kind:ident $hint:literal)*) => {
        /// Returns the hint for an error of this kind.
        pub(crate) fn hint(kind: ErrorKind) -> &'static str {
            match kind {
                $(ErrorKind::$kind => $hint,)*
            }
        }
    };
}

hints! {
    Usage "haulout --help shows how commands are written"
    NoRepository "check --repo or HAULOUT_REPO; haulout init makes a new repository"
    NoConfig
        "put the object config back from a copy of the repository, or run haulout salvage; \
        haulout init would make another repository, which opens none of these snapshots"
    Occupied "choose a place that is empty or not there yet"
    Unsupported "use the version of haulout that wrote it, or a newer one; nothing was changed"
    WrongKey
        "check --password-file, --password-command and the HAULOUT_PASSWORD variables; a \
        password that is lost can't be recovered"
    Memory
        "raise the limit of memory (ulimit -v, MemoryMax= of the systemd unit) or free some, \
        or use a key file, which needs no stretching"
    NoKey
        "give the password with --password-file, --password-command or HAULOUT_PASSWORD; the \
        command's --help names the options for other passwords"
    Removed
        "it is not damaged; haulout snapshots lists what there is, and a copy of the repository \
        may still have it"
    Missing
        "run haulout verify --depth objects to see what else is missing; put the object back \
        from a copy of the repository, or back up again, which stores its blocks again"
    Damaged
        "run haulout verify to see which snapshots and tables are affected; other snapshots \
        may be intact"
    Store
        "check that the repository is mounted, and that this user may read and write all of it \
        (a run of another user may have left files of its own), then run the command again"
    Protected
        "use credentials that may overwrite the object config, or have haulout upgrade run there \
        by a user who has them"
    Busy
        "wait until the runs that are named have ended, then run the command again; if those that \
        upgrade names are known to have ended, give --runs-ended"
    Fenced
        "run the command again: a prune did not wait for this run, and what it has stored does \
        not count"
    Full "make room at the repository and run the command again; what is already stored is used"
    Source
        "the producer's own messages say why; run it by itself to see whether its stream is \
        whole"
    Server
        "check the address and the account of the server, and that it runs"
    Target
        "check that the target has room and is writable; what has been written so far is \
        incomplete"
    NoRoom "make room, or choose another target; nothing has been written yet"
    Shared
        "restore into a directory that only its owner can write to, or rename, or give \
        --shared-target if the other users are trusted with the data"
    Prepare
        "read the messages of mariabackup above, or name another with --prepare-program; the \
        restored files are whole, so mariabackup --prepare can be run again by hand"
    Load
        "what stood before that statement is loaded and stays; remove the cause, then run the \
        command again with --replace"
    Chain
        "remove the directory and restore the increment again into an empty one; an increment \
        must never be applied twice"
    Cancelled "run the command again; a backup goes on from its last checkpoint"
    WriteOnly "use a key that opens everything, or a recovery kit, where the backups may be read"
    RetiredKey
        "if a rotation of the keys overtook a run, that run failed, and the next backup of \
        the source ends the warning; otherwise a retired key was used: do not trust it; a \
        list that is lost comes back from a copy of the repository"
    RetiredSlot
        "ask the person who rotated the keys to add one for you (haulout key add); if the \
        rotation was interrupted, run haulout key rotate again"
    RolledBack
        "look for the newest snapshots in a copy of the repository, and find out who put an \
        older state in its place"
    Gap
        "fetch the snapshot from a copy of the repository (haulout replicate --from), and find \
        out who removed it"
    OtherRepository "check --repo, and what is mounted there, before anything is restored or stored"
    Misplaced
        "a person with access to the store has put it where it does not belong: remove it, and \
        fetch the right one from a copy of the repository"
    ForeignKey
        "it belongs to another repository, or was written with a newer generation of keys than \
        the one in use: haulout key list shows which that is"
    Distrusted
        "find out who changed the repository, and compare it with a replica, before relying on \
        it or writing to it"
    Miscomputed
        "suspect this machine's memory or processor, and test it before trusting any backup \
        made on it; nothing wrong was stored"
    Threads
        "raise the limit of processes (ulimit -u, or TasksMax= of the systemd unit), or run \
        the command with --threads 1"
    Exposed
        "run chmod 0400 on the file, or give --insecure-permissions if every user of this host \
        may read it"
    Bug
        "report this message with the command that was run; what is stored stays as it is, and \
        haulout verify checks it"
}

/// Returns what to do about a limit of the system that a program runs into, by its error number,
/// whatever it was doing when that happened.
pub(crate) fn hint_of_limit(number: i32) -> Option<&'static str> {
    let is = |limit: Errno| limit.raw_os_error() == number;
    if is(Errno::MFILE) || is(Errno::NFILE) {
        return Some(
            "raise the limit of open files (ulimit -n, or LimitNOFILE= of the systemd unit), or \
             run the command with --threads 1",
        );
    }
    // Of a thread or a program that can't be started; reads and writes here do not give it.
    is(Errno::AGAIN).then(|| hint(ErrorKind::Threads))
}

/// Returns the hint for an error of an object store.
pub(crate) fn hint_of(diagnosis: Diagnosis) -> &'static str {
    match diagnosis {
        Diagnosis::Credentials => {
            "check the keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, the variables \
             GOOGLE_* for gs://, AZURE_* for az://; profiles in ~/.aws are not read"
        }
        Diagnosis::Forbidden => {
            "compare the policy of these keys with the one in the README: reading needs the right \
             to list the bucket too; some stores answer the same to a wrong key or secret"
        }
        Diagnosis::NoBucket => "check the bucket's name, or make it: haulout makes no buckets",
        Diagnosis::ClockSkew => {
            "set this machine's clock (timedatectl status shows whether it is synchronised)"
        }
        Diagnosis::Region => "name the bucket's region with --region or AWS_REGION",
        Diagnosis::NotAStore => {
            "check --endpoint, and whether a proxy or a login page stands between here and the \
             store"
        }
        Diagnosis::Certificate => {
            "trust the server's certificate authority with --ca-file, if the server is the right \
             one"
        }
        Diagnosis::Unreachable => {
            "check --endpoint, the network and the proxies, then run the command again; what is \
             already stored is used"
        }
        Diagnosis::PlainHttp => {
            "use an https:// endpoint, or allow this one with --allow-http if the network is yours"
        }
        Diagnosis::RetriesExhausted => {
            "the store is overloaded or down: run the command again later, or be patient for \
             longer with --retry-for; what is already stored is used"
        }
        Diagnosis::Options => {
            "check --endpoint, --region, --ca-file and the service's variables (AWS_*, GOOGLE_*, \
             AZURE_*): no store can be reached with them"
        }
        Diagnosis::NoRanges => {
            "this store, or a proxy before it, can't give parts of objects, which haulout needs; \
             use another"
        }
        Diagnosis::Locked => {
            "wait until the lock of the object ends; a lock in GOVERNANCE mode can be ended by an \
             identity with the right s3:BypassGovernanceRetention"
        }
        Diagnosis::NoLocks => {
            "run the command without --extend-lock, or use a bucket with Object Lock \
             (create-bucket --object-lock-enabled-for-bucket) and set a rule for it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIAGNOSES: [Diagnosis; 14] = [
        Diagnosis::Credentials,
        Diagnosis::Forbidden,
        Diagnosis::NoBucket,
        Diagnosis::ClockSkew,
        Diagnosis::Region,
        Diagnosis::NotAStore,
        Diagnosis::Certificate,
        Diagnosis::Unreachable,
        Diagnosis::PlainHttp,
        Diagnosis::RetriesExhausted,
        Diagnosis::NoRanges,
        Diagnosis::Locked,
        Diagnosis::NoLocks,
        Diagnosis::Options,
    ];

    #[test]
    fn every_kind_has_a_hint_of_its_own_in_the_right_tone() {
        let mut seen = Vec::new();
        let kinds = ErrorKind::ALL.iter().map(|kind| (format!("{kind:?}"), hint(*kind)));
        let diagnoses =
            DIAGNOSES.iter().map(|diagnosis| (format!("{diagnosis:?}"), hint_of(*diagnosis)));
        for (kind, hint) in kinds.chain(diagnoses) {
            assert!(hint.len() > 20, "{kind:?}");
            assert!(hint.starts_with(|c: char| c.is_ascii_lowercase()), "{kind:?}: {hint}");
            assert!(!hint.ends_with('.') && !hint.contains(". "), "{kind:?}: {hint}");
            assert!(!hint.contains("  ") && !hint.contains('\n'), "{kind:?}: {hint}");
            assert!(!seen.contains(&hint), "{kind:?}: {hint}");
            seen.push(hint);
        }
    }
}
