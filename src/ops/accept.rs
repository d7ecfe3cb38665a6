//! The findings that are accepted from a snapshot on, with those of the snapshot before.

use crate::verdict::finding::Acceptance;

/// Acceptances that a snapshot records.
pub const ACCEPTED_MAX: usize = 16;
/// Bytes of one acceptance.
pub const ACCEPTED_BYTES_MAX: usize = 128;

/// The fate of the acceptances that the source's newest snapshot records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcceptedBefore {
    /// They stay in force.
    #[default]
    Kept,
    /// They are revoked from this snapshot on.
    Revoked,
}

/// The findings that are accepted from a snapshot on.
#[derive(Debug, Clone, Default)]
pub struct Accept {
    /// The fate of the acceptances from before.
    pub previous: AcceptedBefore,
    /// Acceptances that are added to them.
    pub added: Vec<Acceptance>,
}

impl Accept {
    /// Returns the acceptances in force, as they are recorded, each once.
    pub(super) fn in_force(&self, recorded: &[String]) -> Vec<String> {
        let previous = match self.previous {
            AcceptedBefore::Kept => recorded,
            AcceptedBefore::Revoked => &[],
        };
        let mut all: Vec<String> = previous.to_vec();
        for added in &self.added {
            if !all.iter().any(|known| known == added.as_str()) {
                all.push(added.as_str().to_owned());
            }
        }
        // The newest stay, should there be too many.
        let surplus = all.len().saturating_sub(ACCEPTED_MAX);
        all.drain(..surplus);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(previous: AcceptedBefore, added: &[&str]) -> Accept {
        Accept { previous, added: added.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn acceptances_are_taken_over_until_they_are_revoked() {
        let before = ["lost-members:a".to_owned()];
        let kept =
            accept(AcceptedBefore::Kept, &["foreign-text", "lost-members:a"]).in_force(&before);
        assert_eq!(kept, ["lost-members:a", "foreign-text"]);
        assert_eq!(accept(AcceptedBefore::Kept, &[]).in_force(&before), before);
        let revoked = accept(AcceptedBefore::Revoked, &["foreign-text"]).in_force(&before);
        assert_eq!(revoked, ["foreign-text"]);
        assert!(accept(AcceptedBefore::Revoked, &[]).in_force(&before).is_empty());
    }

    #[test]
    fn the_newest_acceptances_stay_if_there_are_too_many() {
        let before: Vec<String> = (0..ACCEPTED_MAX).map(|n| format!("lost-members:{n}")).collect();
        let all = accept(AcceptedBefore::Kept, &["foreign-text"]).in_force(&before);
        assert_eq!(all.len(), ACCEPTED_MAX);
        assert_eq!(all.first().unwrap(), "lost-members:1");
        assert_eq!(all.last().unwrap(), "foreign-text");
    }
}
