//! The handle that Core's parts share: reads at once, writes gathered into groups.
//!
//! A disk sync costs the same for one change and for a thousand, and ten thousand nodes may register in one
//! minute after a power cut. One thread takes every change set that is waiting, applies them as one
//! transaction, and answers all callers: what is answered is on disk.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::{Change, Changed, Entry, Kv, Record, StateError, decode};

/// Change sets that may wait for the writer; a caller beyond that waits for room.
const QUEUE_MAX: usize = 4_096;
/// Change sets applied by one transaction.
const GROUP_MAX: usize = 1_024;

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<u64, Arc<StateError>>>,
}

/// Shared access to the state store. Cloning is cheap.
#[derive(Clone)]
pub struct State {
    kv: Arc<dyn Kv>,
    jobs: mpsc::Sender<Job>,
}

impl State {
    /// Starts the writer thread, which ends when the last clone of the handle is gone.
    pub fn start(kv: Arc<dyn Kv>) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = Arc::clone(&kv);
        let thread = std::thread::Builder::new()
            .name("bee-state".into())
            .spawn(move || write_groups(writer.as_ref(), waiting))?;
        Ok((Self { kv, jobs }, thread))
    }

    /// Applies all changes or none; returns once they are durable. The revision may be shared with others of
    /// the same group.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<u64, Arc<StateError>> {
        if changes.is_empty() {
            return self.kv.revision().map_err(Arc::new);
        }
        let (done, answer) = oneshot::channel();
        let closed = || Arc::new(StateError::Closed);
        self.jobs.send(Job { changes, done }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Reads one value.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, StateError> {
        self.kv.get(key)
    }

    /// Reads and decodes one record.
    pub fn record<T: Record>(&self, key: &str) -> Result<Option<T>, StateError> {
        self.kv.get(key)?.map(|entry| decode(&entry)).transpose()
    }

    /// Reads and decodes every record under a prefix, page by page. Startup only: it holds them all.
    pub fn records<T: Record>(&self, prefix: &str) -> Result<Vec<(String, T)>, StateError> {
        const PAGE: usize = 1_000;
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.kv.scan(prefix, after.as_deref(), PAGE)?;
            let last = page.len() < PAGE;
            for entry in page {
                let record = decode(&entry)?;
                after = Some(entry.key.clone());
                all.push((entry.key, record));
            }
            if last {
                return Ok(all);
            }
        }
    }

    /// Change sets from now on.
    pub fn watch(&self) -> broadcast::Receiver<Changed> {
        self.kv.watch()
    }
}

fn write_groups(kv: &dyn Kv, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut changes = first.changes;
        let mut callers = vec![first.done];
        while callers.len() < GROUP_MAX {
            let Ok(job) = waiting.try_recv() else { break };
            changes.extend(job.changes);
            callers.push(job.done);
        }
        let result = kv.apply(&changes).map_err(Arc::new);
        if let Err(error) = &result {
            tracing::error!(error = %crate::text::chain(error.as_ref()), "cannot write Core's state; the callers were refused");
        }
        for caller in callers {
            // A caller that gave up still has its change applied; it will read it back.
            let _ = caller.send(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RedbKv;
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct N(u32);
    impl Record for N {
        const KIND: &'static str = "n";
        const VERSION: u32 = 1;
    }

    #[tokio::test]
    async fn concurrent_commits_are_all_applied_and_share_syncs() {
        let dir = tempfile::tempdir().unwrap();
        let kv = Arc::new(RedbKv::open(&dir.path().join("s.redb")).unwrap());
        let (state, thread) = State::start(kv.clone()).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..500_u32 {
            let state = state.clone();
            tasks.spawn(async move {
                state.commit(vec![Change::put(format!("n/{n:04}"), &N(n)).unwrap()]).await.unwrap()
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let all = state.records::<N>("n/").unwrap();
        assert_eq!(all.len(), 500);
        assert_eq!(all.get(7), Some(&("n/0007".to_owned(), N(7))));
        assert!(kv.revision().unwrap() < 500, "groups were made");
        drop(state);
        thread.join().unwrap();
    }
}
