//! Checks the segments of binary logs that are open: that those which are there can be opened.
//!
//! Which should be there nobody knows: an archive removes them when it has stored the closed file.

use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::config::Features;
use crate::ops::verify::Depth;
use crate::ops::verify::Finding;
use crate::ops::verify::Verification;

impl Verification<'_> {
    /// Opens each segment, from `Stored` on.
    pub(super) fn check_segments(&self) -> Result<()> {
        let has_some = self.repository.features().include(Features::BINLOGS);
        if !has_some || self.options.depth < Depth::Stored {
            return Ok(());
        }
        for name in self.repository.segment_names(None)? {
            self.monitor.check()?;
            let opened = if self.repository.opens_data() {
                self.repository.read_segment(&name).map(|_| ())
            } else {
                self.repository.segment_head(&name).map(|_| ())
            };
            match opened {
                Ok(()) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::ForeignKey) =>
                {
                    self.find(Finding::of_object(error.with_causes()));
                }
                // It was replaced or removed since it was listed.
                Err(error) if error.kind() == ErrorKind::Missing => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
