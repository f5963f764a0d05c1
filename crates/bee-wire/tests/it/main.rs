//! What peers see of the wire: golden files, properties, hostile input, and the cost of the hot path.

mod golden;
mod hostile;
mod properties;
mod strategies;
