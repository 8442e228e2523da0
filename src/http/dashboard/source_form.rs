//! The form of a source: the same for one to add and for one to change.

use maud::{Markup, html};

use super::super::state::ApiState;
use super::element::{choice, field};
use super::limit;
use crate::domain::limit::Limits;
use crate::domain::source::SourceKind;
use crate::domain::workflow::UnknownPolicy;
use crate::store::source::SourceRecord;

/// What the fields hold. The key has the kind of field that browsers fill with no password that they know.
struct Values<'a> {
    kind: &'a str,
    adapter: &'a str,
    name: &'a str,
    url: &'a str,
    name_hint: &'static str,
    key_hint: &'static str,
    unknown_policy: UnknownPolicy,
    limits: Limits,
    tls_verify: bool,
    tls_ca: &'a str,
}

/// The form that adds one.
pub(super) fn add(state: &ApiState) -> Markup {
    let values = Values {
        kind: SourceKind::Langflow.as_str(),
        adapter: "",
        name: "",
        url: "",
        name_hint: "made from the host where there is none",
        key_hint: "stored encrypted, never shown again",
        unknown_policy: UnknownPolicy::default(),
        limits: Limits::default(),
        tls_verify: true,
        tls_ca: "",
    };
    form(("POST", "/api/v1/sources", "Check and add"), &values, state)
}

/// The form that changes this one.
pub(super) fn change(source: &SourceRecord, state: &ApiState) -> Markup {
    let values = Values {
        kind: &source.kind,
        adapter: source.adapter.as_deref().unwrap_or_default(),
        name: source.name.as_deref().unwrap_or_default(),
        url: &source.url,
        name_hint: "",
        key_hint: "empty: it keeps the one it has",
        unknown_policy: source.unknown_policy,
        limits: source.gate.limits,
        tls_verify: source.tls_verify,
        tls_ca: source.tls_ca.as_deref().unwrap_or_default(),
    };
    form(("PATCH", &format!("/api/v1/sources/{}", source.id), "Save"), &values, state)
}

fn form((method, path, label): (&str, &str, &str), values: &Values<'_>, state: &ApiState) -> Markup {
    let kinds = SourceKind::ALL.map(|kind| (kind.as_str(), kind.as_str()));
    let adapters = state.options.adapters.iter().map(|adapter| (adapter.name.as_str(), adapter.name.as_str()));
    let is_trusted_by_default = values.tls_verify && values.tls_ca.is_empty();
    html! {
        form.card data-method=(method) data-path=(path) data-then="/dashboard/sources/{id}" {
            div.row {
                (field("source_type", "Kind", "", choice("source_type", values.kind, kinds)))
                (field("adapter", "Adapter", "for the kind http only",
                    choice("adapter", values.adapter, [("", "none")].into_iter().chain(adapters))))
                (field("name", "Name", values.name_hint,
                    html! { input name="name" value=(values.name) maxlength="255" data-as="text"; }))
            }
            (field("url", "Address", "", html! {
                input.mono type="url" name="url" value=(values.url) required placeholder="http://localhost:7860" spellcheck="false"; }))
            (field("api_key", "Its API key", values.key_hint, html! {
                input type="password" name="api_key" autocomplete="new-password"; }))
            div.row {
                (limit::fields(values.limits))
                (limit::policy(Some(values.unknown_policy), None))
            }
            details open[!is_trusted_by_default] {
                summary { "Certificate of its server" }
                (field("tls_verify", "Check it", "without that, whoever stands between can read the key and answer in its place", html! {
                    input type="checkbox" name="tls_verify" checked[values.tls_verify] data-as="boolean"; }))
                (field("tls_ca", "Check it by these alone", "PEM: of the authorities that signed it, or its own; empty: by those that this machine trusts", html! {
                    textarea.mono name="tls_ca" rows="4" spellcheck="false" placeholder="-----BEGIN CERTIFICATE-----" data-as="text" { (values.tls_ca) } }))
            }
            p.error role="alert" data-rest {}
            button.primary type="submit" { (label) }
        }
    }
}
