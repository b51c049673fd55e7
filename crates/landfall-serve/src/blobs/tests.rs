#![allow(clippy::unwrap_used, clippy::panic)]

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use landfall_types::Timestamp;
use landfall_wire::hash::sha256_digest;

use super::*;

fn blobs() -> (tempfile::TempDir, DirBlobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::new(dir.path().to_owned()).unwrap();
    (dir, blobs)
}

/// Bytes that differ from piece to piece.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 % 251) as u8).collect()
}

/// All that comes, by a client that keeps nothing of it where it was.
async fn bytes_of(pieces: Pieces) -> Vec<u8> {
    let mut body = Body::from_stream(pieces);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    bytes
}

fn me() -> Owner {
    Owner::new("1/r/a", Timestamp::from_seconds(1), "me")
}

fn you() -> Owner {
    Owner::new("1/r/a", Timestamp::from_seconds(1), "you")
}

fn scratch_files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("uploads")).unwrap().count()
}

/// A body that gives its pieces and then breaks off.
struct Breaking(Vec<Bytes>);

impl futures_core::Stream for Breaking {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = if self.0.is_empty() { Err(io::Error::other("gone")) } else { Ok(self.0.remove(0)) };
        Poll::Ready(Some(next))
    }
}

#[tokio::test]
async fn an_upload_of_several_parts_is_read_back_as_it_was_sent() {
    let (dir, blobs) = blobs();
    // More than a batch, and not a multiple of a piece.
    let content = content(3 * (2 << 20) + 12_345);
    let (first, second) = content.split_at(1000);
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let (upload, ended) = upload.append(&blobs.flow, Body::from(first.to_vec()), u64::MAX).await.unwrap();
    assert_eq!((upload.length(), ended), (1000, Ended::Complete));
    let (upload, ended) = upload.append(&blobs.flow, Body::from(second.to_vec()), u64::MAX).await.unwrap();
    assert_eq!(ended, Ended::Complete);
    let digest = sha256_digest(&content);
    let stored = upload.finish(&blobs, &digest).await.unwrap();
    assert_eq!((&stored.digest, stored.length), (&digest, content.len() as u64));
    assert_eq!(scratch_files(&dir), 0);
    let blob = blobs.open(&digest).unwrap().unwrap();
    assert_eq!(blob.size(), content.len() as u64);
    assert_eq!(bytes_of(blob.read(&blobs.flow, 0..u64::MAX)).await, content);
}

#[tokio::test]
async fn any_part_of_a_blob_can_be_read() {
    let (_dir, blobs) = blobs();
    let content = content(2 * (512 << 10) + 10);
    let digest = blobs.put(&content).unwrap().digest;
    let piece = 512 << 10;
    for range in
        [0..0, 0..1, 5..9, 0..piece, 1..piece + 1, piece - 1..piece + 1, 0..content.len(), 7..content.len()]
    {
        let blob = blobs.open(&digest).unwrap().unwrap();
        let read = bytes_of(blob.read(&blobs.flow, range.start as u64..range.end as u64)).await;
        assert!(read == content[range.clone()], "{range:?}: {} bytes", read.len());
    }
    let blob = blobs.open(&digest).unwrap().unwrap();
    assert_eq!(bytes_of(blob.read(&blobs.flow, content.len() as u64 + 1..u64::MAX)).await, b"");
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing_behind() {
    let (dir, blobs) = blobs();
    let claimed = sha256_digest(b"something else");
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let (upload, _) = upload.append(&blobs.flow, Body::from("hello"), u64::MAX).await.unwrap();
    let error = upload.finish(&blobs, &claimed).await.unwrap_err();
    let UploadError::DigestMismatch { actual, .. } = error else { panic!("{error}") };
    assert_eq!(actual, sha256_digest(b"hello"));
    assert!(blobs.open(&claimed).unwrap().is_none());
    assert!(blobs.open(&actual).unwrap().is_none());
    assert_eq!(scratch_files(&dir), 0);
}

#[tokio::test]
async fn a_sha512_digest_is_verified_as_well() {
    let (_dir, blobs) = blobs();
    let content = content(REHASH_BYTES + 1);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&content);
    let digest = hasher.finish();
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let (upload, _) = upload.append(&blobs.flow, Body::from(content.clone()), u64::MAX).await.unwrap();
    assert_eq!(upload.finish(&blobs, &digest).await.unwrap().digest, digest);
    assert_eq!(bytes_of(blobs.open(&digest).unwrap().unwrap().read(&blobs.flow, 0..u64::MAX)).await, content);
}

#[tokio::test]
async fn what_arrived_before_a_break_is_part_of_the_upload() {
    let (_dir, blobs) = blobs();
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let body = Body::from_stream(Breaking(vec![Bytes::from_static(b"hel"), Bytes::from_static(b"l")]));
    let (upload, ended) = upload.append(&blobs.flow, body, u64::MAX).await.unwrap();
    assert_eq!((upload.length(), ended), (4, Ended::Interrupted));
    let (upload, _) = upload.append(&blobs.flow, Body::from("o"), u64::MAX).await.unwrap();
    assert!(upload.finish(&blobs, &sha256_digest(b"hello")).await.is_ok());
}

#[tokio::test]
async fn a_body_is_cut_where_it_may_not_go_on() {
    let (_dir, blobs) = blobs();
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let (upload, ended) = upload.append(&blobs.flow, Body::from("hello"), 5).await.unwrap();
    assert_eq!((upload.length(), ended), (5, Ended::Complete));
    let (upload, ended) = upload.append(&blobs.flow, Body::from(", world"), 4).await.unwrap();
    assert_eq!((upload.length(), ended), (9, Ended::TooLong));
    assert!(upload.finish(&blobs, &sha256_digest(b"hello, wo")).await.is_ok());
}

#[tokio::test]
async fn pushing_the_same_content_twice_is_fine() {
    use std::os::unix::fs::MetadataExt as _;
    let (dir, blobs) = blobs();
    let digest = blobs.put(b"same").unwrap().digest;
    let path = blobs.path(&digest);
    let file = || std::fs::metadata(&path).unwrap().ino();
    let first = file();
    assert_eq!(blobs.put(b"same").unwrap().digest, digest);
    // What is there stays: nothing has to be written out in its place.
    assert_eq!((file(), scratch_files(&dir)), (first, 0));
    // Unless it can't be what its name says.
    std::fs::write(&path, b"sam").unwrap();
    assert_eq!(blobs.put(b"same").unwrap().digest, digest);
    assert_eq!(scratch_files(&dir), 0);
    assert_eq!(bytes_of(blobs.open(&digest).unwrap().unwrap().read(&blobs.flow, 0..4)).await, b"same");
}

#[test]
fn a_start_clears_the_uploads_of_an_earlier_process_and_keeps_the_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let before = DirBlobs::new(dir.path().to_owned()).unwrap();
    let digest = before.put(b"kept").unwrap().digest;
    std::fs::write(dir.path().join("uploads/left-over"), "half a layer").unwrap();
    let after = DirBlobs::new(dir.path().to_owned()).unwrap();
    assert_eq!(scratch_files(&dir), 0);
    assert!(after.open(&digest).unwrap().is_some());
    assert!(after.open(&sha256_digest(b"never pushed")).unwrap().is_none());
}

#[test]
fn one_request_at_a_time_has_an_upload_and_only_its_owners() {
    let (_dir, blobs) = blobs();
    let uploads = &blobs.open_uploads;
    let now = Timestamp::from_seconds(0);
    uploads.insert("a", &me(), blobs.begin("a", Algorithm::Sha256).unwrap(), now).unwrap();
    assert!(matches!(uploads.take("a", &you()), Taken::Unknown));
    assert!(matches!(uploads.take("b", &me()), Taken::Unknown));
    let Taken::Upload(upload) = uploads.take("a", &me()) else { panic!("it is there") };
    assert!(matches!(uploads.take("a", &me()), Taken::Busy));
    uploads.put_back("a", upload, now);
    assert!(matches!(uploads.take("a", &me()), Taken::Upload(_)));
    uploads.forget("a");
    assert!(matches!(uploads.take("a", &me()), Taken::Unknown));
}

#[test]
fn an_upload_whose_owner_the_disk_does_not_take_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_seconds(0);
    let blobs = DirBlobs::durable(dir.path().to_owned(), now).unwrap();
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    // Something is in the way, as a disk without room would be.
    std::fs::create_dir(dir.path().join("uploads/a.owner")).unwrap();
    let refused = blobs.open_uploads.insert("a", &me(), upload, now);
    assert!(matches!(refused, Err(NotOpened::Disk(_))), "{refused:?}");
    assert!(!dir.path().join("uploads/a").exists());
    assert!(matches!(blobs.open_uploads.take("a", &me()), Taken::Unknown));
}

#[test]
fn idle_uploads_make_room_and_busy_ones_stay() {
    let (dir, blobs) = blobs();
    let uploads = &blobs.open_uploads;
    let start = Timestamp::from_seconds(0);
    for number in 0..UPLOADS_MAX {
        let id = format!("{number}");
        uploads.insert(&id, &me(), blobs.begin(&id, Algorithm::Sha256).unwrap(), start).unwrap();
    }
    let one_more = |id: &str, at| uploads.insert(id, &me(), blobs.begin(id, Algorithm::Sha256).unwrap(), at);
    let Taken::Upload(busy) = uploads.take("7", &me()) else { panic!("it is there") };
    let refused = one_more("x", start.plus_seconds(UPLOAD_IDLE_SECONDS_MAX - 1));
    assert!(matches!(refused, Err(NotOpened::TooMany)), "{refused:?}");
    one_more("y", start.plus_seconds(UPLOAD_IDLE_SECONDS_MAX)).unwrap();
    assert!(matches!(uploads.take("0", &me()), Taken::Unknown));
    uploads.put_back("7", busy, start);
    assert!(matches!(uploads.take("7", &me()), Taken::Upload(_)));
    assert_eq!(uploads.length("y", &me()), Some(0));
    // The dropped ones took their files with them; `y`'s is left, and 7's went with the last take.
    assert_eq!(scratch_files(&dir), 1);
}

#[tokio::test]
async fn an_upload_outlives_its_process_and_what_is_left_of_others_goes() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_seconds(0);
    let open = || DirBlobs::durable(dir.path().to_owned(), now).unwrap();
    let content = content(100_000);
    let blobs = open();
    let upload = blobs.begin("a", Algorithm::Sha256).unwrap();
    let (upload, _) =
        upload.append(&blobs.flow, Body::from(content[..60_000].to_vec()), u64::MAX).await.unwrap();
    blobs.open_uploads.insert("a", &me(), upload, now).unwrap();
    blobs.leave_uploads();
    drop(blobs);
    // What a process leaves that was killed between two steps: content without an owner, and the reverse.
    for name in ["b", "put-1", "c.owner"] {
        std::fs::write(dir.path().join("uploads").join(name), "x").unwrap();
    }
    // An earlier version's, which didn't say when the repository was made.
    for (name, text) in [("d", "x"), ("d.owner", "1/r/a me")] {
        std::fs::write(dir.path().join("uploads").join(name), text).unwrap();
    }
    let blobs = open();
    assert_eq!(scratch_files(&dir), 2);
    assert_eq!(blobs.open_uploads.length("a", &me()), Some(60_000));
    assert!(matches!(blobs.open_uploads.take("a", &you()), Taken::Unknown));
    let Taken::Upload(upload) = blobs.open_uploads.take("a", &me()) else { panic!("it is there") };
    let (upload, _) =
        upload.append(&blobs.flow, Body::from(content[60_000..].to_vec()), u64::MAX).await.unwrap();
    upload.finish(&blobs, &sha256_digest(&content)).await.unwrap();
    blobs.open_uploads.forget("a");
    assert_eq!(scratch_files(&dir), 0);
}

#[test]
fn only_blobs_that_nobody_needs_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::durable(dir.path().to_owned(), Timestamp::from_seconds(0)).unwrap();
    let held = || HashSet::from([sha256_digest(b"held")]);
    drop(blobs.put(b"held").unwrap());
    // Its record is on its way, also when somebody else is done with the same content.
    let waits = blobs.put(b"nobody's").unwrap();
    drop(blobs.put(b"nobody's").unwrap());
    assert_eq!(blobs.sweep(held).unwrap(), (0, 0));
    // It got its record after the sweep was told what is held, in either order.
    let mut waits = Some(waits);
    let told_before = || {
        waits.take();
        held()
    };
    assert_eq!(blobs.sweep(told_before).unwrap(), (0, 0));
    let stored_meanwhile = || {
        drop(blobs.put(b"nobody's").unwrap());
        held()
    };
    assert_eq!(blobs.sweep(stored_meanwhile).unwrap(), (0, 0));
    assert_eq!(blobs.sweep(held).unwrap(), (1, 8));
    assert!(blobs.open(&sha256_digest(b"nobody's")).unwrap().is_none());
    assert!(blobs.open(&sha256_digest(b"held")).unwrap().is_some());
}

#[test]
fn a_sweep_waits_for_the_one_before() {
    let (_dir, blobs) = blobs();
    let digest = sha256_digest(b"recorded");
    let (begun, has_begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let first = || {
            // It is recorded after this one was told what is held, and before the other one is.
            drop(blobs.put(b"recorded").unwrap());
            scope.spawn(|| {
                let second = || {
                    begun.send(()).unwrap();
                    HashSet::from([digest.clone()])
                };
                assert_eq!(blobs.sweep(second).unwrap(), (0, 0));
            });
            assert!(has_begun.recv_timeout(std::time::Duration::from_millis(50)).is_err());
            HashSet::new()
        };
        assert_eq!(blobs.sweep(first).unwrap(), (0, 0));
    });
    assert!(blobs.open(&digest).unwrap().is_some());
}

#[test]
fn a_folder_is_used_when_it_is_on_the_disk_and_by_nobody_before() {
    let shards = Shards::default();
    let shard = Path::new("blobs/sha256/ab");
    let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
    assert!(shards.have(shard, full).is_err());
    let (made, waits) = (AtomicBool::new(false), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let make = || {
                waits.wait();
                std::thread::yield_now();
                made.store(true, Ordering::SeqCst);
                Ok(())
            };
            shards.have(shard, make).unwrap();
        });
        // The other one is at it.
        waits.wait();
        shards.have(shard, || panic!("it was made")).unwrap();
        assert!(made.load(Ordering::SeqCst));
    });
}

#[tokio::test]
async fn a_client_that_takes_nothing_has_only_so_much_of_a_blob_on_its_way() {
    let (_dir, blobs) = blobs();
    let content = content(8 << 20);
    let digest = blobs.put(&content).unwrap().digest;
    let open = || Body::from_stream(blobs.open(&digest).unwrap().unwrap().read(&blobs.flow, 0..u64::MAX));
    let mut crowd: Vec<Body> = (0..100).map(|_| open()).collect();
    let mut context = Context::from_waker(std::task::Waker::noop());
    let body = crowd.first_mut().unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 32 << 10);
    // The connection would take in more, and is not given any until this has gone.
    assert!(Pin::new(&mut body.frame()).poll(&mut context).is_pending());
    drop(first);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 32 << 10);
    // Alone, it gets more at a time.
    drop(crowd);
    let mut body = open();
    let mut kept = Vec::new();
    for _ in 0..16 {
        kept.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(Pin::new(&mut body.frame()).poll(&mut context).is_pending());
    kept.pop();
    assert!(body.frame().await.is_some());
}
