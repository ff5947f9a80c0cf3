//! Writes into the workspace through WASI's own calls: `with` has a `way`, how many `times`, and `bytes` for each time.
//! Tells how often it was refused.

use guests::wasi::filesystem::preopens::get_directories;
use guests::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};
use guests::wasi::io::streams::{InputStream, OutputStream, StreamError};
use guests::{Failure, Outcome, Request, Value, json, left};

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"fill","version":"1.0.0","wants":{"workspace":"rw"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let (way, times) = (text(&with, "way"), number(&with, "times"));
    let bytes = vec![7; number(&with, "bytes") as usize];
    let (folder, _) = get_directories().pop().expect("it is granted");
    let file = open(&folder, "file", OpenFlags::CREATE).expect("it can be made");
    eprintln!("filling");
    let mut stream = stream(&file, way);
    let mut refused = 0;
    for time in 0..times {
        let done = match &mut stream {
            Some(Stream::Out(out)) if way.ends_with("_blocking") => {
                out.blocking_write_and_flush(&bytes).map_err(whatever)
            }
            Some(Stream::Out(out)) => write_now(out, &bytes).map_err(whatever),
            Some(Stream::In(from)) if way.ends_with("_blocking") => from
                .blocking_read(bytes.len() as u64)
                .map(drop)
                .map_err(whatever),
            Some(Stream::In(from)) => from.read(bytes.len() as u64).map(drop).map_err(whatever),
            None => act(&folder, &file, way, time, &bytes),
        };
        refused += u32::from(done.is_err());
    }
    left(json!({"refused": refused}))
}

enum Stream {
    Out(OutputStream),
    In(InputStream),
}

fn stream(file: &Descriptor, way: &str) -> Option<Stream> {
    let stream = match way.trim_end_matches("_blocking") {
        "stream" => Stream::Out(file.write_via_stream(0).expect("it can be written")),
        "append" => Stream::Out(file.append_via_stream().expect("it can be written")),
        "read_stream" => Stream::In(file.read_via_stream(0).expect("it can be read")),
        _ => return None,
    };
    Some(stream)
}

fn write_now(out: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    let room = out.check_write()? as usize;
    assert!(room >= bytes.len(), "there is room for {room}");
    out.write(bytes)?;
    out.subscribe().block();
    Ok(())
}

fn act(
    folder: &Descriptor,
    file: &Descriptor,
    way: &str,
    time: u64,
    bytes: &[u8],
) -> Result<(), ErrorCode> {
    let (name, size) = (format!("made{time}"), bytes.len() as u64);
    match way {
        "write" => file.write(bytes, time * size).map(drop),
        "write_far" => file.write(b"x", size).map(drop),
        "stream_far" => file.write_via_stream(size).map(|stream| {
            stream
                .blocking_write_and_flush(b"x")
                .expect("it can be written");
        }),
        "read" => file.read(size, time * size).map(drop),
        "set_size" => file.set_size((time + 1) * size),
        "file" => open(folder, &name, OpenFlags::CREATE | OpenFlags::EXCLUSIVE).map(drop),
        "same_file" => open(folder, "made", OpenFlags::CREATE).map(drop),
        "folder" => folder.create_directory_at(&name),
        "same_folder" => folder.create_directory_at("made"),
        "symlink" => folder.symlink_at("file", &name),
        "hard_link" => folder.link_at(PathFlags::empty(), "file", folder, &name),
        "write_read_only" => {
            let flags = DescriptorFlags::READ;
            let file = folder.open_at(PathFlags::empty(), "file", OpenFlags::empty(), flags)?;
            file.write(bytes, 0).map(drop)
        }
        _ => panic!("there is no way `{way}`"),
    }
}

fn open(folder: &Descriptor, name: &str, how: OpenFlags) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    folder.open_at(PathFlags::empty(), name, how, flags)
}

fn whatever(_: StreamError) -> ErrorCode {
    ErrorCode::Io
}

fn text<'w>(with: &'w Value, name: &str) -> &'w str {
    with[name].as_str().expect("it is a text")
}

fn number(with: &Value, name: &str) -> u64 {
    with[name].as_u64().expect("it is a number")
}
