//! Which pots this node has: `pots.json`, written whole at each change.
//!
//! Pots of the config file are in memory alone, apart from whether an operator stopped them: the file stays the truth
//! about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bee_daemon::secret_file::{self, SecretFileError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DeclaredPot;

/// Who wants a pot to be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The node's config file.
    Declared,
    /// An `InstallPot` command.
    Installed,
    /// An `ApplySpec` command.
    Spec,
}

/// One pot as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PotRecord {
    /// Its id.
    pub pot_id: String,
    /// Its kind.
    pub kind: String,
    /// Its settings as they were given.
    pub settings: Map<String, Value>,
    /// Whether it should run.
    pub running: bool,
    /// Who wants it.
    pub origin: Origin,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// Revision of the newest `ApplySpec`.
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    pots: Vec<PotRecord>,
    /// Pots of the config file that an operator stopped.
    #[serde(default)]
    stopped: BTreeSet<String>,
}

/// The node's pots.
#[derive(Debug)]
pub(super) struct PotStore {
    path: PathBuf,
    revision: u64,
    pots: BTreeMap<String, PotRecord>,
    stopped: BTreeSet<String>,
}

impl PotStore {
    /// Reads the file; none is an empty store.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let file: File = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; repair or remove it", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let pots = file.pots.into_iter().map(|pot| (pot.pot_id.clone(), pot)).collect();
        Ok(Self { path: path.to_owned(), revision: file.revision, pots, stopped: file.stopped })
    }

    /// Adds the pots of the config file; they win over others of the same id.
    pub(super) fn declare(&mut self, declared: &[DeclaredPot]) {
        for pot in declared {
            let record = PotRecord {
                pot_id: pot.pot_id.clone(),
                kind: pot.kind.clone(),
                settings: pot.settings.clone(),
                running: pot.enabled && !self.stopped.contains(&pot.pot_id),
                origin: Origin::Declared,
            };
            self.pots.insert(pot.pot_id.clone(), record);
        }
    }

    pub(super) fn get(&self, pot_id: &str) -> Option<&PotRecord> {
        self.pots.get(pot_id)
    }

    pub(super) fn pots(&self) -> impl Iterator<Item = &PotRecord> {
        self.pots.values()
    }

    pub(super) fn len(&self) -> usize {
        self.pots.len()
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn put(&mut self, record: PotRecord) -> Result<(), SecretFileError> {
        if record.origin == Origin::Declared {
            if record.running {
                self.stopped.remove(&record.pot_id);
            } else {
                self.stopped.insert(record.pot_id.clone());
            }
        }
        self.pots.insert(record.pot_id.clone(), record);
        self.save()
    }

    pub(super) fn remove(&mut self, pot_id: &str) -> Result<(), SecretFileError> {
        self.pots.remove(pot_id);
        self.save()
    }

    pub(super) fn set_revision(&mut self, revision: u64) -> Result<(), SecretFileError> {
        self.revision = revision;
        self.save()
    }

    fn save(&self) -> Result<(), SecretFileError> {
        let pots = self.pots.values().filter(|pot| pot.origin != Origin::Declared).cloned().collect();
        let file = File { revision: self.revision, pots, stopped: self.stopped.clone() };
        let json = serde_json::to_vec_pretty(&file).unwrap_or_default();
        secret_file::write(&self.path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pot_id: &str, origin: Origin) -> PotRecord {
        PotRecord { pot_id: pot_id.into(), kind: "ssh".into(), settings: Map::new(), running: true, origin }
    }

    #[test]
    fn installed_pots_survive_and_declared_ones_come_from_the_config_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pots.json");
        let declared =
            [DeclaredPot { pot_id: "web".into(), kind: "http".into(), enabled: true, settings: Map::new() }];
        let mut store = PotStore::load(&path).unwrap();
        store.declare(&declared);
        store.put(record("a", Origin::Installed)).unwrap();
        store.put(PotRecord { running: false, ..store.get("web").unwrap().clone() }).unwrap();
        store.set_revision(4).unwrap();

        let mut again = PotStore::load(&path).unwrap();
        assert_eq!(again.revision(), 4);
        assert_eq!(again.pots().map(|pot| pot.pot_id.as_str()).collect::<Vec<_>>(), ["a"]);
        again.declare(&declared);
        assert!(!again.get("web").unwrap().running, "an operator's stop outlives the restart");
        again.remove("a").unwrap();
        assert_eq!(PotStore::load(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pots.json");
        fs::write(&path, "{").unwrap();
        assert!(PotStore::load(&path).unwrap_err().to_string().contains("damaged"));
    }
}
