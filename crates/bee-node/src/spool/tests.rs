//! The spool through its own doors: receipts, restarts, and a disk that fills up.

use std::{io, path::Path, time::Duration};

use bee_log::{
    Item,
    fs::{File, LockGuard},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// The real file system with a disk that can be full.
struct FullFs {
    inner: StdFs,
    full: Arc<AtomicBool>,
}

struct FullFile {
    inner: Arc<dyn File>,
    full: Arc<AtomicBool>,
}

impl Fs for FullFs {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dirs(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FullFile { inner: self.inner.open(path, create)?, full: self.full.clone() }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<LockGuard> {
        self.inner.lock(path)
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
}

impl File for FullFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_at(buf, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }
}

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig { state_dir: dir.to_owned(), bytes_max: 64 << 20, segment_bytes_max: 16 << 20 }
}

fn group(key: &Arc<str>, epoch: u64, lines: std::ops::Range<u64>) -> (Group, watch::Receiver<u64>) {
    let (receipt, seen) = watch::channel(lines.start);
    let mut group = Group::default();
    for line in lines.clone() {
        record::begin(&mut group.bytes, Some((key, line)));
        group.bytes.extend_from_slice(b"{}");
        group.ends.push(group.bytes.len());
    }
    let next = lines.end;
    group.producer = Some(Produced { key: key.clone(), epoch, next, has_unrecorded: false, receipt });
    (group, seen)
}

async fn receipt(seen: &mut watch::Receiver<u64>, next: u64) {
    let reached = seen.wait_for(|at| *at >= next);
    tokio::time::timeout(PATIENCE, reached).await.expect("a receipt").unwrap();
}

fn numbers(spool: &Spool) -> Vec<u64> {
    let mut reader = spool.handle().reader(0);
    let mut numbers = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Record(found) = item {
            numbers.push(record::parse(found.payload).unwrap().producer.unwrap().1);
        }
    }
    numbers
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let fs = Arc::new(FullFs { inner: StdFs, full: full.clone() });
    let (spool, _) = Spool::open_on(fs, &config(dir.path()), PotBoard::new()).unwrap();
    let key: Arc<str> = "p".into();
    let epoch = spool.hello(key.clone()).await.unwrap().epoch;
    let (first, mut seen) = group(&key, epoch, 0..10);
    assert!(spool.store(first).await);
    receipt(&mut seen, 10).await;
    full.store(true, Ordering::Relaxed);
    let (second, mut seen) = group(&key, epoch, 10..20);
    assert!(spool.store(second).await);
    let told = async {
        while !spool.status().disk_full {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the full disk is told");
    assert_eq!(*seen.borrow(), 10, "no receipt for what is not on disk");
    full.store(false, Ordering::Relaxed);
    receipt(&mut seen, 20).await;
    assert!(!spool.status().disk_full);
    assert_eq!(numbers(&spool), (0..20).collect::<Vec<_>>());
    spool.close().await;
}

#[tokio::test]
async fn a_node_that_leaves_while_its_disk_is_full_confirms_nothing_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let open = || {
        let fs = Arc::new(FullFs { inner: StdFs, full: full.clone() });
        Spool::open_on(fs, &config(dir.path()), PotBoard::new())
    };
    let (spool, _) = open().unwrap();
    full.store(true, Ordering::Relaxed);
    let key: Arc<str> = "p".into();
    let epoch = spool.hello(key.clone()).await.unwrap().epoch;
    let (lines, seen) = group(&key, epoch, 0..10);
    assert!(spool.store(lines).await);
    tokio::time::timeout(PATIENCE, spool.close()).await.expect("the spool closes");
    assert_eq!(*seen.borrow(), 0);
    drop(spool);
    full.store(false, Ordering::Relaxed);
    let (spool, _) = open().unwrap();
    assert_eq!(spool.hello(key).await.unwrap().next, 0, "the producer sends them again");
    assert_eq!(spool.status().dropped, 0, "and so they are not lost");
    spool.close().await;
}

#[tokio::test]
async fn a_replaced_connection_adds_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&config(dir.path()), PotBoard::new()).unwrap();
    let key: Arc<str> = "p".into();
    let old = spool.hello(key.clone()).await.unwrap();
    let (first, mut seen) = group(&key, old.epoch, 0..3);
    spool.store(first).await;
    receipt(&mut seen, 3).await;
    let new = spool.hello(key.clone()).await.unwrap();
    assert_eq!(new.next, 3);
    let (late, _late_seen) = group(&key, old.epoch, 3..5);
    spool.store(late).await;
    let (fresh, mut seen) = group(&key, new.epoch, 3..5);
    spool.store(fresh).await;
    receipt(&mut seen, 5).await;
    assert_eq!(numbers(&spool), [0, 1, 2, 3, 4]);
    spool.close().await;
}

#[tokio::test]
async fn what_core_has_is_forgotten_and_producers_are_still_known() {
    let dir = tempfile::tempdir().unwrap();
    let key: Arc<str> = "p".into();
    let (spool, stream) = Spool::open(&config(dir.path()), PotBoard::new()).unwrap();
    let epoch = spool.hello(key.clone()).await.unwrap().epoch;
    let (lines, mut seen) = group(&key, epoch, 0..7);
    spool.store(lines).await;
    receipt(&mut seen, 7).await;
    spool.acknowledged(7);
    spool.close().await;
    assert_eq!(spool.status().events, 0);
    drop(spool);
    let (spool, again) = Spool::open(&config(dir.path()), PotBoard::new()).unwrap();
    assert_eq!(again, stream);
    assert_eq!((spool.acked(), spool.handle().next_seq()), (7, 7));
    assert_eq!(spool.hello(key).await.unwrap().next, 7);
    spool.close().await;
}
