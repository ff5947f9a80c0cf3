//! Its first attempt writes for ever, through calls that do not wait; the next one looks whether anybody still does.

use guests::{Failure, Outcome, Request, json, left};
use std::time::Duration;
use std::{fs, thread};

guests::guest!(reconcile);
guests::manifest!(
    r#"{"manifest":1,"name":"outlive","version":"1.0.0","wants":{"workspace":"rw"}}"#
);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    if request.info.attempt == 1 {
        write_for_ever();
    }
    let begin = size();
    // Long enough for a megabyte that somebody else has begun to write.
    thread::sleep(Duration::from_millis(300));
    left(json!({"begin": begin, "end": size()}))
}

fn size() -> u64 {
    fs::metadata("/workspace/file").expect("it was made").len()
}

fn write_for_ever() -> ! {
    use guests::wasi::filesystem::{preopens, types};
    let (folder, _) = preopens::get_directories().pop().expect("it is granted");
    let flags = types::DescriptorFlags::READ | types::DescriptorFlags::WRITE;
    let how = types::OpenFlags::CREATE;
    let file = folder.open_at(types::PathFlags::empty(), "file", how, flags);
    let file = file.expect("it can be made");
    let stream = file.append_via_stream().expect("it can be written");
    let bytes = vec![7; 1 << 20];
    eprintln!("writing");
    let mut written = 0;
    loop {
        let room = stream.check_write().expect("it can be written") as usize;
        let part = &bytes[..room.min(bytes.len())];
        if !part.is_empty() {
            stream.write(part).expect("it can be written");
            written += part.len() as u64;
            assert_eq!(size(), written, "what was written is there at once");
        }
    }
}
