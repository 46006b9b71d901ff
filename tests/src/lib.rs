//! Helpers of the tests: what they have in common.
