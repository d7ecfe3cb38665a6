//! What stores say about objects, and the type of their names.

pub use crate::base::name::ObjectName;
pub use crate::base::name::is_prefix;

/// What a listing says about an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMeta {
    /// Name of the object that was listed.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
}
