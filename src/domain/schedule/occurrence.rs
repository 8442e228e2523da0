//! What can become of an occurrence.

use super::named;

named!(
    /// What became of an occurrence.
    OccurrenceStatus of "status" {
        /// It made a task.
        Made = "made",
        /// Another task was in its way, or its own was called off before it started.
        Skipped = "skipped",
        /// Spark was down or the schedule paused, and it was not made up for.
        Missed = "missed",
        /// It was too late for it.
        Expired = "expired",
    } choices "made, skipped, missed, expired"
);

named!(
    /// Why an occurrence made no task, or one that did not start.
    SkipReason of "reason" {
        /// Spark was down.
        Missed = "missed",
        /// The schedule was paused.
        Paused = "paused",
        /// It was older than `expires_s` before its task could be made, or start.
        Expired = "expired",
        /// A former task of the schedule had not ended.
        Overlap = "overlap",
        /// Its task had not ended when the schedule was paused, and did not run.
        CalledOff = "called_off",
    } choices "missed, paused, expired, overlap, called_off"
);

impl SkipReason {
    /// What became of the occurrence.
    pub fn status(self) -> OccurrenceStatus {
        match self {
            Self::Missed | Self::Paused => OccurrenceStatus::Missed,
            Self::Expired => OccurrenceStatus::Expired,
            Self::Overlap | Self::CalledOff => OccurrenceStatus::Skipped,
        }
    }

    /// The reason, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missed => "Spark was down at that time, and missed_policy did not make up for it.",
            Self::Paused => "The schedule was paused at that time, and missed_policy did not make up for it.",
            Self::Expired => "Nothing had started within expires_s.",
            Self::Overlap => "An earlier task of the schedule had not ended (overlap_policy).",
            Self::CalledOff => "The schedule was paused before its task had started or had been tried again.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_back_and_each_has_its_status() {
        for reason in SkipReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_ne!(reason.status(), OccurrenceStatus::Made);
        }
        for status in OccurrenceStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
    }
}
