//! `/api/v1/adapters`.

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;

/// What a source of type `http` may name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Adapter {
    /// Its name.
    #[schema(example = "n8n")]
    name: String,
    /// What it is for.
    description: String,
    /// The file it was read from, or `built in`.
    #[schema(example = "built in")]
    file: String,
}

/// The adapters.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdapterList {
    /// In the order of their names.
    items: Vec<Adapter>,
}

/// List the adapters that a source of type `http` may name. They are read when the service starts.
#[utoipa::path(
    get, path = "/api/v1/adapters", tag = "sources",
    responses((status = 200, description = "The adapters", body = AdapterList))
)]
pub(super) async fn list(state: Data<ApiState>) -> Json<AdapterList> {
    let shown = state.options.adapters.iter().map(|adapter| Adapter {
        name: adapter.name.clone(),
        description: adapter.description.clone(),
        file: adapter.file.clone(),
    });
    Json(AdapterList { items: shown.collect() })
}
