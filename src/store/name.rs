//! The facts that stores give about objects, and the type of their names.

pub use crate::base::name::ObjectName;
pub use crate::base::name::is_prefix;

/// The facts that a listing gives about an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMeta {
    /// Name of the object that was listed.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
}
