//! What one line of an attacker may cost. Every loop in the shell stands under one of these.

/// Bytes of one line or script.
pub const LINE_BYTES_MAX: usize = 256 << 10;
/// Nesting of subshells, substitutions, functions, scripts and compound commands.
pub const DEPTH_MAX: u32 = 40;
/// Simple commands, loop turns and similar steps in one line.
pub const STEPS_MAX: u32 = 20_000;
/// Bytes of output that one line shows.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Bytes in a pipe or a command substitution.
pub const PIPE_BYTES_MAX: usize = 1 << 20;
/// Bytes handled in one line by everything that writes, pipes included.
pub const WORK_BYTES_MAX: usize = 64 << 20;
/// Words that expansion of one command may produce.
pub const WORDS_MAX: usize = 8192;
/// Bytes of one variable.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Number of variables, aliases and functions, each.
pub const NAMES_MAX: usize = 1024;
/// Effects reported for one line.
pub const EFFECTS_MAX: usize = 512;
/// Nested login shells (`sh`, `su`, `sudo -i`).
pub const SHELLS_MAX: usize = 16;
/// Lines kept in the history.
pub const HISTORY_MAX: usize = 500;
/// Bytes of standard input one command can be given.
pub const INPUT_BYTES_MAX: usize = 4 << 20;
/// Times a reading command is given more input before it sees the end.
pub const RESUMES_MAX: u32 = 256;
/// Longest delay asked of the trap for one line, in milliseconds.
pub const DELAY_MS_MAX: u64 = 10_000;

const _: () = assert!(VALUE_BYTES_MAX <= PIPE_BYTES_MAX && PIPE_BYTES_MAX <= WORK_BYTES_MAX);
