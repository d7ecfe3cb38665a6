//! The options of a backup.

use std::sync::Arc;

use crate::encode::Level;
use crate::encode::ReadBack;
use crate::format::binlog::BinlogIndex;
use crate::format::snapshot::StreamFormat;
use crate::ops::accept::Accept;
use crate::ops::expected::Witness;
use crate::ops::memory::AtOnce;
use crate::pipeline::level::LevelControl;
use crate::pipeline::level::Workers;
use crate::verdict::finding::FindingLog;

/// A checkpoint is published after this many bytes of the stream by default.
pub const CHECKPOINT_BYTES: u64 = 64 << 30;
/// A checkpoint is published after this many seconds by default as well.
pub const CHECKPOINT_SECONDS: u64 = 15 * 60;

/// The options that a user chooses for a backup.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Name of the lineage.
    pub source: String,
    /// The format of the stream, if it is not to be recognized by its content.
    pub format: Option<StreamFormat>,
    /// Tags to attach to the snapshot.
    pub tags: Vec<String>,
    /// The compression level of whole blocks.
    pub level: Level,
    /// Busy workers above which `auto` does not raise the level; all of them may be busy if this is
    /// absent.
    pub raised_workers_max: Option<u32>,
    /// The read-back of written data, on or off.
    pub read_back: ReadBack,
    /// The limits on what is done at once.
    pub at_once: AtOnce,
    /// This host, for the description.
    pub host: String,
    /// The program that makes the backup, with its version, for the description.
    pub program: String,
    /// A checkpoint is published after this many bytes of the stream.
    pub checkpoint_bytes: u64,
    /// A checkpoint is published after this many seconds as well.
    pub checkpoint_seconds: u64,
    /// The findings that are accepted from this snapshot on.
    pub accept: Accept,
    /// Findings that the run reports.
    pub findings: Arc<FindingLog>,
    /// The server of a dump, which knows what the dump must hold.
    pub witness: Option<Arc<dyn Witness>>,
    /// The binary log that the stream is, if it is one.
    pub binlog: Option<BinlogIndex>,
}

impl BackupOptions {
    /// Returns the options of a backup of `source` as the program takes them by default: the format
    /// recognised, the level of `auto`, what is written read back, a checkpoint every 15 minutes,
    /// this version of haulout as the program.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            format: None,
            tags: Vec::new(),
            level: Level::AUTO,
            raised_workers_max: None,
            read_back: ReadBack::On,
            at_once: AtOnce::default(),
            host: String::new(),
            program: concat!("haulout ", env!("CARGO_PKG_VERSION")).to_owned(),
            checkpoint_bytes: CHECKPOINT_BYTES,
            checkpoint_seconds: CHECKPOINT_SECONDS,
            accept: Accept::default(),
            findings: Arc::default(),
            witness: None,
            binlog: None,
        }
    }
    /// Returns the control of the level for a run with these options.
    pub(super) fn level_control(&self) -> LevelControl {
        let workers = self.at_once.workers;
        let most = if self.level == Level::AUTO { u32::MAX } else { 0 };
        let raised_max = self.raised_workers_max.unwrap_or(workers).min(most);
        LevelControl::new(Workers { all: workers, raised_max })
    }
}
