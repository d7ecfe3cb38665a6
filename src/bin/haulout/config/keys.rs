//! The sections of a configuration file and their keys: the one declaration from which a file is
//! checked, shown, and described as a JSON schema and in the guide.
//!
//! A key that is an option of a command is not declared here: a [`Section`] says which options it
//! takes, and their meaning, values and texts are those of the command line.

use std::str::FromStr;

use haulout::server::login::Address;

use crate::config::schedule::Schedule;
use crate::grammar::limit::Limit;
use crate::grammar::values;
use crate::output::units::ByteCount;

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    /// The name of the key.
    pub(crate) name: &'static str,
    /// The values that it takes.
    pub(crate) kind: Kind,
    /// A sentence about it, without a full stop.
    pub(crate) about: &'static str,
    /// Whether it must be there.
    pub(crate) need: Need,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
}

/// The values that a key takes.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any text but an empty one.
    Text,
    /// A text that is not empty.
    Path,
    /// A text that this function accepts, or says what is wrong with it.
    Parsed(fn(&str) -> Result<(), String>),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words.
    Words(&'static [&'static str]),
    /// One of `true` and `false`.
    Flag,
    /// A number that may have a point, of which this function accepts the text.
    Decimal(fn(&str) -> Result<(), String>),
    /// A whole number in a range.
    Number { least: i64, most: i64 },
    /// A list of texts.
    Texts,
    /// A list of addresses, at least one, each of which this function accepts.
    Addresses(fn(&str) -> Result<(), String>),
    /// A program and its arguments, word by word.
    Command,
    /// The name of a section of this kind.
    Name(&'static str),
    /// Names of sections of this kind.
    Names(&'static str),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of tables with these keys.
    Tables(&'static [Key]),
}

/// The options of the command line that a section takes as keys, with `_` for `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Options {
    /// None of the options.
    None,
    /// Those of every command, and those of each command in a table of its name.
    All,
    /// These of the options of every command.
    Common(&'static [&'static str]),
    /// Those of this command but the ones that are named after it.
    Of(&'static str, &'static [&'static str]),
}

/// A section of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// The name of the section.
    pub(crate) name: &'static str,
    /// A sentence about it, without a full stop.
    pub(crate) about: &'static str,
    /// Whether there may be many of them, each with a name: `[job.NAME]`.
    pub(crate) number: HowMany,
    /// The keys that are no options of the command line.
    pub(crate) keys: &'static [Key],
    /// The options of the command line that are keys.
    pub(crate) options: Options,
}

/// Whether a section stands once in a file, or as often as there are names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HowMany {
    One,
    Named,
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about, need: Need::Optional }
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about, need: Need::Required }
}

fn parsed<T>(found: Result<T, String>) -> Result<(), String> {
    found.map(|_| ())
}

const COUNT: Kind = Kind::Number { least: 1, most: 100_000 };
const DURATION: Kind = Kind::Parsed(|text| parsed(values::duration(text)));
const SIZE: Kind = Kind::Parsed(|text| parsed(ByteCount::from_str(text)));
const BUDGET: Kind = Kind::Parsed(|text| parsed(values::budget(text)));

/// All sections, in the order of the guide.
pub(crate) const SECTIONS: [Section; 5] = [
    Section {
        name: "defaults",
        about: "What holds unless something else is said; [defaults.COMMAND] for one command",
        number: HowMany::One,
        keys: &[optional(
            "state_dir",
            Kind::Path,
            "Directory for what jobs remember [default: /var/lib/haulout]",
        )],
        options: Options::All,
    },
    Section {
        name: "repository",
        about: "A repository, which --repo, --to and --from take by its name",
        number: HowMany::Named,
        keys: REPOSITORY,
        options: Options::Common(&[
            "password_file",
            "password_command",
            "insecure_permissions",
            "endpoint",
            "region",
            "ca_file",
            "allow_http",
            "retry_for",
            "cache",
            "cache_size",
        ]),
    },
    Section {
        name: "source",
        about: "A producer whose stream is stored; its name is the name of the source",
        number: HowMany::Named,
        keys: SOURCE,
        options: Options::Of("backup", &["source", "limit"]),
    },
    Section {
        name: "cluster",
        about: "A Galera cluster, one node of which is backed up",
        number: HowMany::Named,
        keys: CLUSTER,
        options: Options::None,
    },
    Section {
        name: "job",
        about: "What haulout run NAME does",
        number: HowMany::Named,
        keys: JOB,
        options: Options::None,
    },
];

const REPOSITORY: &[Key] = &[
    required("url", Kind::Text, "A path, or an s3, gs or az URL"),
    optional(
        "limit",
        Kind::Parsed(|text| parsed(Limit::from_str(text))),
        "Limit of the traffic, in bytes a second: 10MiB, or a timetable",
    ),
    optional(
        "credentials",
        Kind::Word(&["environment"]),
        "Take passwords and credentials from the variables of the environment as well",
    ),
    optional("credentials_file", Kind::Path, "Keys of an S3 store, in the format of ~/.aws"),
    optional("access_key_file", Kind::Path, "File with the access key of an S3 store"),
    optional("secret_key_file", Kind::Path, "File with the secret key of an S3 store"),
    optional(
        "recovery_kit",
        Kind::Text,
        "Where the recovery kit is kept, for people: doctor warns if nothing is said",
    ),
    optional("keep", Kind::Table(KEEP), "Rules of retention, as those of haulout forget"),
    optional("quota", SIZE, "How much may be stored there: a backup that needs more is not begun"),
];

const KEEP: &[Key] = &[
    optional("last", COUNT, "Keep the newest N"),
    optional(
        "within",
        Kind::Parsed(|text| parsed(values::long_duration(text))),
        "Keep all that are at most this much older than the newest",
    ),
    optional("hourly", COUNT, "Keep the newest of each of N hours"),
    optional("daily", COUNT, "Keep the newest of each of N days"),
    optional("weekly", COUNT, "Keep the newest of each of N weeks"),
    optional("monthly", COUNT, "Keep the newest of each of N months"),
    optional("yearly", COUNT, "Keep the newest of each of N years"),
    optional("tags", Kind::Texts, "Keep what has one of these tags"),
    optional(
        "pitr",
        Kind::Parsed(|text| parsed(values::long_duration(text))),
        "Keep binary logs for this time, and the backup with which it begins",
    ),
];

const SOURCE: &[Key] = &[
    required(
        "kind",
        Kind::Word(&["mariabackup", "mariadb-dump", "files", "command"]),
        "The kind of producer",
    ),
    optional("keep", Kind::Table(KEEP), "Rules of retention instead of those of the repository"),
    optional(
        "space_ratio",
        Kind::Decimal(|text| parsed(values::thousandths(text))),
        "The part of what it reads that a first backup is expected to store [default: 0.6]",
    ),
    optional("program", Kind::Text, "The producer's program, if not the usual one"),
    optional("args", Kind::Texts, "Further arguments of the producer"),
    optional("socket", Kind::Path, "Socket of the server"),
    optional("host", Kind::Text, "Host of the server, for a dump"),
    optional("port", Kind::Number { least: 1, most: 65_535 }, "Port of the server, for a dump"),
    optional("defaults_file", Kind::Path, "Option file with the account, mode 0600 or 0640"),
    optional("cluster", Kind::Name("cluster"), "The cluster that the server is a node of"),
    optional("parallel", Kind::Number { least: 1, most: 1024 }, "Threads of mariabackup"),
    optional(
        "galera_info",
        Kind::Flag,
        "Store the position in the cluster [default: if the server is a node of one]",
    ),
    optional("only", Kind::Word(&["accounts"]), "Dump accounts, roles and grants only"),
    optional("databases", Kind::Texts, "Schemas to dump [default: all but those of the system]"),
    optional("exclude_databases", Kind::Texts, "Schemas not to dump"),
    optional("exclude_tables", Kind::Texts, "Tables not to dump, as SCHEMA.TABLE"),
    optional("paths", Kind::Texts, "Directories and files to store"),
    optional("exclude", Kind::Texts, "Patterns of files not to store, as those of tar"),
    optional("one_file_system", Kind::Flag, "Stay on the file systems of the paths"),
    optional("command", Kind::Command, "The producer and its arguments"),
    optional("binlog", Kind::Table(BINLOG), "How haulout binlog archive stores its binary logs"),
];

const BINLOG: &[Key] = &[
    optional(
        "interval",
        DURATION,
        "How often the open file is stored [default: 1min, in a bucket 10min]",
    ),
    optional("program", Kind::Text, "The tool that fetches [default: mariadb-binlog]"),
    optional(
        "server_id",
        Kind::Number { least: 1, most: 4_294_967_295 },
        "Its number among the replicas of the server [default: made of the names]",
    ),
];

const ADDRESS: Kind = Kind::Parsed(|text| parsed(text.parse::<Address>()));

const CLUSTER: &[Key] = &[
    required(
        "members",
        Kind::Addresses(|text| parsed(text.parse::<Address>())),
        "Addresses of all nodes, each HOST or HOST:PORT",
    ),
    optional(
        "virtual_address",
        ADDRESS,
        "Address that applications use; the node that answers there is not backed up",
    ),
    optional(
        "clustercheck",
        Kind::Addresses(values::plain_http_address),
        "Addresses of clustercheck on the nodes, which doctor and the choice compare with SQL",
    ),
    optional("defaults_file", Kind::Path, "Option file with the account that asks the members"),
    optional(
        "client_from",
        Kind::Path,
        "Configuration of an OpenStack service, whose account asks the members",
    ),
    optional("prefer", Kind::Texts, "Nodes that are backed up before others, by name or address"),
    optional(
        "writer",
        Kind::Word(&["never", "last"]),
        "Whether the node that applications write to may be backed up [default: never]",
    ),
    optional(
        "takeover",
        DURATION,
        "Time without progress after which another node takes over [default: 10min]",
    ),
    optional(
        "desync",
        Kind::Word(&["never", "slow", "always"]),
        "When the node is desynced for its backup [default: never]",
    ),
    optional("desync_defaults_file", Kind::Path, "Option file with the account that desyncs"),
    optional("ready", Kind::Texts, "Command that tells whether a node is in use after a desync"),
];

/// The keys about its producer that a source of a kind takes, and those that it needs.
#[derive(Debug)]
pub(crate) struct SourceKind {
    /// The word for the kind.
    pub(crate) word: &'static str,
    /// The keys that it needs.
    pub(crate) needed: &'static [&'static str],
    /// The other keys that it takes.
    pub(crate) taken: &'static [&'static str],
}

/// The kinds of sources.
pub(crate) const SOURCE_KINDS: [SourceKind; 4] = [
    SourceKind {
        word: "mariabackup",
        needed: &[],
        taken: &[
            "program",
            "args",
            "socket",
            "defaults_file",
            "cluster",
            "parallel",
            "galera_info",
            "binlog",
        ],
    },
    SourceKind {
        word: "mariadb-dump",
        needed: &[],
        taken: &[
            "program",
            "args",
            "socket",
            "host",
            "port",
            "defaults_file",
            "cluster",
            "only",
            "databases",
            "exclude_databases",
            "exclude_tables",
            "binlog",
        ],
    },
    SourceKind {
        word: "files",
        needed: &["paths"],
        taken: &["program", "args", "exclude", "one_file_system"],
    },
    SourceKind { word: "command", needed: &["command"], taken: &[] },
];

/// The steps of a job, in their order.
pub(crate) const STEPS: [&str; 7] =
    ["check", "repair", "backup", "replicate", "retention", "prune", "verify"];

const JOB: &[Key] = &[
    optional("sources", Kind::Names("source"), "Sources that are backed up, in this order"),
    required("repository", Kind::Name("repository"), "The repository that they go to"),
    optional("replicas", Kind::Names("repository"), "Copies, which replicate brings up to date"),
    optional(
        "schedule",
        Kind::Parsed(|text| parsed(Schedule::from_str(text))),
        "daily HH:MM, weekly DAY HH:MM, hourly :MM, or five fields as cron has them",
    ),
    optional(
        "timezone",
        Kind::Parsed(|text| parsed(values::time_zone(text))),
        "Zone of the schedule and of the days of retention [default: local]",
    ),
    optional("jitter", DURATION, "A random delay of at most so long, which a timer adds"),
    optional("steps", Kind::Words(&STEPS), "The steps that this job has [default: all]"),
    optional(
        "prune",
        Kind::Word(&["every-run", "daily", "weekly"]),
        "How often removed snapshots are pruned [default: weekly]",
    ),
    optional("verify", Kind::Table(VERIFY), "Verify a part of what is stored after the backups"),
    optional("verify_before", Kind::Table(VERIFY), "Verify a part of it before the backups"),
    optional(
        "on_damage",
        Kind::Word(&["continue", "fail"]),
        "What damage that is found before the backups means [default: continue]",
    ),
    optional("metrics", Kind::Path, "File of metrics for Prometheus' node exporter"),
    optional("hooks", Kind::Table(HOOKS), "Programs that are run before and after"),
    optional("ping", Kind::Table(PING), "A check of a monitor that is pinged at begin and end"),
];

/// The keys of a ping's address, one of which must be there.
pub(crate) const PING_ADDRESS: [&str; 2] = ["url", "url_file"];

const PING: &[Key] = &[
    optional(
        PING_ADDRESS[0],
        Kind::Parsed(values::http_address),
        "Address of the check, which is a secret",
    ),
    optional(PING_ADDRESS[1], Kind::Path, "File with that address as its first line"),
    optional("log", Kind::Flag, "Send the end of the messages with it [default: true]"),
    optional("ca_file", Kind::Path, "Additional certificate authorities, in PEM"),
];

const VERIFY: &[Key] = &[
    required("budget", BUDGET, "How much: 50GiB, 30min or 5%"),
    optional(
        "depth",
        Kind::Word(&["objects", "stored", "blocks", "pages"]),
        "How deep, as haulout verify --depth [default: blocks]",
    ),
];

const HOOKS: &[Key] = &[
    optional("before", Kind::Tables(HOOK), "Before the first step"),
    optional("after", Kind::Tables(HOOK), "After the last step, if all that was asked for is done"),
    optional("failed", Kind::Tables(HOOK), "After the last step, if a step failed"),
    optional("finally", Kind::Tables(HOOK), "After all others"),
];

const HOOK: &[Key] = &[
    required("command", Kind::Command, "The program and its arguments"),
    optional("timeout", DURATION, "How long it may take [default: 1min]"),
    optional("required", Kind::Flag, "Whether the job fails if it fails [default: false]"),
];

/// Returns a section by its name.
pub(crate) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}
