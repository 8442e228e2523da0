//! The rules of [`super`], one by one and under random events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::recycle::RecycleLimits;
use crate::domain::restart::RestartOptions;

const NOW: Duration = Duration::from_secs(1);

fn pool(workers: usize, threads: usize, max_tasks: u64) -> Pool {
    let recycle = RecycleLimits { max_tasks_per_child: max_tasks, max_memory_per_child_kb: 1_000 };
    let mut pool = Pool::new(PoolLimits { workers, threads, recycle, restart: RestartOptions::default() });
    let started = pool.handle(Event::Begin, NOW);
    assert_eq!(started.len(), workers);
    for id in 1..=workers as u64 {
        pool.handle(Event::Ready(ExecutorId(id)), NOW);
    }
    pool
}

fn id(n: u64) -> ExecutorId {
    ExecutorId(n)
}

#[test]
fn work_goes_to_the_executor_with_the_most_room() {
    let mut pool = pool(2, 2, 1_000);
    assert_eq!(pool.free(), 4);
    let given = pool.handle(Event::Arrived(3), NOW);
    assert_eq!(given, [Action::Give(id(1)), Action::Give(id(2)), Action::Give(id(1))]);
    assert_eq!(pool.free(), 1);
    pool.handle(Event::Ended(id(1), 2), NOW);
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::Give(id(1))]);
}

#[test]
fn the_spare_starts_before_the_share_is_used_up_and_takes_over_in_one_step() {
    let mut pool = pool(1, 1, 20);
    let mut log = Vec::new();
    for _ in 0..20 {
        log.extend(pool.handle(Event::Arrived(1), NOW));
        if log.last() == Some(&Action::Start(id(2))) {
            assert_eq!(pool.members[&id(1)].given, 18);
            log.extend(pool.handle(Event::Ready(id(2)), NOW));
        }
        assert_eq!(pool.ready_slots(), 1, "capacity never dips");
        log.extend(pool.handle(Event::Ended(id(1), 1), NOW));
    }
    assert_eq!(log.iter().filter(|action| **action == Action::Give(id(1))).count(), 20);
    assert_eq!(log.last(), Some(&Action::Retire(id(1), Reason::MaxTasks)));
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::Give(id(2))]);
    assert_eq!(pool.handle(Event::Exited(id(1), Exit::Retired), NOW), []);
}

#[test]
fn an_executor_works_on_while_its_spare_is_not_ready() {
    let mut pool = pool(1, 1, 2);
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::Give(id(1)), Action::Start(id(2))]);
    pool.handle(Event::Ended(id(1), 1), NOW);
    for _ in 0..3 {
        assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::Give(id(1))]);
        pool.handle(Event::Ended(id(1), 1), NOW);
    }
    let changed = pool.handle(Event::Ready(id(2)), NOW);
    assert_eq!(changed, [Action::Retire(id(1), Reason::MaxTasks)]);
}

#[test]
fn memory_over_the_ceiling_replaces_and_over_the_wall_kills() {
    let mut pool = pool(1, 2, 1_000);
    pool.handle(Event::Arrived(1), NOW);
    assert_eq!(pool.handle(Event::Sampled(id(1), 1_001), NOW), [Action::Start(id(2))]);
    assert_eq!(pool.handle(Event::Sampled(id(1), 1_001), NOW), [], "one spare is enough");
    assert_eq!(pool.handle(Event::Ready(id(2)), NOW), [Action::Retire(id(1), Reason::MaxMemory)]);
    assert_eq!(pool.handle(Event::Sampled(id(2), 2_001), NOW), [Action::Kill(id(2), Reason::MemoryWall)]);
}

#[test]
fn a_crashed_executor_is_replaced_at_once_and_then_with_back_off() {
    let mut pool = pool(1, 1, 1_000);
    assert_eq!(pool.handle(Event::Exited(id(1), Exit::Crashed), NOW), [Action::Start(id(2))]);
    let wait = RestartOptions::default().backoff;
    assert_eq!(pool.handle(Event::Exited(id(2), Exit::Crashed), NOW), [Action::StartLater(wait)]);
    assert_eq!(pool.free(), 0);
    assert_eq!(pool.handle(Event::StartDue, NOW), [Action::Start(id(3))]);
}

#[test]
fn a_ready_spare_stands_in_for_an_executor_that_crashed() {
    let mut pool = pool(1, 1, 2);
    pool.handle(Event::Arrived(1), NOW);
    pool.handle(Event::Ready(id(2)), NOW);
    assert_eq!(pool.handle(Event::Exited(id(1), Exit::Crashed), NOW), []);
    assert_eq!(pool.handle(Event::Arrived(1), NOW)[0], Action::Give(id(2)));
}

#[test]
fn what_arrives_for_an_executor_that_has_ended_waits_while_another_serves_and_goes_back_if_none_does() {
    let mut pool = pool(2, 1, 1_000);
    pool.handle(Event::Exited(id(1), Exit::Crashed), NOW);
    assert_eq!(pool.handle(Event::Arrived(2), NOW), [Action::Give(id(2))]);
    assert_eq!(pool.handle(Event::Ready(id(3)), NOW), [Action::Give(id(3))]);
    pool.handle(Event::Exited(id(2), Exit::Crashed), NOW);
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [], "one is missing: it waits for that one's replacement");
    assert!(pool.handle(Event::Exited(id(3), Exit::Crashed), NOW).contains(&Action::GiveBack));
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::GiveBack]);
}

#[test]
fn draining_finishes_what_runs_and_gives_the_rest_back() {
    let mut pool = pool(2, 1, 1_000);
    pool.handle(Event::Arrived(1), NOW);
    let retired = |n| Action::Retire(id(n), Reason::Shutdown);
    assert_eq!(pool.handle(Event::Drain, NOW), [Action::GiveBack, retired(1), retired(2)]);
    assert_eq!(pool.free(), 0);
    assert_eq!(pool.handle(Event::Arrived(1), NOW), [Action::GiveBack]);
    assert_eq!(pool.handle(Event::Exited(id(2), Exit::Retired), NOW), []);
    assert_eq!(pool.handle(Event::Exited(id(1), Exit::Crashed), NOW), [Action::Drained]);
}

fn resized(pool: &mut Pool, workers: usize, threads: usize) -> Vec<Action> {
    let limits = PoolLimits { workers, threads, ..*pool.limits() };
    pool.handle(Event::Resized(limits), NOW)
}

fn scaled_down(n: u64) -> Action {
    Action::Retire(id(n), Reason::ScaledDown)
}

#[test]
fn a_pool_that_grows_starts_what_is_missing_and_one_that_shrinks_retires_the_idle_first() {
    let mut pool = pool(2, 2, 1_000);
    assert_eq!(resized(&mut pool, 4, 2), [Action::Start(id(3)), Action::Start(id(4))]);
    assert_eq!((pool.ready_slots(), pool.free()), (4, 4));
    pool.handle(Event::Ready(id(3)), NOW);
    pool.handle(Event::Arrived(4), NOW);
    pool.handle(Event::Ended(id(3), 1), NOW);
    // 4 does not serve yet, 3 runs least.
    assert_eq!(resized(&mut pool, 2, 2), [scaled_down(4), scaled_down(3)]);
    assert_eq!((pool.ready_slots(), pool.free()), (4, 1));
    assert_eq!(pool.handle(Event::Exited(id(4), Exit::Retired), NOW), []);
    assert_eq!(pool.handle(Event::Exited(id(3), Exit::Retired), NOW), [], "nobody replaces them");
    assert_eq!(resized(&mut pool, 1, 2), [scaled_down(2)], "2 has a free slot");
    assert_eq!(resized(&mut pool, 1, 2), [], "once is enough");
    assert_eq!(pool.handle(Event::Exited(id(1), Exit::Crashed), NOW), [Action::Start(id(5))], "the last is replaced");
}

#[test]
fn another_number_of_threads_counts_at_once_and_interrupts_nothing() {
    let mut pool = pool(1, 2, 1_000);
    pool.handle(Event::Arrived(2), NOW);
    assert_eq!(resized(&mut pool, 1, 4), []);
    assert_eq!((pool.free(), pool.ready_slots()), (2, 4));
    assert_eq!(pool.handle(Event::Arrived(2), NOW), [Action::Give(id(1)), Action::Give(id(1))]);
    assert_eq!(resized(&mut pool, 1, 1), []);
    assert_eq!((pool.free(), pool.ready_slots()), (0, 1));
    pool.handle(Event::Ended(id(1), 3), NOW);
    assert_eq!(pool.free(), 0, "one still runs");
    pool.handle(Event::Ended(id(1), 1), NOW);
    assert_eq!(pool.free(), 1);
}

#[test]
fn a_task_on_its_way_to_a_slot_that_is_gone_is_given_back() {
    let mut pool = pool(2, 1, 1_000);
    assert_eq!(pool.free(), 2);
    assert_eq!(resized(&mut pool, 1, 1), [scaled_down(1)]);
    assert_eq!(pool.handle(Event::Arrived(2), NOW), [Action::Give(id(2)), Action::GiveBack]);
    assert_eq!(pool.free(), 0);
}

#[test]
fn an_executor_that_is_being_replaced_goes_with_its_spare_when_the_pool_shrinks() {
    let mut pool = pool(2, 1, 1_000);
    pool.handle(Event::Arrived(1), NOW);
    // 2 is idle and too large; its spare is on its way.
    assert_eq!(pool.handle(Event::Sampled(id(2), 1_001), NOW), [Action::Start(id(3))]);
    assert_eq!(resized(&mut pool, 1, 1), [scaled_down(2), scaled_down(3)]);
    assert_eq!(pool.handle(Event::Ready(id(3)), NOW), [], "it said so before it heard");
    assert_eq!(pool.ready_slots(), 1);
    pool.handle(Event::Exited(id(2), Exit::Retired), NOW);
    assert_eq!(pool.handle(Event::Exited(id(3), Exit::Retired), NOW), []);
    assert_eq!(pool.members().count(), 1);
}

#[test]
fn a_pool_that_shrinks_keeps_the_recycling_of_those_that_stay() {
    let mut pool = pool(2, 1, 1_000);
    pool.handle(Event::Sampled(id(1), 1_001), NOW);
    pool.handle(Event::Arrived(1), NOW);
    assert_eq!(resized(&mut pool, 1, 1), [scaled_down(2)], "1 runs something");
    assert_eq!(pool.handle(Event::Ready(id(3)), NOW), [Action::Retire(id(1), Reason::MaxMemory)]);
    assert_eq!(pool.ready_slots(), 1, "capacity never dips");
}

#[test]
fn a_smaller_share_begins_to_count_when_it_is_set() {
    let mut pool = pool(1, 1, 1_000);
    for _ in 0..5 {
        pool.handle(Event::Arrived(1), NOW);
        pool.handle(Event::Ended(id(1), 1), NOW);
    }
    let recycle = RecycleLimits { max_tasks_per_child: 5, max_memory_per_child_kb: 1_000 };
    let limits = PoolLimits { recycle, ..*pool.limits() };
    assert_eq!(pool.handle(Event::Resized(limits), NOW), [Action::Start(id(2))]);
    assert_eq!(pool.handle(Event::Ready(id(2)), NOW), [Action::Retire(id(1), Reason::MaxTasks)]);
}

#[test]
fn a_pool_whose_children_crash_grows_when_the_wait_is_over() {
    let mut pool = pool(1, 1, 1_000);
    pool.handle(Event::Exited(id(1), Exit::Crashed), NOW);
    let wait = RestartOptions::default().backoff;
    assert_eq!(pool.handle(Event::Exited(id(2), Exit::Crashed), NOW), [Action::StartLater(wait)]);
    assert_eq!(resized(&mut pool, 3, 1), [], "what crashes is not tried more often for being wanted more");
    assert_eq!(pool.handle(Event::StartDue, NOW), [3, 4, 5].map(|n| Action::Start(id(n))));
    pool.handle(Event::Exited(id(3), Exit::Crashed), NOW);
    assert_eq!(resized(&mut pool, 2, 1), []);
    assert_eq!(pool.handle(Event::StartDue, NOW), [], "two are there");
}

#[test]
fn a_pool_that_drains_has_no_size_any_more() {
    let mut pool = pool(2, 1, 1_000);
    pool.handle(Event::Drain, NOW);
    assert_eq!(resized(&mut pool, 5, 1), []);
    assert_eq!(resized(&mut pool, 1, 1), []);
    assert_eq!(pool.free(), 0);
}

/// A world around a pool that does what the pool asks for, in an order that chance decides.
#[derive(Default)]
struct World {
    starting: BTreeSet<ExecutorId>,
    running: Vec<ExecutorId>,
    retiring: BTreeSet<ExecutorId>,
    later: usize,
    given: usize,
    given_back: usize,
}

impl World {
    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(id) => assert!(self.starting.insert(id), "an id is used once"),
                Action::StartLater(_) => self.later += 1,
                Action::Give(id) => {
                    assert!(!self.retiring.contains(&id) && !self.starting.contains(&id));
                    self.running.push(id);
                    self.given += 1;
                }
                Action::Retire(id, _) => assert!(self.retiring.insert(id), "retired once"),
                Action::Kill(..) | Action::GiveBack | Action::Drained => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_task_is_lost_and_slots_are_respected(
        steps in proptest::collection::vec((0u8..7, any::<prop::sample::Index>()), 1..400),
        workers in 1usize..4, threads in 1usize..4, max_tasks in 1u64..12,
    ) {
        let recycle = RecycleLimits { max_tasks_per_child: max_tasks, max_memory_per_child_kb: 1_000 };
        let restart = RestartOptions::default();
        let mut pool = Pool::new(PoolLimits { workers, threads, recycle, restart });
        let mut world = World::default();
        let (mut arrived, mut workers, mut most_threads) = (0, workers, threads);
        world.carry_out(pool.handle(Event::Begin, NOW));
        for (step, choice) in steps {
            let starting: Vec<_> = world.starting.iter().copied().collect();
            let idle_retiring: Vec<_> =
                world.retiring.iter().copied().filter(|id| !world.running.contains(id)).collect();
            let actions = match step {
                0 if pool.free() > 0 => {
                    let count = 1 + choice.index(pool.free());
                    arrived += count;
                    pool.handle(Event::Arrived(count), NOW)
                }
                1 if !starting.is_empty() => {
                    let id = starting[choice.index(starting.len())];
                    world.starting.remove(&id);
                    pool.handle(Event::Ready(id), NOW)
                }
                2 if !world.running.is_empty() => {
                    let id = world.running.swap_remove(choice.index(world.running.len()));
                    pool.handle(Event::Ended(id, 1), NOW)
                }
                3 if !idle_retiring.is_empty() => {
                    let id = idle_retiring[choice.index(idle_retiring.len())];
                    world.retiring.remove(&id);
                    pool.handle(Event::Exited(id, Exit::Retired), NOW)
                }
                4 => {
                    let ids: Vec<_> = pool.members().map(|(id, _)| id).collect();
                    if ids.is_empty() { continue; }
                    let id = ids[choice.index(ids.len())];
                    world.starting.remove(&id);
                    world.retiring.remove(&id);
                    world.running.retain(|running| *running != id);
                    pool.handle(Event::Exited(id, Exit::Crashed), NOW)
                }
                5 if world.later > 0 => {
                    world.later -= 1;
                    pool.handle(Event::StartDue, NOW)
                }
                6 => {
                    workers = 1 + choice.index(4);
                    let threads = 1 + choice.index(3);
                    most_threads = most_threads.max(threads);
                    resized(&mut pool, workers, threads)
                }
                _ => continue,
            };
            let gave_back = actions.contains(&Action::GiveBack);
            world.carry_out(actions);
            if gave_back {
                world.given_back = arrived - world.given - pool.waiting;
            }
            prop_assert_eq!(arrived, world.given + world.given_back + pool.waiting);
            for (id, member) in pool.members() {
                prop_assert!(member.active <= most_threads);
                prop_assert_eq!(member.active, world.running.iter().filter(|running| **running == id).count());
            }
            let there = pool.members().filter(|(_, m)| !m.draining && m.spare_of.is_none()).count();
            prop_assert!(there + pool.starts_due >= workers || pool.starts_due > 0, "who is missing is on its way");
            prop_assert!(there <= workers, "nobody is too many for longer than it takes to say so");
        }
    }
}
