//! The arguments of `restore` about the moment up to which binary logs are replayed.

use std::env::split_paths;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;
use haulout::ops::binlog::Gtid;
use haulout::ops::datadir::Wanted;
use haulout::ops::replay::Until;

use crate::grammar::values::moment;
use crate::grammar::values::path;

/// Directories in which programs are looked for besides those of PATH.
const MORE_PLACES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// Up to which moment `restore --datadir` replays binary logs.
#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("moment").args(["until", "until_gtid", "before_table_drop", "until_end"])
))]
pub(crate) struct MomentArguments {
    /// Replay binary logs up to this time, which is left out
    ///
    /// As '2027-06-30 18:00:00', in local time, or with a zone, as '2027-06-30 18:00:00Z'.
    #[arg(long, value_name = "TIME", requires = "datadir", value_parser = moment)]
    pub(crate) until: Option<u64>,

    /// Replay binary logs up to this transaction, which is the last one
    #[arg(long, value_name = "GTID", requires = "datadir", value_parser = gtid)]
    #[arg(hide_short_help = true)]
    pub(crate) until_gtid: Option<Gtid>,

    /// Replay binary logs up to the statement that drops this table
    #[arg(long, value_name = "SCHEMA.TABLE", requires = "datadir", value_parser = table)]
    #[arg(hide_short_help = true)]
    pub(crate) before_table_drop: Option<DroppedTable>,

    /// Replay all binary logs
    #[arg(long, requires = "datadir", hide_short_help = true)]
    pub(crate) until_end: bool,

    /// Take binary logs from this directory, not from the repository
    #[arg(long, value_name = "DIR", requires = "moment", value_parser = path())]
    #[arg(hide_short_help = true)]
    pub(crate) binlogs: Option<PathBuf>,
}

/// A table that a statement drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DroppedTable {
    schema: String,
    table: String,
}

fn gtid(text: &str) -> Result<Gtid, String> {
    text.parse().map_err(|_| "it is no GTID like 0-1-4277".to_owned())
}

fn table(text: &str) -> Result<DroppedTable, String> {
    match text.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
            Ok(DroppedTable { schema: schema.to_owned(), table: table.to_owned() })
        }
        Some(_) | None => Err("it is no table like shop.orders".to_owned()),
    }
}

impl MomentArguments {
    /// Returns what is replayed, if anything is; `search` is the variable PATH.
    pub(crate) fn wanted(self, search: &OsStr) -> Option<Wanted> {
        let time = self.until.map(Until::Time);
        let gtid = self.until_gtid.map(Until::Gtid);
        let drop = self
            .before_table_drop
            .map(|DroppedTable { schema, table }| Until::Drop { schema, table });
        let end = self.until_end.then_some(Until::End);
        let until = time.or(gtid).or(drop).or(end)?;
        let programs = split_paths(search).chain(MORE_PLACES.map(PathBuf::from)).collect();
        Some(Wanted { until, directory: self.binlogs, programs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_schema() {
        let orders = DroppedTable { schema: "shop".to_owned(), table: "or.ders".to_owned() };
        assert_eq!(table("shop.or.ders"), Ok(orders));
        for text in ["orders", ".orders", "shop.", ""] {
            table(text).unwrap_err();
        }
        assert_eq!(gtid("0-1-7").unwrap().to_string(), "0-1-7");
        gtid("0-1").unwrap_err();
    }
}
