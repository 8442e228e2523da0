//! The supervisor of a pool: carries out what [`pool`](super::pool) decides.

mod report;
mod reshape;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, watch};

use super::executor::{Cancel, Executor, ExecutorParts, Kill, Retire, Run};
use super::exit::ExitGuard;
use super::given::Given;
use super::intake::{self, IntakeOptions, Room, Told};
use super::pool::{Action, Event, Exit, Pool, Reason};
use super::post::tell;
use crate::dispatch::Abort;
use crate::domain::clock;
use crate::domain::ids::ExecutorId;
use crate::domain::turns::ServedQueues;

pub use reshape::{PoolShape, Reshape};

/// What a pool is.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The pool's name.
    pub name: String,
    /// What it begins with.
    pub shape: PoolShape,
    /// Taking tasks in.
    pub intake: IntakeOptions,
}

/// The actor. Lives as long as the node; if it ends by itself the node stops.
pub struct Supervisor {
    options: SupervisorOptions,
    parts: ExecutorParts,
    pool: Pool,
    executors: HashMap<ExecutorId, Known>,
    /// Claimed tasks that wait for a slot, see [`Pool`].
    waiting: VecDeque<Given>,
    /// What the pool is now.
    shape: PoolShape,
    /// Executors, and slots of each, that the configuration gives it.
    configured: (usize, usize),
    /// Slots, for the intake; nothing once the pool drains.
    room: watch::Sender<Option<Room>>,
    /// Queues, for the intake.
    queues: watch::Sender<ServedQueues>,
    draining: bool,
    drained: bool,
    intake_ended: bool,
    started_at: Instant,
    _guard: ExitGuard<()>,
}

struct Known {
    address: Addr<Executor>,
    pid: Option<u32>,
    started_at: DateTime<Utc>,
    sample: Option<Sample>,
}

/// A child's resources. Sampled by the monitor.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The child.
    pub pid: u32,
    /// Resident memory in KB (1024 bytes).
    pub rss_kb: u64,
    /// Processor time in percent of one core.
    pub cpu_percent: f32,
}

impl Supervisor {
    /// A supervisor; `ended` is called when it ends, whatever the reason.
    pub fn new(options: SupervisorOptions, parts: ExecutorParts, ended: impl FnOnce(()) + 'static) -> Self {
        Self {
            pool: Pool::new(options.shape.limits),
            shape: options.shape.clone(),
            configured: options.shape.size(),
            room: watch::channel(Some(Room::default())).0,
            queues: watch::channel(options.shape.queues.clone()).0,
            options,
            parts,
            executors: HashMap::new(),
            waiting: VecDeque::new(),
            draining: false,
            drained: false,
            intake_ended: false,
            started_at: Instant::now(),
            _guard: ExitGuard::new((), ended),
        }
    }

    fn apply(&mut self, event: Event, ctx: &mut Context<Self>) {
        let actions = self.pool.handle(event, self.started_at.elapsed());
        for action in actions {
            self.carry_out(action, ctx);
        }
        let limits = self.pool.limits();
        let slots = limits.workers * limits.threads;
        let room = (!self.draining).then(|| Room { free: self.pool.free(), slots });
        self.room.send_if_modified(|known| std::mem::replace(known, room) != room);
    }

    fn carry_out(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::Start(id) => {
                let address = Executor::new(id, self.parts.clone(), ctx.address()).start();
                let known = Known { address, pid: None, started_at: clock::now(), sample: None };
                self.executors.insert(id, known);
                self.note(id, "started", None);
            }
            Action::StartLater(wait) => {
                let name = &self.options.name;
                log::warn!("pool {name}: children crash; the next one is started in {wait:?}");
                ctx.run_later(wait, |supervisor, ctx| supervisor.apply(Event::StartDue, ctx));
            }
            Action::Give(id) => {
                if let (Some(job), Some(known)) = (self.waiting.pop_front(), self.executors.get(&id)) {
                    tell(&known.address, Run { given: job, limits: self.shape.time_limits });
                }
            }
            Action::Retire(id, reason) => {
                self.note(id, "draining", Some(reason));
                if let Some(known) = self.executors.get(&id) {
                    tell(&known.address, Retire);
                }
            }
            Action::Kill(id, reason) => {
                log::warn!("pool {}: executor {id} is killed ({})", self.options.name, reason.as_str());
                self.note(id, "killed", Some(reason));
                if let Some(known) = self.executors.get(&id) {
                    tell(&known.address, Kill(reason));
                }
            }
            Action::GiveBack => self.waiting.clear(),
            Action::Drained => {
                self.drained = true;
                self.stop_when_done(ctx);
            }
        }
    }

    fn stop_when_done(&self, ctx: &mut Context<Self>) {
        if self.drained && self.intake_ended {
            ctx.stop();
        }
    }
}

/// Forwards what dispatch asks to abort.
async fn forward_aborts(mut aborts: broadcast::Receiver<Abort>, supervisor: Addr<Supervisor>) {
    while supervisor.connected() {
        match aborts.recv().await {
            Ok(abort) => tell(&supervisor, Cancel(abort)),
            // Whatever was overrun is found by reconciling.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.apply(Event::Begin, ctx);
        let dispatch = &self.parts.dispatch;
        let told = Told { room: self.room.subscribe(), queues: self.queues.subscribe() };
        let intake = intake::run(self.options.intake.clone(), told, dispatch.clone(), ctx.address());
        self.parts.runtime.spawn(intake);
        self.parts.runtime.spawn(forward_aborts(dispatch.aborts(), ctx.address()));
        self.parts.runtime.spawn(reshape::forward_orders(dispatch.orders(&self.options.name), ctx.address()));
    }
}

/// A child process was started. Sent by its executor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChildStarted {
    /// The executor.
    pub id: ExecutorId,
    /// Its child.
    pub pid: Option<u32>,
}

impl Handler<ChildStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, started: ChildStarted, _: &mut Self::Context) {
        if let Some(known) = self.executors.get_mut(&started.id) {
            known.pid = started.pid;
        }
        self.publish();
    }
}

/// An executor's child takes attempts. Sent by the executor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ExecutorReady {
    /// The executor.
    pub id: ExecutorId,
}

impl Handler<ExecutorReady> for Supervisor {
    type Result = ();

    fn handle(&mut self, ready: ExecutorReady, ctx: &mut Self::Context) {
        self.apply(Event::Ready(ready.id), ctx);
        self.note(ready.id, "ready", None);
    }
}

/// Attempts of an executor ended; their outcomes are on their way to the database. Sent by the executor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttemptsEnded {
    /// The executor.
    pub id: ExecutorId,
    /// How many.
    pub count: usize,
}

impl Handler<AttemptsEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: AttemptsEnded, ctx: &mut Self::Context) {
        self.apply(Event::Ended(ended.id, ended.count), ctx);
    }
}

/// An executor has ended. Sent by its exit guard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ExecutorExited {
    /// The executor.
    pub id: ExecutorId,
    /// How.
    pub exit: Exit,
}

impl Handler<ExecutorExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exited: ExecutorExited, ctx: &mut Self::Context) {
        let reason = if exited.exit == Exit::Crashed { "crashed" } else { "retired" };
        let given = self.given(exited.id);
        self.executors.remove(&exited.id);
        self.apply(Event::Exited(exited.id, exited.exit), ctx);
        self.note_as(exited.id, given, "exited", Some(reason));
    }
}

/// Tasks were claimed for this pool. Sent by its intake, which waits for the answer before it takes more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Arrived(pub Vec<Given>);

impl Handler<Arrived> for Supervisor {
    type Result = ();

    fn handle(&mut self, Arrived(jobs): Arrived, ctx: &mut Self::Context) {
        let count = jobs.len();
        self.waiting.extend(jobs);
        self.apply(Event::Arrived(count), ctx);
    }
}

/// The intake has ended: nothing more is claimed. Sent by the intake when the pool drains.
#[derive(Message)]
#[rtype(result = "()")]
pub struct IntakeEnded;

impl Handler<IntakeEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: IntakeEnded, ctx: &mut Self::Context) {
        self.intake_ended = true;
        if !self.draining {
            log::error!("pool {}: the intake has ended by itself", self.options.name);
            // Without it the pool would stand still; the node stops with its supervisor and is started anew.
            ctx.stop();
        }
        self.stop_when_done(ctx);
    }
}

/// Sent on behalf of [`crate::dispatch::Dispatch::abort`].
impl Handler<Cancel> for Supervisor {
    type Result = ();

    fn handle(&mut self, cancel: Cancel, _: &mut Self::Context) {
        for known in self.executors.values() {
            tell(&known.address, cancel);
        }
    }
}

/// The children's resources. Sent by the monitor; the answer shows that the supervisor makes progress.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Sampled(pub Vec<Sample>);

impl Handler<Sampled> for Supervisor {
    type Result = ();

    fn handle(&mut self, Sampled(samples): Sampled, ctx: &mut Self::Context) {
        let mut judged = Vec::new();
        for (id, known) in &mut self.executors {
            if let Some(sample) = samples.iter().find(|sample| Some(sample.pid) == known.pid) {
                known.sample = Some(*sample);
                judged.push((*id, sample.rss_kb));
            }
        }
        for (id, rss_kb) in judged {
            self.apply(Event::Sampled(id, rss_kb), ctx);
        }
        self.publish();
    }
}

/// Finish what runs within `grace`, give the rest back, end. Sent by the node.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// After this the children are killed and their attempts given back.
    pub grace: Duration,
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.draining = true;
        self.apply(Event::Drain, ctx);
        ctx.run_later(drain.grace, |supervisor, _| {
            log::warn!("pool {}: attempts still run at the end of the grace period", supervisor.options.name);
            for known in supervisor.executors.values() {
                tell(&known.address, Kill(Reason::Shutdown));
            }
        });
    }
}
