//! What stores say about objects, and the type of their names.

pub use crate::base::name::ObjectName;
pub use crate::base::name::is_prefix;

/// What a listing tells about an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMeta {
    /// Its name.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
}
