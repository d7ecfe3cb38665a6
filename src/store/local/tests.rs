//! Tests of the local store: on the simulated disk, and on real file systems.

mod crashes;
mod real;
