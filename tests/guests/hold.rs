//! Holds `with.count` files open, or listings of a folder, all at once, and leaves that it could.

use guests::wasi::filesystem::{preopens, types};
use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"hold","version":"1.0.0","wants":{"workspace":"ro"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let count = with["count"].as_u64().unwrap_or(0);
    let (folder, _) = preopens::get_directories().pop().expect("it is granted");
    match with["what"].as_str() {
        Some("files") => {
            let (links, how) = (types::PathFlags::empty(), types::OpenFlags::empty());
            let open = |_| {
                let opened = folder.open_at(links, "file", how, types::DescriptorFlags::READ);
                opened.expect("it can be opened")
            };
            let held: Vec<_> = (0..count).map(open).collect();
            left(json!(held.len()))
        }
        Some("listings") => {
            let list = |_| folder.read_directory().expect("it can be listed");
            let held: Vec<types::DirectoryEntryStream> = (0..count).map(list).collect();
            left(json!(held.len()))
        }
        other => panic!("{other:?} cannot be held"),
    }
}
