//! Content in motion: bodies on their way to the disk, and blobs on their way to clients.
//!
//! Content goes through in batches and pieces. The more clients there are at a time, the smaller they get: what
//! is in memory stays the same, however much is sent and by however many. Hashing, reading and writing are done
//! by the blocking pool, one batch at a time for each client, so that a slow client never holds a thread.
//!
//! A body is copied into blocks of our own at once, while it is in the processor's cache: so the connection's
//! buffer is free for the next read, and each connection has one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use landfall_wire::hash::Hasher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::blocks::{BLOCK_BYTES, Batch, Block, Blocks};

/// Bytes of all uploads together that wait to be hashed and written; as many are being hashed and written.
const UPLOADED_BYTES: usize = 2 << 20;
/// Least and most bytes of one upload that are gathered before they are hashed and written. The least is what one
/// read from a connection gives when there is enough.
const BATCH_BYTES: [usize; 2] = [BLOCK_BYTES, 512 << 10];
/// Uploads or downloads that are so many keep all processors busy without each of them gathering a batch, or reading
/// ahead, while another one is at work, which would only take memory.
const CROWD: usize = 16;
/// Bytes that are read from the connections of all uploads at a time: each read has its own acknowledgement and its own
/// way through hyper.
const READ_TOTAL_BYTES: usize = 2 << 20;
/// Least and most bytes that are read from one connection at a time. It has up to three buffers of this size, of what
/// was read, of what is on its way to the upload, and of what the upload copies.
const READ_BYTES: [usize; 2] = [16 << 10, 128 << 10];
/// Bytes of all downloads together that are being sent; as many are read ahead, unless there is a crowd.
const DOWNLOADED_BYTES: usize = 4 << 20;
/// Least and most bytes of a download that are read at a time.
const PIECE_BYTES: [usize; 2] = [BLOCK_BYTES, 512 << 10];
/// Batches that are hashed and written, and pieces that are read, at a time: more would only take turns on the same
/// processors, each in a thread with memory of its own.
const AT_WORK_MAX: usize = 8;

/// What flows at the moment.
#[derive(Clone, Debug)]
pub struct Flow {
    uploads: Arc<AtomicUsize>,
    downloads: Arc<AtomicUsize>,
    work: Arc<Semaphore>,
    blocks: Blocks,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            uploads: Arc::default(),
            downloads: Arc::default(),
            work: Arc::new(Semaphore::new(AT_WORK_MAX)),
            blocks: Blocks::default(),
        }
    }
}

impl Flow {
    /// Gives a file up when its turn comes: the last of a large one takes a while to go, and nobody waits for that.
    pub(super) fn give_up(&self, file: Arc<File>) {
        let work = Arc::clone(&self.work);
        tokio::spawn(async move {
            let turn = work.acquire_owned().await;
            tokio::task::spawn_blocking(move || drop((file, turn)));
        });
    }

    /// Most bytes to read from a connection at a time. hyper's buffer grows, up to what a header section may have,
    /// while reads fill it; one byte less than it would have to be keeps it as it is.
    pub fn read_bytes_max(&self) -> usize {
        let [min, max] = READ_BYTES;
        let uploads = self.uploads.load(Ordering::Relaxed).max(1);
        (READ_TOTAL_BYTES / uploads).clamp(min, max) - 1
    }
}

/// One of the clients that share something; leaves when it goes away.
#[derive(Debug)]
struct Sharing(Arc<AtomicUsize>);

impl Sharing {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// How many there are, this one included.
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed).max(1)
    }

    /// This one's part of so many bytes.
    fn part(&self, bytes: usize, [min, max]: [usize; 2]) -> usize {
        (bytes / self.count()).clamp(min, max)
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a body that was appended came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// All of it arrived.
    Complete,
    /// The client went away; what had arrived is part of the upload.
    Interrupted,
    /// It is longer than it may be; the upload has all that it may have of it.
    TooLong,
}

/// A file that grows, with the hash and the length of what is in it.
pub(super) struct Growing {
    pub(super) file: Arc<File>,
    pub(super) hasher: Hasher,
    pub(super) length: u64,
}

impl Growing {
    /// Appends a body, at most `bytes_max` of it: the next batch is gathered while the one before is hashed
    /// and written, unless there is a crowd.
    pub(super) async fn append(
        self,
        flow: &Flow,
        mut body: impl BodyExt<Data = Bytes> + Unpin,
        bytes_max: u64,
    ) -> io::Result<(Self, Ended)> {
        let sharing = Sharing::of(&flow.uploads);
        let end = self.length.saturating_add(bytes_max);
        let mut stage = Stage::Idle(self);
        loop {
            if sharing.count() >= CROWD {
                stage = Stage::Idle(stage.done().await?);
            }
            let batch_bytes = sharing.part(UPLOADED_BYTES, BATCH_BYTES);
            let gathered = gather(&mut body, end - stage.length(), batch_bytes, &flow.blocks).await;
            let growing = stage.done().await?;
            match gathered.ended {
                None => stage = growing.start(flow, &sharing, gathered.batch).await?,
                Some(ended) => {
                    let last = growing.start(flow, &sharing, gathered.batch).await?;
                    return Ok((last.done().await?, ended));
                }
            }
        }
    }

    /// Sends a batch on its way. With one upload, hashing and writing take a processor each; with several,
    /// each upload is as good as on one.
    async fn start(self, flow: &Flow, sharing: &Sharing, batch: Batch) -> io::Result<Stage> {
        if batch.length() == 0 {
            return Ok(Stage::Idle(self));
        }
        let turn = Arc::clone(&flow.work).acquire_owned().await.map_err(io::Error::other)?;
        let Self { file, mut hasher, length } = self;
        let length = length + batch.length() as u64;
        let target = Arc::clone(&file);
        let writing = move |batch: &Batch| write_all(&target, batch);
        if sharing.count() > 1 {
            let working = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                batch.parts().for_each(|part| hasher.update(part));
                writing(&batch)?;
                Ok(hasher)
            });
            return Ok(Stage::Working { file, length, writing: None, working });
        }
        let batch = Arc::new(batch);
        let to_write = Arc::clone(&batch);
        let writing = tokio::task::spawn_blocking(move || writing(&to_write));
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            batch.parts().for_each(|part| hasher.update(part));
            Ok(hasher)
        });
        Ok(Stage::Working { file, length, writing: Some(writing), working })
    }
}

/// Writes a batch in one call if the system takes it so: a file system has less to do for one large piece than for
/// many small ones.
fn write_all(mut file: &File, batch: &Batch) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.parts().map(IoSlice::new).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A growing file with a batch on its way to the disk and through the hash.
enum Stage {
    Idle(Growing),
    Working {
        file: Arc<File>,
        length: u64,
        writing: Option<JoinHandle<io::Result<()>>>,
        working: JoinHandle<io::Result<Hasher>>,
    },
}

impl Stage {
    fn length(&self) -> u64 {
        match self {
            Self::Idle(Growing { length, .. }) | Self::Working { length, .. } => *length,
        }
    }

    async fn done(self) -> io::Result<Growing> {
        match self {
            Self::Idle(growing) => Ok(growing),
            Self::Working { file, length, writing, working } => {
                if let Some(writing) = writing {
                    writing.await.map_err(io::Error::other)??;
                }
                let hasher = working.await.map_err(io::Error::other)??;
                Ok(Growing { file, hasher, length })
            }
        }
    }
}

/// What [`gather`] got.
struct Gathered {
    batch: Batch,
    ended: Option<Ended>,
}

/// Reads a body until there is a batch, it ends, or `room` bytes are there and more come.
async fn gather(
    body: &mut (impl BodyExt<Data = Bytes> + Unpin),
    room: u64,
    batch_bytes: usize,
    blocks: &Blocks,
) -> Gathered {
    let mut batch = Batch::new(blocks);
    let ended = loop {
        if batch.length() >= batch_bytes {
            break None;
        }
        match body.frame().await {
            None => break Some(Ended::Complete),
            Some(Err(_)) => break Some(Ended::Interrupted),
            Some(Ok(frame)) => {
                let Ok(mut piece) = frame.into_data() else { continue };
                let left = usize::try_from(room).unwrap_or(usize::MAX) - batch.length();
                let too_long = piece.len() > left;
                piece.truncate(left);
                batch.extend(&piece);
                if too_long {
                    break Some(Ended::TooLong);
                }
            }
        }
    };
    Gathered { batch, ended }
}

/// A file that gives its blocks one after the other, reading some ahead.
#[derive(Debug)]
pub struct Pieces {
    /// Bytes that are not read yet, nor about to be.
    left: u64,
    ready: VecDeque<Block>,
    next: Next,
    /// Blocks that the connection has and the client has not.
    sent: Arc<Sent>,
    blocks: Blocks,
    sharing: Sharing,
    work: Arc<Semaphore>,
}

type Reading = JoinHandle<io::Result<(File, Vec<Block>)>>;

/// How the next blocks come.
#[derive(Debug)]
enum Next {
    /// They are being read.
    Reading(Reading),
    /// They are read when they are wanted.
    Waiting(File),
    /// There are none.
    Ended,
}

impl Pieces {
    /// So many bytes of a file from a place on.
    pub(super) fn of(flow: &Flow, mut file: File, start: u64, left: u64) -> Self {
        let mut pieces = Self {
            left,
            ready: VecDeque::new(),
            next: Next::Ended,
            sent: Arc::default(),
            blocks: flow.blocks.clone(),
            sharing: Sharing::of(&flow.downloads),
            work: Arc::clone(&flow.work),
        };
        if left > 0 {
            pieces.read(move || file.seek(SeekFrom::Start(start)).map(|_| file));
        }
        pieces
    }

    /// Begins to read the next blocks of a file.
    fn read(&mut self, file: impl FnOnce() -> io::Result<File> + Send + 'static) {
        let length = self.sharing.part(DOWNLOADED_BYTES, PIECE_BYTES);
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(length);
        self.left -= length as u64;
        let blocks = self.blocks.clone();
        let read = move || {
            let file = file()?;
            let read = blocks.read(&file, length).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "a blob is shorter than it was"),
                _ => error,
            })?;
            Ok((file, read))
        };
        let in_turn = move |turn| {
            tokio::task::spawn_blocking(move || {
                let _turn: OwnedSemaphorePermit = turn;
                read()
            })
        };
        self.next = Next::Reading(match Arc::clone(&self.work).try_acquire_owned() {
            Ok(turn) => in_turn(turn),
            Err(_) => {
                let work = Arc::clone(&self.work);
                tokio::spawn(async move {
                    let turn = work.acquire_owned().await.map_err(io::Error::other)?;
                    in_turn(turn).await.map_err(io::Error::other)?
                })
            }
        });
    }

    /// What is read is there; the rest is begun, or left until it is wanted.
    fn take(&mut self, file: File, blocks: Vec<Block>) {
        self.ready.extend(blocks);
        if self.left == 0 {
            self.next = Next::Ended;
        } else if self.sharing.count() >= CROWD {
            self.next = Next::Waiting(file);
        } else {
            self.read(|| Ok(file));
        }
    }
}

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The connection would take in far more than it can send.
        let most = self.sharing.part(DOWNLOADED_BYTES, PIECE_BYTES) / BLOCK_BYTES;
        ready!(self.sent.poll_room(most, context));
        loop {
            if let Some(block) = self.ready.pop_front() {
                let on_its_way = OnItsWay::new(block, &self.sent);
                return Poll::Ready(Some(Ok(Bytes::from_owner(on_its_way))));
            }
            match std::mem::replace(&mut self.next, Next::Ended) {
                Next::Ended => return Poll::Ready(None),
                Next::Waiting(file) => self.read(|| Ok(file)),
                Next::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.next = Next::Reading(reading);
                        return Poll::Pending;
                    };
                    match read.map_err(io::Error::other).and_then(|read| read) {
                        Ok((file, blocks)) => self.take(file, blocks),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }
}

/// How many blocks of a download the connection has, and who waits for them to be fewer.
#[derive(Default, Debug)]
struct Sent(Mutex<(usize, Option<Waker>)>);

impl Sent {
    fn state(&self) -> MutexGuard<'_, (usize, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when there are fewer than so many.
    fn poll_room(&self, most: usize, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.0 < most.max(1) {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A block that the connection has.
struct OnItsWay {
    block: Block,
    sent: Arc<Sent>,
}

impl OnItsWay {
    fn new(block: Block, sent: &Arc<Sent>) -> Self {
        sent.state().0 += 1;
        Self { block, sent: Arc::clone(sent) }
    }
}

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        self.block.as_ref()
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut state = self.sent.state();
        state.0 -= 1;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
