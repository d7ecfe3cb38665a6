//! The judgement on an increment by the snapshot that it builds on: it is trusted no more than its
//! base, and not at all without one.

use crate::base::ids::SnapshotId;
use crate::format::snapshot::Description;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::reason::Reason;

impl Conclusion {
    /// Makes an increment require its base, and all that the base requires itself.
    pub fn build_on(&mut self, id: &SnapshotId, base: &Description) {
        self.requires.clone_from(&base.requires);
        self.requires.push(id.to_string());
        let (short, verdict) = (id.short(), base.verdict);
        let between = base.requires.len();
        let steps = if between == 0 { String::new() } else { format!(", {between} before it") };
        let detail = format!("builds on snapshot {short}{steps}");
        if verdict > self.verdict() {
            self.reasons.push(Reason::Base { id: short, verdict });
        }
        self.checks.push(Check::new(CheckName::Base, Outcome::Passed, detail));
    }

    /// Records why an increment has no base.
    pub fn lack_base(&mut self, why: String) {
        self.lead_with(Reason::NoBase(why));
        let detail = "not in the repository";
        self.checks.push(Check::new(CheckName::Base, Outcome::Failed, detail));
    }
}
