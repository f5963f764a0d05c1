//! Tab completion: commands for the first word, paths for the others.

use super::state::State;
use crate::vfs::Vfs;

/// Choices listed at most.
const CHOICES_MAX: usize = 400;

/// Full words that could replace the last word of `line`.
pub(super) fn complete(state: &State, vfs: &Vfs, line: &str) -> Vec<String> {
    let word = line.rsplit([' ', ';', '|', '&']).next().unwrap_or_default();
    let before = line.strip_suffix(word).unwrap_or_default().trim_end();
    let first = before.is_empty() || before.ends_with([';', '|', '&']);
    let top = state.top();
    let mut found = Vec::new();
    if first && !word.contains('/') {
        if word.is_empty() {
            return found;
        }
        for dir in top.text("PATH").split(':') {
            let names = vfs.resolve("/", dir).and_then(|id| vfs.list_id(id)).unwrap_or_default();
            found.extend(names.into_iter().filter(|(n, _)| n.starts_with(word)).map(|(n, _)| n.to_string()));
        }
    } else {
        let (dir, prefix) =
            word.rsplit_once('/').map_or(("", word), |(d, p)| (if d.is_empty() { "/" } else { d }, p));
        let real = dir.strip_prefix('~').map_or_else(|| dir.to_owned(), |rest| format!("{}{rest}", top.home));
        let names =
            vfs.resolve(&top.cwd, if real.is_empty() { "." } else { &real }).and_then(|id| vfs.list_id(id));
        for (name, id) in names.unwrap_or_default() {
            if name.starts_with(prefix) && (prefix.starts_with('.') || !name.starts_with('.')) {
                let slash = if vfs.is_dir_id(id) { "/" } else { "" };
                let head = word.strip_suffix(prefix).unwrap_or_default();
                found.push(format!("{head}{name}{slash}"));
            }
        }
    }
    found.sort();
    found.dedup();
    found.truncate(CHOICES_MAX);
    found
}
