//! Starts real HoneyBee processes, attacks them with real clients, and breaks things between them.
