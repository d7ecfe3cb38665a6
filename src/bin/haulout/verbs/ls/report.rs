//! The report of `ls`: the files of a snapshot, one a line.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use haulout::base::error::Result;
use haulout::repo::snapshots::StoredSnapshot;

use crate::tell::report::Format;
use crate::tell::report::Report;
use crate::tell::report::unless_gone;
use crate::tell::spool::Spool;
use crate::verbs::show::report::Member;
use crate::verbs::show::report::Members;
use crate::verbs::show::report::every_member;

impl Report {
    /// Prints the report of `ls`; `members` gives one file after the other.
    pub(crate) fn ls(&self, stored: &StoredSnapshot, members: &mut Members<'_>) -> Result<()> {
        match self.format {
            Format::Json => {
                let mut spool = Spool::begin("[")?;
                members(&mut |member| spool.push(&Member::from(&member)))?;
                spool.print("]")
            }
            Format::Text => {
                let mut out = BufWriter::new(io::stdout().lock());
                let format = stored.snapshot.about.format;
                let heading = every_member(None, format, self.canvas);
                let mut headed = false;
                members(&mut |member| {
                    if !std::mem::replace(&mut headed, true) {
                        unless_gone(out.write_all(heading.as_bytes()))?;
                    }
                    let line = every_member(Some(&member), format, self.canvas);
                    unless_gone(out.write_all(line.as_bytes()))
                })?;
                unless_gone(out.flush())
            }
        }
    }
}
