//! The asynchronous client under the simplest executor, and streams.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread::Thread;

use dkm::Reprotected;

use crate::world::{World, context};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = Task::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut task) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn the_asynchronous_group_answers_from_memory_and_reads_when_it_must() {
    let world = World::new(1);
    let owner = world.group();
    let group = dkm::Group::from(world.fresh("uid:1"));
    let blob = block_on(group.protect(&context(), b"secret")).unwrap();
    assert_eq!(&*block_on(group.unprotect(&context(), &blob)).unwrap(), b"secret");
    // A reading is due: the call goes to a thread and comes back.
    world.clock.advance(3_600_000);
    assert_eq!(&*block_on(group.unprotect(&context(), &blob)).unwrap(), b"secret");
    assert_eq!(block_on(group.reprotect(&context(), &blob)).unwrap(), Reprotected::Current);
    block_on(group.refresh()).unwrap();
    assert_eq!(group.id(), owner.id());
}

#[test]
fn streams_are_the_same_blobs() {
    let world = World::new(1);
    let group = world.group();
    let plaintext: Vec<u8> = (0..300_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut blob = Vec::new();
    let made = group.protect_stream(&context(), plaintext.as_slice(), &mut blob).unwrap();
    assert_eq!((made.plaintext_len, made.blob_len), (300_000, blob.len() as u64));
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), plaintext.as_slice());
    let mut opened = Vec::new();
    let read = group.unprotect_stream(&context(), blob.as_slice(), &mut opened).unwrap();
    assert_eq!((read, opened.as_slice()), (made, plaintext.as_slice()));
    let mut seeking = group.open_seekable(&context(), std::io::Cursor::new(&blob)).unwrap();
    let mut range = [0; 100];
    assert_eq!(seeking.read_at(150_000, &mut range).unwrap(), 100);
    assert_eq!(range.as_slice(), &plaintext[150_000..150_100]);
    let cut = &blob[..blob.len() - 1];
    assert!(group.unprotect_stream(&context(), cut, Vec::new()).is_err());
    assert!(group.open_seekable(&context(), std::io::Cursor::new(cut)).is_err());
}
