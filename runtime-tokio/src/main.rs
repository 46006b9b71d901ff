//! The binary `selvedge`.

fn main() {}
