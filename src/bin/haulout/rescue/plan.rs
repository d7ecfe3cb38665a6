//! The plan of a rescue: a file that every host of the cluster gets a copy of.

use std::fs;
use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;
use serde::Deserialize;
use serde::Serialize;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::rescue::steps::Step;

/// The version of the form of a plan.
pub(crate) const VERSION: u32 = 1;

/// Steps that bring a cluster back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The version of this form.
    pub(crate) version: u32,
    /// When it was made, in seconds since 1970.
    pub(crate) time: u64,
    /// The name of the cluster.
    pub(crate) cluster: String,
    /// What was found, in a sentence.
    pub(crate) outlook: String,
    /// What is to be known before the first step.
    pub(crate) notes: Vec<String>,
    /// The steps, in their order.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Reads a plan from its file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let hint = "haulout rescue plan makes one; copy it to every host of the cluster";
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read the plan {}", path.display());
            Failure::new(Error::new(ErrorKind::Usage, message).because(error), hint)
        })?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| {
            let message = format!("{} is no plan of a rescue", path.display());
            Failure::new(Error::new(ErrorKind::Usage, message).because(error), hint)
        })?;
        if plan.version != VERSION {
            let message = format!("{} has the unknown version {}", path.display(), plan.version);
            let hint = "make the plan with this version of haulout";
            return Err(Failure::new(Error::new(ErrorKind::Usage, message), hint));
        }
        Ok(plan)
    }

    /// Returns the step of a number.
    pub(crate) fn step(&self, number: u32) -> Outcome<&Step> {
        self.steps.iter().find(|step| step.number == number).ok_or_else(|| {
            let message = format!("the plan has no step {number}");
            let hint = format!("its steps are 1 to {}", self.steps.len());
            Failure::usage(message, hint)
        })
    }
}
