//! Fabric on the wire: what its REST calls, pushes and tokens look like, all in one place.
//!
//! Matching another deployment is an edit in this folder and nowhere else.

pub mod bodies;
pub mod center;
pub mod error;
pub mod fence;
pub mod realtime;
pub mod routes;
pub mod session;
pub mod turns;
pub mod types;
