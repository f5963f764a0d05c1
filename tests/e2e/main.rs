//! The end-to-end suite: one module a topic.
