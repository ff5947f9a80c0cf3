//! What the routes of definitions, pipelines and resources share: pages of a list, and changes that others may overtake.

use super::{Problem, Shared};
use crate::owner::OwnerError;
use crate::store::Batch;
use serde::Deserialize;
use utoipa::IntoParams;

/// Things of one page.
const PAGE: usize = 100;

/// The largest page, also of runs.
const PAGE_MAX: usize = 1_000;

/// How often a change is tried again that others have overtaken.
pub(super) const RACES_MAX: usize = 16;

/// Which part of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most so many; 100 where nothing is said, 1000 at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Only those after this name.
    pub after: Option<String>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        limited(self.limit, PAGE)
    }
}

/// As many as a client asks for, or `default`.
pub(super) fn limited(limit: Option<usize>, default: usize) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(default);
    match (1..=PAGE_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::invalid(format!("`limit` is from 1 to {PAGE_MAX}"))),
    }
}

/// Makes a batch's changes, durably. Says whether it did: not where somebody was faster.
pub(super) async fn commit(owner: &Shared, batch: Batch) -> Result<bool, Problem> {
    let committed = owner.catalog().commit(batch).await;
    match committed.map_err(OwnerError::from) {
        Ok(()) => {
            owner.try_resyncs_again();
            Ok(true)
        }
        Err(error) if error.lost_race().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// That a document has the name that its path says.
pub(super) fn same_name(path: &str, name: &str) -> Result<(), Problem> {
    match path == name {
        true => Ok(()),
        false => Err(Problem::field(
            "/name",
            format!("it is `{name}` here and `{path}` in the path; a name cannot be changed"),
        )),
    }
}
