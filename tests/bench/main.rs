//! The bench: what Beltline costs, against what the machine itself costs.
//!
//! `make bench` prints a table and writes `target/bench.json`; `make bench-quick` does less of it in less than a
//! minute. All of a comparison is measured in one process, in turns, and the median of the rounds counts: so that what
//! else the machine does meets both sides. docs/numbers.md says what each row means.

mod attempts;
mod bare;
mod engine;
mod loading;
mod many;
mod material;
mod native;
mod rounds;
mod runs;
mod server;
mod start;
mod table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use rounds::Effort;
use table::Table;

type Section = (&'static str, fn(Effort, &mut Table));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, load, ..] = arguments.as_slice()
        && mode == "load"
    {
        return server::run_load(load);
    }
    if let [mode, url, names, ..] = arguments.as_slice()
        && mode == "drivers"
    {
        return native::run_drivers(url, names);
    }
    let effort = if arguments.iter().any(|argument| argument == "--quick") {
        Effort::Quick
    } else {
        Effort::Whole
    };
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let sections: [Section; 10] = [
        ("resident", loading::measure_resident),
        ("engine", engine::measure),
        ("attempts", attempts::measure),
        ("guests", attempts::measure_guests),
        ("runs", runs::measure),
        ("many", many::measure),
        ("loading", loading::measure),
        ("start", start::measure),
        ("server", server::measure),
        ("native", native::measure),
    ];
    let mut table = Table::default();
    for (name, measure) in sections {
        if only.is_none_or(|only| only == name) {
            eprintln!("measuring: {name}");
            measure(effort, &mut table);
        }
    }
    print!("{table}");
    println!("\n{}", table.summary());
    // A part is no record of the whole.
    if only.is_none() {
        let path = material::root().join("target/bench.json");
        std::fs::write(&path, table.json()).expect("target is there");
        println!("written to {}", path.display());
    }
}
