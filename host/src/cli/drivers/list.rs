//! `belt drivers list`: the drivers of a host, where they run, and who of them is there.

use super::super::connection::{Place, block_on};
use super::super::print::table;
use super::super::stop::Stop;
use super::super::{Format, output};
use crate::api::{DriverView, DriversView};
use crate::text;
use std::process::ExitCode;

pub(super) fn list(place: &Place, format: Format) -> Result<ExitCode, Stop> {
    let connection = place.look()?;
    let found: DriversView = block_on(connection.client.get("/drivers"))?;
    output::document(format, &found, words)?;
    Ok(ExitCode::SUCCESS)
}

fn words(view: &DriversView) -> String {
    let mut rows = vec![["DRIVER", "KINDS", "PLACEMENT", "STATUS", ""].map(str::to_owned)];
    rows.extend(view.drivers.iter().map(row));
    let mut words = table(&rows).join("\n");
    words.push('\n');
    if view.drivers.is_empty() {
        words = "no drivers; `belt up` serves those of its belt.yaml\n".to_owned();
    }
    if let Some(trouble) = &view.trouble {
        words.push_str(&format!(
            "belt.yaml cannot be used as it is now: {trouble}\n"
        ));
    }
    if let Some(last) = view.ignored.last() {
        words.push_str(&format!(
            "{} answers on the broker name no run; the last, at {}: {}\n",
            view.ignored.len(),
            last.at,
            text::shown(&last.reason)
        ));
    }
    words
}

fn row(driver: &DriverView) -> [String; 5] {
    let kinds = match driver.kinds.as_slice() {
        [] => "any".to_owned(),
        kinds => kinds.join(", "),
    };
    let status = match driver.status {
        crate::owner::DriverStatus::Ready => "ready",
        crate::owner::DriverStatus::Compiling => "compiling",
        crate::owner::DriverStatus::Refused => "refused",
    };
    let name = text::shown(&driver.name).into_owned();
    let placement = driver.placement.clone();
    [name, kinds, placement, status.to_owned(), more(driver)]
}

/// What else there is to say: who is behind a native driver, which bytes are behind a wasm one, what is wrong.
fn more(driver: &DriverView) -> String {
    let mut more = Vec::new();
    if let Some(native) = &driver.native {
        more.push(format!("{} connected", native.connected));
        more.push(format!("{} pending", native.pending));
        match &native.last_seen {
            Some(at) => more.push(format!("last seen {at}")),
            None => more.push("not seen yet".to_owned()),
        }
    }
    if let Some(digest) = &driver.digest {
        let version = driver.version.as_deref().unwrap_or("(no version)");
        more.push(format!("{} {digest}", text::shown(version)));
    }
    if let Some(trouble) = &driver.trouble {
        more.push(text::shown(trouble).into_owned());
    }
    more.join(", ")
}
