//! The operator's settings for this driver.

use serde::de::DeserializeOwned;

use crate::{Failure, host, reconcile};

/// The operator's settings for this driver: `config` of its entry in `belt.yaml`, an object; `{}` where
/// there is none.
///
/// # Errors
/// Permanent, naming the field, if it is not of the shape `T`.
pub fn config<T: DeserializeOwned>() -> Result<T, Failure> {
    reconcile::decode("config", &host::config())
}
