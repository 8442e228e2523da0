//! Other measures for a pool that runs.
//!
//! - What is missing is started at once, but for a pool whose children crash: there the next start that waits for its
//!   back-off brings the others too.
//! - What is too much is retired: it finishes what it runs. First those that do not serve yet, then those that run least,
//!   and of these the ones that would be replaced next. A spare goes with the executor that it was to replace.
//! - A child takes whatever it is given, so another number of threads counts at once. Executors that run more than that
//!   get nothing until they run less.

use std::cmp::Reverse;

use super::event::{Action, PoolLimits, Reason};
use super::{Member, Pool};
use crate::domain::ids::ExecutorId;

impl Pool {
    pub(super) fn resize(&mut self, limits: PoolLimits, actions: &mut Vec<Action>) {
        self.limits = limits;
        if self.draining {
            return;
        }
        self.shrink(actions);
        if self.starts_due == 0 {
            self.fill(actions);
        }
        // Their share may have become smaller.
        self.look_ahead_all(actions);
        self.give(actions);
        self.give_back_what_has_no_slot(actions);
    }

    fn shrink(&mut self, actions: &mut Vec<Action>) {
        let counts = |member: &Member| !member.draining && member.spare_of.is_none();
        let mut there: Vec<(ExecutorId, &Member)> = self.members().filter(|(_, member)| counts(member)).collect();
        let surplus = there.len().saturating_sub(self.limits.workers);
        there.sort_by_key(|(_, member)| (member.started, member.active, Reverse(member.given)));
        let leaving: Vec<ExecutorId> = there.into_iter().take(surplus).map(|(id, _)| id).collect();
        for id in leaving {
            let spare = self.spare_of(id);
            for id in [Some(id), spare].into_iter().flatten() {
                if let Some(member) = self.members.get_mut(&id) {
                    member.draining = true;
                    member.spare_of = None;
                    actions.push(Action::Retire(id, Reason::ScaledDown));
                }
            }
        }
    }
}
