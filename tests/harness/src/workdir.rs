//! Directories that hold the data, certificates and logs of one run.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{Error, Result, watchdog};

/// A directory that is removed when dropped or when this process ends, unless a test is failing.
#[derive(Debug)]
pub struct Workdir {
    path: PathBuf,
}

impl Workdir {
    /// Makes a fresh directory in the system's directory for temporary files.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn create(purpose: &str) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(&format!("meshagent-operator-{purpose}-"))
            .tempdir()
            .map_err(Error::io("making a directory for temporary files"))?
            .keep();
        watchdog::own(&path)?;
        Ok(Self { path })
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only this user can read, whole or not at all, and returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = tempfile::Builder::new()
            .make_in(&self.path, |path| OpenOptions::new().create_new(true).write(true).mode(0o600).open(path))
            .map_err(Error::io(format!("making {}", path.display())))?;
        file.write_all(content.as_bytes()).map_err(Error::io(format!("writing {}", path.display())))?;
        file.persist(&path).map_err(|e| Error::Io { doing: format!("writing {}", path.display()), source: e.error })?;
        Ok(path)
    }

    /// Keeps the directory after the test, for a person to inspect.
    pub fn keep(&self) {
        // A watchdog that cannot be told is gone, and then removes nothing.
        let _ = watchdog::keep(&self.path);
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        self.keep();
        if std::thread::panicking() {
            eprintln!("the logs are kept in {}", self.path.display());
        } else {
            // A directory that cannot be removed is left to the system's cleaning of temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
