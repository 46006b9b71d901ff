//! What the differential tests of the codecs are made of: the official parsers, random packets,
//! mutated ones, and what both sides read, in the same words.

pub mod mutations;
pub mod packets;
pub mod peer;
pub mod readings;
