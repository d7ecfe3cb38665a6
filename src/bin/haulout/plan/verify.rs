//! What `verify` is to do.

use haulout::ops::verify::Depth;

use crate::args::verify::DepthName;
use crate::args::verify::VerifyArguments;

/// A verification.
#[derive(Debug)]
pub(crate) struct VerifyPlan {
    /// Which snapshots; none stands for all.
    pub(crate) snapshots: Vec<String>,
    /// How deep.
    pub(crate) depth: Depth,
}

impl VerifyPlan {
    /// What was typed.
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
