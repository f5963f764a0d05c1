//! A small file system of a test's own that can be filled up. Needs root, as mounting does.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one of that size on `path`; `None`, loudly, where mounting is not permitted.
    pub fn mount(path: &Path, mib: u32) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "tmpfs"]).arg(path);
        let output = command.output().unwrap_or_else(|cause| panic!("cannot start mount: {cause}"));
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("!!! NOT TESTED: a full disk, because a tmpfs cannot be mounted here: {why}");
            return None;
        }
        Some(Self { path: path.to_owned() })
    }

    /// Takes all the room there is; gives it back when dropped.
    pub fn fill(&self) -> Filled {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        let mut size = 1 << 20;
        // To the last byte: large pieces first, then ever smaller ones.
        while size > 0 {
            match file.write(&vec![0x55; size]) {
                Ok(written) if written > 0 => {}
                _ => size /= 2,
            }
        }
        Filled { path }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still have files open here.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A full file system.
#[derive(Debug)]
pub struct Filled {
    path: PathBuf,
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
