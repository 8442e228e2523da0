//! What sources and workflows have alike: limits, and a policy for attempts of which nobody knows how they ended.

use maud::{Markup, html};

use super::element::field;
use crate::domain::limit::{Limits, MOST};
use crate::domain::workflow::UnknownPolicy;

/// What stands before a policy, wherever it is shown or chosen.
pub(super) const POLICY_LABEL: &str = "If unknown whether it ran";

/// Limits, each with what it holds.
pub(super) fn facts(limits: Limits) -> Markup {
    html! {
        div { dt { "Max. concurrency" } dd { @match limits.max_concurrency { Some(most) => (most), None => "no limit" } } }
        div { dt { "Rate" } dd { @match limits.rate { Some(rate) => (rate), None => "no limit" } } }
    }
}

/// The fields of both limits; an empty one is no limit.
pub(super) fn fields(limits: Limits) -> Markup {
    html! {
        (field("max_concurrency", "Max. concurrency", "attempts that may run together, on all nodes; empty: no limit", html! {
            input type="number" name="max_concurrency" min="1" max=(MOST) value=[limits.max_concurrency] data-as="number-or-null";
        }))
        (field("rate", "Rate", "how often one may start: 2/s, 30/m, 100/h; empty: no limit", html! {
            input.mono name="rate" value=[limits.rate] autocomplete="off" spellcheck="false" data-as="text-or-null";
        }))
    }
}

/// The choice of a policy. What has none of its own goes by another's, which has this name.
pub(super) fn policy(chosen: Option<UnknownPolicy>, inherits: Option<&str>) -> Markup {
    let select = html! {
        select name="unknown_policy" data-as="text-or-null" {
            @if let Some(whose) = inherits { option value="" selected[chosen.is_none()] { (whose) } }
            @for policy in UnknownPolicy::ALL {
                option value=(policy.as_str()) selected[chosen == Some(policy)] { (policy.as_str()) }
            }
        }
    };
    field("unknown_policy", POLICY_LABEL, "retry may run it twice, fail never does", select)
}
