//! Content in motion: bodies on their way to the disk, and blobs on their way to clients.
//!
//! Content goes through in batches and pieces. The more clients there are at a time, the smaller they get: what
//! is in memory stays the same, however much is sent and by however many. Hashing, reading and writing are done
//! by the blocking pool, one batch at a time for each client, so that a slow client never holds a thread.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use landfall_wire::hash::Hasher;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Bytes of all uploads together that wait to be hashed and written; as many are being hashed and written.
const UPLOADED_BYTES: usize = 4 << 20;
/// Least and most bytes of one upload that are gathered before they are hashed and written.
const BATCH_BYTES: [usize; 2] = [48 << 10, 2 << 20];
/// A piece that is smaller than this is copied, in bytes: what is given is a part of the connection's buffer of
/// 64 KiB, and would keep all of that.
const COPIED_BYTES_MAX: usize = 32 << 10;
/// Uploads that are so many keep all processors busy without each of them gathering a batch while another one
/// is at work, which would only take memory.
const CROWD: usize = 16;
/// Bytes of all downloads together that are read ahead; as many are being sent.
const DOWNLOADED_BYTES: usize = 4 << 20;
/// Least and most bytes of a download that are read at a time.
const PIECE_BYTES: [usize; 2] = [64 << 10, 512 << 10];
/// Batches that are hashed and written at a time: more would only take turns on the same processors.
const BATCHES_AT_WORK_MAX: usize = 8;

/// What flows at the moment.
#[derive(Clone, Debug)]
pub struct Flow {
    uploads: Arc<AtomicUsize>,
    downloads: Arc<AtomicUsize>,
    work: Arc<Semaphore>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            uploads: Arc::default(),
            downloads: Arc::default(),
            work: Arc::new(Semaphore::new(BATCHES_AT_WORK_MAX)),
        }
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
            let gathered = gather(&mut body, end - stage.length(), batch_bytes).await;
            let growing = stage.done().await?;
            match gathered.ended {
                None => stage = growing.start(flow, &sharing, gathered.pieces).await?,
                Some(ended) => {
                    let last = growing.start(flow, &sharing, gathered.pieces).await?;
                    return Ok((last.done().await?, ended));
                }
            }
        }
    }

    /// Sends a batch on its way. With one upload, hashing and writing take a processor each; with several,
    /// each upload is as good as on one.
    async fn start(self, flow: &Flow, sharing: &Sharing, pieces: Vec<Bytes>) -> io::Result<Stage> {
        if pieces.is_empty() {
            return Ok(Stage::Idle(self));
        }
        let turn = Arc::clone(&flow.work).acquire_owned().await.map_err(io::Error::other)?;
        let Self { file, mut hasher, length } = self;
        let length = length + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let target = Arc::clone(&file);
        let writing = move |pieces: &[Bytes]| {
            let mut target = &*target;
            pieces.iter().try_for_each(|piece| target.write_all(piece))
        };
        if sharing.count() > 1 {
            let working = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                writing(&pieces)?;
                pieces.iter().for_each(|piece| hasher.update(piece));
                Ok(hasher)
            });
            return Ok(Stage::Working { file, length, writing: None, working });
        }
        let to_write = pieces.clone();
        let writing = tokio::task::spawn_blocking(move || writing(&to_write));
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            pieces.iter().for_each(|piece| hasher.update(piece));
            Ok(hasher)
        });
        Ok(Stage::Working { file, length, writing: Some(writing), working })
    }
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
    pieces: Vec<Bytes>,
    ended: Option<Ended>,
}

/// Reads a body until there is a batch, it ends, or `room` bytes are there and more come.
async fn gather(body: &mut (impl BodyExt<Data = Bytes> + Unpin), room: u64, batch_bytes: usize) -> Gathered {
    let mut pieces = Vec::new();
    let mut length = 0usize;
    let ended = loop {
        if length >= batch_bytes {
            break None;
        }
        match body.frame().await {
            None => break Some(Ended::Complete),
            Some(Err(_)) => break Some(Ended::Interrupted),
            Some(Ok(frame)) => {
                let Ok(mut piece) = frame.into_data() else { continue };
                let left = usize::try_from(room).unwrap_or(usize::MAX) - length;
                let too_long = piece.len() > left;
                piece.truncate(left);
                length += piece.len();
                if !piece.is_empty() {
                    let is_small = piece.len() < COPIED_BYTES_MAX;
                    pieces.push(if is_small { Bytes::copy_from_slice(&piece) } else { piece });
                }
                if too_long {
                    break Some(Ended::TooLong);
                }
            }
        }
    };
    Gathered { pieces, ended }
}

/// A file that gives its pieces one after the other, reading one ahead.
#[derive(Debug)]
pub struct Pieces {
    left: u64,
    reading: Option<Reading>,
    sharing: Sharing,
}

type Reading = JoinHandle<io::Result<(File, Vec<u8>)>>;

impl Pieces {
    /// So many bytes of a file from a place on.
    pub(super) fn of(flow: &Flow, mut file: File, start: u64, left: u64) -> Self {
        let sharing = Sharing::of(&flow.downloads);
        let length = next_length(&sharing, left);
        let reading = (left > 0).then(|| {
            tokio::task::spawn_blocking(move || {
                file.seek(SeekFrom::Start(start))?;
                piece(file, length)
            })
        });
        Self { left, reading, sharing }
    }
}

fn next_length(sharing: &Sharing, left: u64) -> u64 {
    left.min(sharing.part(DOWNLOADED_BYTES, PIECE_BYTES) as u64)
}

fn piece(file: File, length: u64) -> io::Result<(File, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    (&file).take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok((file, bytes))
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob is shorter than it was"))
    }
}

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).and_then(|read| read);
        self.reading = None;
        Poll::Ready(Some(read.map(|(file, bytes)| {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            if self.left > 0 {
                let length = next_length(&self.sharing, self.left);
                self.reading = Some(tokio::task::spawn_blocking(move || piece(file, length)));
            }
            Bytes::from(bytes)
        })))
    }
}
