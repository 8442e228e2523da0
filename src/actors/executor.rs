//! An executor: owns one child process and the attempts that run in it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use serde::Serialize;
use tokio::runtime::Handle;

use super::exit::ExitGuard;
use super::given::Given;
use super::link::{self, Link};
use super::pool::{Exit, Reason};
use super::post::tell;
use super::process::{Spawned, Spawner};
use super::supervisor::{AttemptsEnded, ChildStarted, ExecutorExited, ExecutorReady, Supervisor};
use crate::child::frames::{self, AttemptKey, FromChild, RunAttempt, StartChild, ToChild};
use crate::dispatch::claim::Job;
use crate::dispatch::{Abort, Dispatch};
use crate::domain::clock;
use crate::domain::ids::ExecutorId;
use crate::domain::outcome::{Failure, Lost, Outcome};
use crate::domain::plural::plural;
use crate::domain::retry::HARD_TIME_LIMIT;
use crate::domain::trace::{Call, Period};
use crate::store::claim::Attempt;

/// How often deadlines are looked at.
const DEADLINE_CHECK: Duration = Duration::from_millis(250);

/// How long a child may take to end an attempt that is called off. One that needs longer does nothing else either.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// Limits of an executor.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// What the child is told first.
    pub child: StartChild,
    /// How long a child may take to be ready.
    pub start_timeout: Duration,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// When it is cancelled, unless its task says otherwise.
    pub soft: Duration,
    /// How long after its soft limit its child is killed.
    pub hard_after: Duration,
}

/// What an executor works with.
#[derive(Clone)]
pub struct ExecutorParts {
    /// Limits.
    pub options: ExecutorOptions,
    /// Starts the child.
    pub spawner: Spawner,
    /// Takes the outcomes.
    pub dispatch: Dispatch,
    /// Where the link runs.
    pub runtime: Handle,
}

/// The actor. Lives as long as its child.
pub struct Executor {
    id: ExecutorId,
    parts: ExecutorParts,
    supervisor: Addr<Supervisor>,
    link: Link,
    active: ActiveAttempts,
    ready: bool,
    /// Why the child is being killed.
    killed: Option<Killed>,
    guard: ExitGuard<Exit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    HardLimit,
    Memory,
    Shutdown,
    NotReady,
}

impl Executor {
    /// An executor, to be started by its supervisor.
    pub fn new(id: ExecutorId, parts: ExecutorParts, supervisor: Addr<Supervisor>) -> Self {
        let parent = supervisor.clone();
        Self {
            id,
            active: ActiveAttempts { dispatch: parts.dispatch.clone(), attempts: HashMap::new() },
            parts,
            supervisor,
            link: Link { frames: None, kill: None },
            ready: false,
            killed: None,
            guard: ExitGuard::new(Exit::Crashed, move |exit| tell(&parent, ExecutorExited { id, exit })),
        }
    }

    fn spawned(&mut self, spawned: std::io::Result<Spawned>, ctx: &mut Context<Self>) {
        match spawned {
            Ok(spawned) => {
                let pid = spawned.child.id();
                let codec = frames::codec(self.parts.options.child.max_answer_bytes);
                self.link = link::start(spawned, codec, ctx.address(), &self.parts.runtime);
                self.say(&ToChild::Start(self.parts.options.child.clone()));
                // What was asked for before there was a child.
                if let Some(why) = self.killed {
                    self.kill(why);
                }
                self.close_when_idle();
                tell(&self.supervisor, ChildStarted { id: self.id, pid });
            }
            Err(error) => {
                log::error!("a child can't be started: {error}");
                ctx.stop();
            }
        }
    }

    /// Says something to the child; whether it is on its way. The end of a child that is gone is told by the link.
    fn say<T: Serialize>(&self, frame: &T) -> bool {
        let Some(frames) = &self.link.frames else { return false };
        match frames::encode(frame) {
            Ok(bytes) => frames.send(bytes).is_ok(),
            Err(error) => {
                log::error!("a frame can't be encoded: {error}");
                false
            }
        }
    }

    fn kill(&mut self, why: Killed) {
        self.killed.get_or_insert(why);
        if let Some(kill) = self.link.kill.take() {
            // Refused only where the link has seen the child end by itself.
            kill.send(()).unwrap_or_default();
        }
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        if self.active.attempts.values().any(|active| active.deadline <= now) {
            log::warn!(
                "executor {}: an attempt passed its hard time limit, or did not end when it was cancelled; its child is killed",
                self.id
            );
            self.kill(Killed::HardLimit);
        }
    }

    /// What the end of the child means for an attempt that ran in it.
    fn outcome_without_child(&self, active: &Active, now: Instant, status: &str) -> Outcome {
        let lost = |code: &str, message: String| Outcome::Lost(Lost { code: code.to_owned(), message });
        match self.killed {
            Some(Killed::HardLimit) if active.deadline <= now => Outcome::Failed(
                Failure::transient(
                    HARD_TIME_LIMIT,
                    "The attempt did not end at its soft time limit and was killed at the hard one (time_limit_s).",
                )
                .outcome_unknown(),
            ),
            Some(Killed::HardLimit) => lost(
                "neighbour_killed",
                "Another attempt in the same child passed its hard time limit, or did not end when it was cancelled."
                    .to_owned(),
            ),
            Some(Killed::Memory) => lost(
                "memory_wall",
                "The child passed twice its memory ceiling (max_memory_per_child_kb) and was killed.".to_owned(),
            ),
            Some(Killed::Shutdown) => Outcome::Released,
            Some(Killed::NotReady) | None => lost("child_exited", format!("The child process ended: {status}.")),
        }
    }
}

impl Actor for Executor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let spawner = self.parts.spawner.clone();
        let spawning = async move { spawner.spawn().await };
        ctx.spawn(spawning.into_actor(self).map(|spawned, executor, ctx| executor.spawned(spawned, ctx)));
        ctx.run_later(self.parts.options.start_timeout, |executor, _| {
            if !executor.ready {
                log::error!("executor {}: the child was not ready in time and is killed", executor.id);
                executor.kill(Killed::NotReady);
            }
        });
        ctx.run_interval(DEADLINE_CHECK, |executor, _| executor.check_deadlines());
    }
}

/// Run an attempt. Sent by the supervisor, at most one a free slot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Run {
    /// The attempt.
    pub given: Given,
    /// How long it may take.
    pub limits: TimeLimits,
}

impl Handler<Run> for Executor {
    type Result = ();

    fn handle(&mut self, Run { given, limits }: Run, _: &mut Self::Context) {
        let Job { claimed, endpoint } = given.accept();
        let soft_limit = claimed.timeout_s.map_or(limits.soft, |seconds| Duration::from_secs(u64::from(seconds)));
        let key = AttemptKey { task: claimed.attempt.task, number: claimed.attempt.number };
        let deadline = Instant::now() + soft_limit + limits.hard_after;
        let context = self.parts.dispatch.traces().call_of(&claimed.attempt);
        let is_told = context.is_some_and(|context| context.is_sampled);
        let call = is_told.then(|| Box::new(Call::begun(&endpoint, &claimed.flow_id, clock::now())));
        let said = self.say(&ToChild::Run(Box::new(RunAttempt {
            key,
            endpoint,
            flow_id: claimed.flow_id,
            input: claimed.input,
            session_id: claimed.session_id,
            input_component: claimed.input_component,
            output_component: claimed.output_component,
            soft_limit,
            traceparent: context.map(|context| context.to_string()),
        })));
        if said {
            self.active.attempts.insert(key, Active { attempt: claimed.attempt, deadline, call });
        } else {
            self.parts.dispatch.record(claimed.attempt, Outcome::NotStarted);
        }
    }
}

/// Stop an attempt of a task, if it runs here. Sent by the supervisor.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Cancel(pub Abort);

impl Handler<Cancel> for Executor {
    type Result = ();

    fn handle(&mut self, Cancel(abort): Cancel, _: &mut Self::Context) {
        let latest = Instant::now() + CANCEL_LIMIT;
        let mut called_off = Vec::new();
        for (key, active) in &mut self.active.attempts {
            if key.task == abort.task && key.number <= abort.up_to_attempt {
                // Being told again, by the janitor, gives no more time.
                active.deadline = active.deadline.min(latest);
                called_off.push(*key);
            }
        }
        for key in called_off {
            self.say(&ToChild::Cancel(key));
        }
    }
}

/// Finish what runs, then end. Sent by the supervisor, which gives nothing new from then on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;

impl Handler<Retire> for Executor {
    type Result = ();

    fn handle(&mut self, _: Retire, _: &mut Self::Context) {
        self.guard.set(Exit::Retired);
        self.close_when_idle();
    }
}

/// Kill the child. Sent by the supervisor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Kill(pub Reason);

impl Handler<Kill> for Executor {
    type Result = ();

    fn handle(&mut self, Kill(reason): Kill, _: &mut Self::Context) {
        self.kill(if reason == Reason::Shutdown { Killed::Shutdown } else { Killed::Memory });
    }
}

/// Frames of the child. Sent by the link.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChildSaid(pub Vec<FromChild>);

impl Handler<ChildSaid> for Executor {
    type Result = ();

    fn handle(&mut self, ChildSaid(frames): ChildSaid, _: &mut Self::Context) {
        let mut ended = 0;
        for frame in frames {
            match frame {
                FromChild::Ready => {
                    self.ready = true;
                    tell(&self.supervisor, ExecutorReady { id: self.id });
                }
                FromChild::Ended(key, outcome, call) => {
                    if let Some(active) = self.active.attempts.remove(&key) {
                        active.end(&self.parts.dispatch, outcome, call);
                        ended += 1;
                    }
                }
            }
        }
        if ended > 0 {
            tell(&self.supervisor, AttemptsEnded { id: self.id, count: ended });
            self.close_when_idle();
        }
    }
}

impl Executor {
    /// Lets the child go once a retiring executor has nothing left.
    fn close_when_idle(&mut self) {
        if self.guard.is(Exit::Retired) && self.active.attempts.is_empty() {
            self.link.frames = None;
        }
    }
}

/// The child has ended and all it said was delivered. Sent by the link.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChildEnded {
    /// How, for people.
    pub status: String,
}

impl Handler<ChildEnded> for Executor {
    type Result = ();

    fn handle(&mut self, ended: ChildEnded, ctx: &mut Self::Context) {
        let now = Instant::now();
        let attempts = std::mem::take(&mut self.active.attempts);
        if !attempts.is_empty() || !self.guard.is(Exit::Retired) {
            let (id, count, status) = (self.id, attempts.len(), &ended.status);
            log::warn!(
                "executor {id}: the child ended with {} running ({status})",
                plural(count, "attempt", "attempts")
            );
        }
        for active in attempts.into_values() {
            let outcome = self.outcome_without_child(&active, now, &ended.status);
            active.end(&self.parts.dispatch, outcome, None);
        }
        ctx.stop();
    }
}

struct Active {
    attempt: Attempt,
    deadline: Instant,
    /// The call that the child makes, if that is told.
    call: Option<Box<Call>>,
}

impl Active {
    /// Records the end. The child says when it called the source, unless it had no chance to.
    fn end(self, dispatch: &Dispatch, outcome: Outcome, called: Option<Period>) {
        let call = self.call.map(|call| call.ended(called, clock::now()));
        dispatch.record_called(self.attempt, outcome, call);
    }
}

/// The attempts that run in the child. What is left when the executor is dropped is given back: nothing that must
/// finish lives only in an actor.
struct ActiveAttempts {
    dispatch: Dispatch,
    attempts: HashMap<AttemptKey, Active>,
}

impl Drop for ActiveAttempts {
    fn drop(&mut self) {
        for (_, active) in self.attempts.drain() {
            let message = "The executor ended by a bug of Spark (the service's log has the details).".to_owned();
            let outcome = Outcome::Lost(Lost { code: "executor_panicked".to_owned(), message });
            active.end(&self.dispatch, outcome, None);
        }
    }
}
