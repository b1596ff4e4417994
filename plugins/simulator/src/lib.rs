//! A telephone switch in memory.
