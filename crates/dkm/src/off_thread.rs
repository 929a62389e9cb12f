//! Blocking work of asynchronous calls, on a bounded number of threads.
//!
//! Only what has to read the repository comes here. Where that is slow, calls pile up: a few get a thread, the others
//! wait their turn without one, and beyond a limit the next ones are told so.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use crate::{Error, Result};

/// Most threads of one client at a time: readings are shared anyway, so that more would only wait together.
const RUNNING_MAX: usize = 16;
/// Most calls that wait for one of them.
const WAITING_MAX: usize = 10_000;

/// The threads of one client.
#[derive(Debug)]
pub(crate) struct Threads {
    running_max: usize,
    waiting_max: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Passes that are out, those of calls whose turn has come included.
    running: usize,
    next: u64,
    /// Calls by when they came; without a waker it is their turn.
    waiting: BTreeMap<u64, Option<Waker>>,
}

impl Default for Threads {
    fn default() -> Self {
        Self::new(RUNNING_MAX, WAITING_MAX)
    }
}

impl Threads {
    fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running_max, waiting_max, queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is locked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a pass to who waits longest, or takes it back.
    fn pass_on(&self) {
        let mut queue = self.queue();
        let first = queue.waiting.values_mut().find_map(Option::take);
        if first.is_none() {
            queue.running -= 1;
        }
        drop(queue);
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

/// Leave to run a thread.
#[derive(Debug)]
struct Pass(Arc<Threads>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

/// Done when there is a pass.
struct Turn<'a> {
    threads: &'a Arc<Threads>,
    number: Option<u64>,
}

impl Future for Turn<'_> {
    type Output = Result<Pass>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let threads = self.threads;
        let mut queue = threads.queue();
        if let Some(number) = self.number {
            if let Some(Some(waker)) = queue.waiting.get_mut(&number) {
                waker.clone_from(task.waker());
                return Poll::Pending;
            }
            queue.waiting.remove(&number);
            self.number = None;
            return Poll::Ready(Ok(Pass(threads.clone())));
        }
        if queue.running < threads.running_max {
            queue.running += 1;
            return Poll::Ready(Ok(Pass(threads.clone())));
        }
        let waiting = queue.waiting.len();
        if waiting >= threads.waiting_max {
            return Poll::Ready(Err(Error::Busy { waiting }));
        }
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, Some(task.waker().clone()));
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    /// A call that is given up leaves the queue; if its turn had come, the next one's has.
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let left = self.threads.queue().waiting.remove(&number);
        if matches!(left, Some(None)) {
            self.threads.pass_on();
        }
    }
}

/// What a thread leaves for the future that waits for it.
struct Desk<T> {
    state: Mutex<(Option<Result<T>>, Option<Waker>)>,
}

/// Done when its thread is.
struct OffThread<T> {
    desk: Arc<Desk<T>>,
}

impl<T> Future for OffThread<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut state = self.desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.0.take() {
            return Poll::Ready(result);
        }
        state.1 = Some(task.waker().clone());
        Poll::Pending
    }
}

/// Leaves a result even if the work panics, so that nobody waits for ever.
struct Leave<T> {
    desk: Arc<Desk<T>>,
    result: Option<Result<T>>,
    pass: Option<Pass>,
}

impl<T> Drop for Leave<T> {
    fn drop(&mut self) {
        // First the pass: who waits for the result may be about to make the next call.
        self.pass = None;
        let result =
            self.result.take().unwrap_or_else(|| Err(Error::Internal("a thread ended early".to_owned())));
        let mut state = self.desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Some(result);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Runs blocking work on a thread of its own, when one is free. Work that has begun goes on to its end, even if the call is
/// given up.
pub(crate) async fn off_thread<T: Send + 'static>(
    threads: &Arc<Threads>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let pass = Turn { threads, number: None }.await?;
    let desk = Arc::new(Desk { state: Mutex::new((None, None)) });
    let leave = Leave { desk: desk.clone(), result: None, pass: Some(pass) };
    std::thread::Builder::new()
        .name("dkm-call".to_owned())
        .spawn(move || {
            let mut leave = leave;
            leave.result = Some(work());
        })
        .map_err(|e| Error::Internal(format!("the system gives no thread: {e}")))?;
    OffThread { desk }.await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Wake;
    use std::thread::Thread;

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn waker() -> Waker {
        Waker::from(Arc::new(Unpark(std::thread::current())))
    }

    fn finish<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> T {
        loop {
            match future.as_mut().poll(&mut Task::from_waker(&waker())) {
                Poll::Ready(done) => return done,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    type Call<'a> = Pin<Box<dyn Future<Output = Result<usize>> + 'a>>;

    /// Work that says when it has begun, and ends when it is let go.
    #[derive(Clone)]
    struct Works {
        begun: Sender<usize>,
        go: Arc<Mutex<Receiver<()>>>,
        running: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl Works {
        fn new() -> (Self, Receiver<usize>, Sender<()>) {
            let ((begun, seen), (let_go, go)) = (channel(), channel());
            let works =
                Self { begun, go: Arc::new(Mutex::new(go)), running: Arc::default(), most: Arc::default() };
            (works, seen, let_go)
        }

        fn call<'a>(&self, threads: &'a Arc<Threads>, number: usize) -> Call<'a> {
            let works = self.clone();
            Box::pin(off_thread(threads, move || {
                let running = works.running.fetch_add(1, Ordering::SeqCst) + 1;
                works.most.fetch_max(running, Ordering::SeqCst);
                works.begun.send(number).unwrap();
                works.go.lock().unwrap().recv().unwrap();
                works.running.fetch_sub(1, Ordering::SeqCst);
                Ok(number)
            }))
        }
    }

    fn poll(call: &mut Call<'_>) -> Poll<Result<usize>> {
        call.as_mut().poll(&mut Task::from_waker(&waker()))
    }

    #[test]
    fn a_hundred_calls_share_three_threads_and_all_are_served() {
        let threads = Arc::new(Threads::new(3, 1_000));
        let (works, begun, let_go) = Works::new();
        let mut calls: Vec<Call<'_>> = (0..100).map(|number| works.call(&threads, number)).collect();
        for call in &mut calls {
            assert!(poll(call).is_pending());
        }
        let mut first: Vec<usize> = (0..3).map(|_| begun.recv().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2], "in the order in which they came");
        assert_eq!(threads.queue().waiting.len(), 97);
        (0..100).for_each(|_| let_go.send(()).unwrap());
        for (number, mut call) in calls.into_iter().enumerate() {
            assert_eq!(finish(call.as_mut()).unwrap(), number);
        }
        assert_eq!(works.most.load(Ordering::SeqCst), 3);
        let queue = threads.queue();
        assert_eq!((queue.running, queue.waiting.len()), (0, 0));
    }

    #[test]
    fn beyond_the_limit_calls_are_told_that_others_wait() {
        let threads = Arc::new(Threads::new(1, 2));
        let (works, begun, let_go) = Works::new();
        let mut calls: Vec<Call<'_>> = (0..4).map(|number| works.call(&threads, number)).collect();
        for call in calls.iter_mut().take(3) {
            assert!(poll(call).is_pending());
        }
        begun.recv().unwrap();
        let Poll::Ready(Err(error)) = poll(&mut calls[3]) else { panic!("it waits") };
        assert!(matches!(error, Error::Busy { waiting: 2 }));
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        (0..3).for_each(|_| let_go.send(()).unwrap());
        for mut call in calls.into_iter().take(3) {
            finish(call.as_mut()).unwrap();
        }
    }

    #[test]
    fn a_call_that_is_given_up_holds_up_nobody() {
        let threads = Arc::new(Threads::new(1, 10));
        let (works, begun, let_go) = Works::new();
        let [mut running, mut waiting, mut next] = [0, 1, 2].map(|number| works.call(&threads, number));
        for call in [&mut running, &mut waiting, &mut next] {
            assert!(poll(call).is_pending());
        }
        let_go.send(()).unwrap();
        finish(running.as_mut()).unwrap();
        assert_eq!(begun.recv().unwrap(), 0);
        // Its turn has come, and it is gone.
        drop(waiting);
        assert!(poll(&mut next).is_pending());
        assert_eq!(begun.recv().unwrap(), 2);
        // Begun, given up, and going on to its end.
        drop(next);
        let mut last = works.call(&threads, 3);
        assert!(poll(&mut last).is_pending());
        assert_eq!(threads.queue().waiting.len(), 1);
        (0..2).for_each(|_| let_go.send(()).unwrap());
        finish(last.as_mut()).unwrap();
    }

    #[test]
    fn work_that_panics_is_an_error_and_frees_its_thread() {
        let threads = Arc::new(Threads::new(1, 10));
        for _ in 0..3 {
            let call = pin!(off_thread::<()>(&threads, || panic!("as a broken repository would")));
            assert!(matches!(finish(call), Err(Error::Internal(_))));
        }
        assert_eq!(threads.queue().running, 0);
    }
}
