//! Socket.IO v5: packets, and the two ends of a connection, over Engine.IO.
