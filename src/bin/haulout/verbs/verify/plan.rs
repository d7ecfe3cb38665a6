//! The plan of `verify`.

use haulout::ops::verify::Depth;

use crate::verbs::verify::args::DepthName;
use crate::verbs::verify::args::VerifyArguments;

/// The settings of one verification.
#[derive(Debug)]
pub(crate) struct VerifyPlan {
    /// The snapshots as the user named them; none stands for all.
    pub(crate) snapshots: Vec<String>,
    /// The depth of the verification.
    pub(crate) depth: Depth,
}

impl VerifyPlan {
    /// Builds the plan from the parsed arguments.
    pub(crate) fn new(typed: VerifyArguments) -> VerifyPlan {
        VerifyPlan { snapshots: typed.snapshots, depth: depth(typed.depth) }
    }
}

fn depth(name: DepthName) -> Depth {
    match name {
        DepthName::Objects => Depth::Objects,
        DepthName::Stored => Depth::Stored,
        DepthName::Blocks => Depth::Blocks,
        DepthName::Pages => Depth::Pages,
    }
}
