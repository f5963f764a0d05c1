//! `--help` of the commands that bots ask to tell a real system from a fake one.

use super::Ctx;
use crate::shell::exec::Run;

pub(super) fn help(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let busybox = c.persona().distro.busybox;
    let text = match (c.is_device(), c.name.as_str()) {
        (true, "cat") => format!("{busybox} multi-call binary.\n\nUsage: cat [FILE]...\n\nConcatenate FILEs and print them to stdout\n\n"),
        (true, "ls") => format!("{busybox} multi-call binary.\n\nUsage: ls [-1AacCdeFilnpLRrSsTtuvwxXh] [FILE]...\n\nList directory contents\n\n"),
        (_, "cat") => "Usage: cat [OPTION]... [FILE]...\nConcatenate FILE(s) to standard output.\n\nWith no FILE, or when FILE is -, read standard input.\n\n  -A, --show-all           equivalent to -vET\n  -b, --number-nonblank    number nonempty output lines, overrides -n\n  -e                       equivalent to -vE\n  -E, --show-ends          display $ at end of each line\n  -n, --number             number all output lines\n  -s, --squeeze-blank      suppress repeated empty output lines\n  -t                       equivalent to -vT\n  -T, --show-tabs          display TAB characters as ^I\n  -u                       (ignored)\n  -v, --show-nonprinting   use ^ and M- notation, except for LFD and TAB\n      --help     display this help and exit\n      --version  output version information and exit\n\nExamples:\n  cat f - g  Output f's contents, then standard input, then g's contents.\n  cat        Copy standard input to standard output.\n\nGNU coreutils online help: <https://www.gnu.org/software/coreutils/>\nFull documentation <https://www.gnu.org/software/coreutils/cat>\nor available locally via: info '(coreutils) cat invocation'\n".to_owned(),
        (_, "ls") => "Usage: ls [OPTION]... [FILE]...\nList information about the FILEs (the current directory by default).\nSort entries alphabetically if none of -cftuvSUX nor --sort is specified.\n\nMandatory arguments to long options are mandatory for short options too.\n  -a, --all                  do not ignore entries starting with .\n  -A, --almost-all           do not list implied . and ..\n  -d, --directory            list directories themselves, not their contents\n  -h, --human-readable       with -l and -s, print sizes like 1K 234M 2G etc.\n  -i, --inode                print the index number of each file\n  -l                         use a long listing format\n  -R, --recursive            list subdirectories recursively\n  -S                         sort by file size, largest first\n  -t                         sort by time, newest first; see --time\n  -1                         list one file per line\n      --help     display this help and exit\n      --version  output version information and exit\n\nGNU coreutils online help: <https://www.gnu.org/software/coreutils/>\nFull documentation <https://www.gnu.org/software/coreutils/ls>\nor available locally via: info '(coreutils) ls invocation'\n".to_owned(),
        (_, name) => format!("Usage: {name} [OPTION]... [FILE]...\n"),
    };
    c.out(text)?;
    Ok(0)
}
