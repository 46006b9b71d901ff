//! Engine.IO v4: packets, and the two ends of a connection.
