//! Single flight: deduplicates calls that requests wait for, limits them, and caches the answers.
//!
//! Callers with the same key share one call. Two limits apply: calls in flight, and calls per
//! second.
//!
//! Each call runs in its own task. If a caller is cancelled, the call continues and the other
//! callers receive the answer. So clients cannot multiply calls by disconnecting. The call must
//! enforce its own deadline.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::cache::Cache;
use super::keyed_hasher::Digest;
use super::rate_limiter::RateLimiter;

/// The calls of one sort and their cached answers.
pub(super) struct SingleFlight<A>(Arc<FlightInner<A>>);

struct FlightInner<A> {
    under_way: Mutex<HashMap<Digest, watch::Receiver<Option<A>>>>,
    kept: Cache<StoredAnswer<A>>,
    /// Maximum number of calls in flight. Further calls are rejected.
    at_once: usize,
    began: Instant,
}

struct StoredAnswer<A> {
    about: Digest,
    answer: A,
    until: Instant,
    remembered: Instant,
}

/// How long an answer is valid, and how long the answer is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keep {
    pub(super) good: Duration,
    pub(super) remembered: Duration,
}

impl Keep {
    pub(super) fn for_secs(secs: u64) -> Self {
        let good = Duration::from_secs(secs);
        Self { good, remembered: good }
    }
}

impl<A: Clone + Send + Sync + 'static> SingleFlight<A> {
    pub(super) fn new(at_once: usize, capacity: usize) -> Self {
        Self(Arc::new(FlightInner {
            under_way: Mutex::default(),
            kept: Cache::new(capacity),
            at_once,
            began: Instant::now(),
        }))
    }

    /// Returns the cached answer if the answer is still valid. Takes no lock.
    pub(super) fn known(&self, about: Digest) -> Option<A> {
        let kept = self.0.find(about)?;
        (Instant::now() < kept.until).then(|| kept.answer.clone())
    }

    /// Returns the cached answer, valid or not, while the answer is remembered.
    pub(super) fn remembered(&self, about: Digest) -> Option<A> {
        let kept = self.0.find(about)?;
        (Instant::now() < kept.remembered).then(|| kept.answer.clone())
    }

    /// Returns the answer for a key: cached, from the call in flight, or from a new call.
    ///
    /// Returns `None` if a limit forbids a new call, or if the call panics.
    pub(super) async fn ask<F>(
        &self,
        about: Digest,
        bucket: &RateLimiter,
        keep: fn(&A) -> Keep,
        question: impl FnOnce() -> F,
    ) -> Option<A>
    where
        F: Future<Output = A> + Send + 'static,
    {
        self.ask_if(about, || bucket.take(), keep, question).await
    }

    /// Like [`ask`](Self::ask), where `may_begin` decides whether a new call may start.
    ///
    /// `may_begin` runs only if neither a cached answer nor a call in flight exists.
    pub(super) async fn ask_if<F>(
        &self,
        about: Digest,
        may_begin: impl FnOnce() -> bool,
        keep: fn(&A) -> Keep,
        question: impl FnOnce() -> F,
    ) -> Option<A>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let mut flight = self.board(about, may_begin, keep, question)?;
        flight.wait_for(Option::is_some).await.ok()?.clone()
    }

    fn board<F>(
        &self,
        about: Digest,
        may_begin: impl FnOnce() -> bool,
        keep: fn(&A) -> Keep,
        question: impl FnOnce() -> F,
    ) -> Option<watch::Receiver<Option<A>>>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let mut under_way = self.0.under_way();
        if let Some(flight) = under_way.get(&about) {
            return Some(flight.clone());
        }
        // The call may have ended after the caller's cache look-up.
        if let Some(answer) = self.known(about) {
            return Some(watch::channel(Some(answer)).1);
        }
        if under_way.len() >= self.0.at_once || !may_begin() {
            return None;
        }
        let (news, flight) = watch::channel(None);
        under_way.insert(about, flight.clone());
        drop(under_way);
        let landing = Landing { inner: Arc::clone(&self.0), about };
        let question = question();
        tokio::spawn(async move {
            let answer = question.await;
            landing.inner.keep(about, &answer, keep(&answer));
            drop(landing);
            news.send_replace(Some(answer));
        });
        Some(flight)
    }
}

impl<A> FlightInner<A> {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Digest, watch::Receiver<Option<A>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, about: Digest) -> Option<Arc<StoredAnswer<A>>> {
        self.kept.find(about.index(), |kept| kept.about == about)
    }
}

impl<A: Clone> FlightInner<A> {
    /// Caches an answer. A full set evicts the answer that would be forgotten soonest.
    fn keep(&self, about: Digest, answer: &A, keep: Keep) {
        if keep.remembered.is_zero() {
            return;
        }
        let now = Instant::now();
        let remembered = now + keep.remembered;
        let kept =
            StoredAnswer { about, answer: answer.clone(), until: now + keep.good, remembered };
        let worth = i64::try_from((remembered - self.began).as_millis()).unwrap_or(i64::MAX);
        let same = |kept: &StoredAnswer<A>| kept.about == about;
        self.kept.insert(about.index(), &Arc::new(kept), worth, same);
    }
}

/// Removes a call from the calls in flight when dropped, even if the call panics.
struct Landing<A> {
    inner: Arc<FlightInner<A>>,
    about: Digest,
}

impl<A> Drop for Landing<A> {
    fn drop(&mut self) {
        self.inner.under_way().remove(&self.about);
    }
}

impl<A> fmt::Debug for SingleFlight<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("at_once", &self.0.at_once).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::keyed_hasher::KeyedHasher;
    use super::*;

    fn about(thing: &str) -> Digest {
        KeyedHasher::new(b"a key of the tests").name("thing", &[thing])
    }

    const NEVER: fn(&u32) -> Keep = |_| Keep::default();

    /// Answers with how often it was asked, after a second.
    async fn counted(asked: Arc<AtomicU32>) -> u32 {
        let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_continues_after_its_caller_is_cancelled() {
        let (flights, bucket, asked) =
            (SingleFlight::new(8, 8), RateLimiter::new(100.0), Arc::new(AtomicU32::new(0)));
        for _ in 0..10 {
            let ask = flights.ask(about("one"), &bucket, NEVER, || counted(asked.clone()));
            let gone = tokio::time::timeout(Duration::from_millis(50), ask).await;
            assert!(gone.is_err(), "it takes longer than that");
        }
        let answer = flights.ask(about("one"), &bucket, NEVER, || counted(asked.clone())).await;
        assert_eq!((answer, asked.load(Ordering::Relaxed)), (Some(1), 1));
        assert!(flights.0.under_way().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panicking_call_returns_none_and_leaves_no_entry() {
        let (flights, bucket) = (SingleFlight::<u32>::new(8, 8), RateLimiter::new(100.0));
        let answer = flights.ask(about("one"), &bucket, NEVER, || async { panic!("as asked") });
        assert_eq!(answer.await, None);
        let answer = flights.ask(about("one"), &bucket, NEVER, || async { 7 }).await;
        assert_eq!(answer, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_under_way_at_once_than_may_be() {
        let (flights, bucket, asked) =
            (SingleFlight::new(2, 8), RateLimiter::new(100.0), Arc::new(AtomicU32::new(0)));
        let ask =
            |thing: &str| flights.ask(about(thing), &bucket, NEVER, || counted(asked.clone()));
        let (one, two, three) = tokio::join!(ask("one"), ask("two"), ask("three"));
        assert_eq!((one, two, three), (Some(1), Some(2), None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_its_time_and_remembered_for_longer() {
        let (flights, bucket, asked) =
            (SingleFlight::new(8, 8), RateLimiter::new(100.0), Arc::new(AtomicU32::new(0)));
        let keep: fn(&u32) -> Keep =
            |_| Keep { good: Duration::from_secs(5), remembered: Duration::from_secs(50) };
        let ask = || flights.ask(about("one"), &bucket, keep, || counted(asked.clone()));
        assert_eq!(ask().await, Some(1));
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!((ask().await, flights.known(about("one"))), (Some(1), Some(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(
            (flights.known(about("one")), flights.remembered(about("one"))),
            (None, Some(1))
        );
        assert_eq!(ask().await, Some(2));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(flights.remembered(about("one")), None);
    }
}
