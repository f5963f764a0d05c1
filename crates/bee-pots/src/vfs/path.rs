//! Path resolution: absolute and relative paths, `.` and `..`, symbolic links up to a limit.

use super::limits::{LINKS_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
use super::{Cred, Errno, Kind, NodeId, ROOT, Vfs};

/// Where a path leads: the directory, the last name, and the node if it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: NodeId,
    pub(super) name: String,
    pub(super) node: Option<NodeId>,
}

/// Joins `path` to `cwd` and removes `.`, `..` and empty parts, without looking at links.
#[must_use]
pub(crate) fn normalise(cwd: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let prefix = if path.starts_with('/') { "" } else { cwd };
    for part in prefix.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

impl Vfs {
    /// The node a path leads to, following links.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn resolve(&self, cwd: &str, path: &str) -> Result<NodeId, Errno> {
        self.place(cwd, path, true, None)?.node.ok_or(Errno::NoEntry)
    }

    /// The node a path leads to, not following a link in the last part.
    ///
    /// # Errors
    /// As `lstat(2)`.
    pub fn resolve_link(&self, cwd: &str, path: &str) -> Result<NodeId, Errno> {
        self.place(cwd, path, false, None)?.node.ok_or(Errno::NoEntry)
    }

    /// As [`Vfs::resolve`], and `cred` must be able to search every directory on the way.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn resolve_as(&self, cwd: &str, path: &str, cred: Cred) -> Result<NodeId, Errno> {
        self.place(cwd, path, true, Some(cred))?.node.ok_or(Errno::NoEntry)
    }

    /// The absolute path without links of an existing file, as `realpath` prints it.
    ///
    /// # Errors
    /// As `realpath(3)`.
    pub fn realpath(&self, cwd: &str, path: &str) -> Result<String, Errno> {
        self.walk(cwd, path, true, None)
            .and_then(|(place, path)| place.node.map(|_| path).ok_or(Errno::NoEntry))
    }

    pub(super) fn place(
        &self,
        cwd: &str,
        path: &str,
        follow: bool,
        cred: Option<Cred>,
    ) -> Result<Place, Errno> {
        self.walk(cwd, path, follow, cred).map(|(place, _)| place)
    }

    /// Walks a path; also returns the resolved absolute path.
    pub(super) fn walk(
        &self,
        cwd: &str,
        path: &str,
        follow: bool,
        cred: Option<Cred>,
    ) -> Result<(Place, String), Errno> {
        if path.is_empty() {
            return Err(Errno::NoEntry);
        }
        if path.len() + cwd.len() > PATH_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        let must_be_dir = path.ends_with('/') || path.ends_with("/.");
        let full = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
        let mut todo: Vec<String> =
            full.split('/').rev().filter(|p| !p.is_empty() && *p != ".").map(str::to_owned).collect();
        let mut trail: Vec<(NodeId, String)> = Vec::new();
        let mut here = ROOT;
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let last = todo.is_empty();
            if part == ".." {
                trail.pop();
                here = trail.last().map_or(ROOT, |t| t.0);
                continue;
            }
            if part.len() > NAME_BYTES_MAX {
                return Err(Errno::NameTooLong);
            }
            let Some(Kind::Dir(children)) = self.node(here).map(|n| &n.kind) else {
                return Err(Errno::NotDir);
            };
            if let Some(cred) = cred
                && !self.allowed(here, cred, 1)
            {
                return Err(Errno::Access);
            }
            let Some(child) = children.get(part.as_str()).copied() else {
                if last {
                    let path = join(&trail, Some(&part));
                    return Ok((Place { dir: here, name: part, node: None }, path));
                }
                return Err(Errno::NoEntry);
            };
            match self.node(child).map(|n| &n.kind) {
                Some(Kind::Link(target)) if !last || follow || must_be_dir => {
                    links += 1;
                    if links > LINKS_MAX || todo.len() > PATH_BYTES_MAX {
                        return Err(Errno::Loop);
                    }
                    if target.starts_with('/') {
                        trail.clear();
                        here = ROOT;
                    }
                    todo.extend(
                        target.split('/').rev().filter(|p| !p.is_empty() && *p != ".").map(str::to_owned),
                    );
                }
                Some(_) => {
                    trail.push((child, part));
                    here = child;
                }
                None => return Err(Errno::NoEntry),
            }
        }
        if must_be_dir && !self.is_dir_id(here) {
            return Err(Errno::NotDir);
        }
        let path = join(&trail, None);
        let name = trail.pop().map(|t| t.1).unwrap_or_default();
        let dir = trail.last().map_or(ROOT, |t| t.0);
        Ok((Place { dir, name, node: Some(here) }, path))
    }
}

fn join(trail: &[(NodeId, String)], last: Option<&str>) -> String {
    let mut path = String::new();
    for name in trail.iter().map(|t| t.1.as_str()).chain(last) {
        path.push('/');
        path.push_str(name);
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_like_a_shell_shows_them() {
        for (cwd, path, expect) in [
            ("/root", "x", "/root/x"),
            ("/root", "../tmp/./a//b/", "/tmp/a/b"),
            ("/", "../../..", "/"),
            ("/a/b", "/etc", "/etc"),
            ("/a/b", "..", "/a"),
        ] {
            assert_eq!(normalise(cwd, path), expect, "{cwd} {path}");
        }
    }
}
