//! Files that hold keys, and the atomic way to write any small file.
//!
//! Secrets are 0600 in directories 0700. A write goes to a new file beside the target, is synced,
//! renamed over it, and the directory is synced: after a crash the old or the new content is there,
//! never half of one. Reading refuses a secret that others could have read or changed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Mode of secret files.
pub const SECRET_MODE: u32 = 0o600;
/// Mode of directories that hold secrets.
pub const PRIVATE_DIR_MODE: u32 = 0o700;
/// Mode of files anybody may read (certificates).
pub const PUBLIC_MODE: u32 = 0o644;

/// What can be wrong with a secret file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Reading, writing or looking failed.
    #[error("cannot {doing} {path}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// Others may read or change the secret.
    #[error(
        "{path} is open to other users (mode {mode:04o}): run `chmod {wanted:o} {path}`, and replace the secret if others use this machine",
        path = .path.display()
    )]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// Somebody else owns the secret.
    #[error("{path} belongs to uid {owner}, not to uid {ours} that runs this: run `chown {ours} {path}`", path = .path.display())]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
    /// Longer than anything that belongs in such a file.
    #[error("{path} is larger than {bytes_max} bytes: this is not the file it should be", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// Not UTF-8.
    #[error("{path} is not text", path = .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl SecretFileError {
    /// Whether the file simply is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// Makes `dir` and its missing parents, 0700. An existing directory that is writable by others is
/// refused; one that is only readable is accepted, its secrets are 0600 anyway.
///
/// # Errors
/// When it cannot be made, or is writable by others.
pub fn create_private_dir(dir: &Path) -> Result<(), SecretFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIR_MODE)
        .create(dir)
        .map_err(at("create directory", dir))?;
    let mode = fs::metadata(dir).map_err(at("look at", dir))?.mode() & 0o7777;
    // A sticky directory (/tmp) lets others add files, but not replace ours.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(SecretFileError::TooOpen { path: dir.to_owned(), mode, wanted: PRIVATE_DIR_MODE });
    }
    Ok(())
}

/// Writes a secret: atomic, durable, 0600 from its first byte on.
///
/// # Errors
/// When any step fails; the old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    write_atomic(path, content, SECRET_MODE)
}

/// Writes a file anybody may read (a certificate): atomic, durable, 0644.
///
/// # Errors
/// As [`write()`].
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    write_atomic(path, content, PUBLIC_MODE)
}

/// Writes a file with the given permission bits: atomic and durable.
///
/// # Errors
/// As [`write()`].
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), SecretFileError> {
    let dir = parent_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let tag: u64 = rand::random();
    let temporary = dir.join(format!(".{name}.{tag:016x}.tmp"));
    let result = write_new(&temporary, content, mode)
        .and_then(|()| fs::rename(&temporary, path).map_err(at("rename a new file to", path)));
    if let Err(error) = result {
        // Best effort: the write's own error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// Reads a secret of at most `bytes_max` bytes; the buffer is wiped when dropped.
///
/// # Errors
/// When it is open to others, owned by another user, too large or unreadable.
pub fn read(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    // Opened first and looked at through the descriptor: no swap in between.
    let file = File::open(path).map_err(at("read", path))?;
    let metadata = file.metadata().map_err(at("look at", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::TooOpen { path: path.to_owned(), mode, wanted: SECRET_MODE });
    }
    let ours = rustix::process::geteuid().as_raw();
    // Root's files are fine: that is how service managers hand secrets over.
    if metadata.uid() != ours && metadata.uid() != 0 {
        return Err(SecretFileError::WrongOwner { path: path.to_owned(), owner: metadata.uid(), ours });
    }
    read_bounded(file, path, bytes_max).map(Zeroizing::new)
}

/// Reads a secret text, without white space around it.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, SecretFileError> {
    let bytes = read(path, bytes_max)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretFileError::NotText { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Reads a file that is no secret, of at most `bytes_max` bytes.
///
/// # Errors
/// When it is too large or unreadable.
pub fn read_public(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SecretFileError> {
    let file = File::open(path).map_err(at("read", path))?;
    read_bounded(file, path, bytes_max)
}

/// Makes a rename or a new file in `dir` survive a power cut.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), SecretFileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("sync directory", dir))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), SecretFileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & SECRET_MODE)
        .open(path)
        .map_err(at("create", path))?;
    // Set apart from `open`, which takes the umask away.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(at("write", path))
}

fn read_bounded(file: File, path: &Path, bytes_max: u64) -> Result<Vec<u8>, SecretFileError> {
    let mut content = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content).map_err(at("read", path))?;
    if content.len() as u64 > bytes_max {
        return Err(SecretFileError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(content)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecretFileError {
    let path = path.to_owned();
    move |cause| SecretFileError::Io { doing, path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_secret_is_written_0600_in_a_0700_directory_and_read_back() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        create_private_dir(&dir).unwrap();
        let path = dir.join("key");
        write(&path, b"first\n").unwrap();
        write(&path, b"second\n").unwrap();
        assert_eq!(mode_of(&dir), 0o700);
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(read_text(&path, 100).unwrap().as_str(), "second");
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["key"], "no temporary file stays");
    }

    #[test]
    fn a_secret_open_to_others_is_refused_with_the_fix() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        write(&path, b"x").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path, 10).unwrap_err();
            assert!(matches!(error, SecretFileError::TooOpen { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
            assert!(text.contains(&format!("{mode:04o}")), "{text}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("open");
        create_private_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let error = create_private_dir(&dir).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn rewriting_an_open_secret_closes_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(mode_of(&path), 0o600);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("taken");
        // A directory in the way makes the rename fail after the temporary file was written.
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"new").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        let left = fs::read_dir(temp.path()).unwrap().count();
        assert_eq!(left, 1, "the temporary file is gone");
    }

    #[test]
    fn a_file_past_its_limit_and_a_missing_one_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        write(&path, &[b'x'; 11]).unwrap();
        assert!(matches!(read(&path, 10), Err(SecretFileError::TooLarge { bytes_max: 10, .. })));
        assert_eq!(read(&path, 11).unwrap().len(), 11);
        assert!(read(&temp.path().join("none"), 10).unwrap_err().is_not_found());
    }
}
