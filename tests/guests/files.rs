//! Does with files what `with` says, `[{read|write|remove|link|rename|list: PATH, text, to}]`, and leaves what came of it.

use guests::{Failure, Outcome, Request, Value, json, left};
use std::ffi::{CString, c_char, c_int};
use std::{fs, io};

guests::guest!(reconcile);
guests::manifest!(
    r#"{"manifest":1,"name":"files","version":"1.0.0","wants":{"workspace":"rw","out":"rw"}}"#
);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let did = with["do"]
        .as_array()
        .expect("`do` is a list")
        .iter()
        .map(act);
    left(Value::Array(did.collect()))
}

fn act(what: &Value) -> Value {
    let (verb, path) = what
        .as_object()
        .and_then(|map| {
            let verbs = [
                "read",
                "write",
                "remove",
                "link",
                "hard_link",
                "rename",
                "list",
            ];
            verbs
                .into_iter()
                .find_map(|verb| Some((verb, map.get(verb)?.as_str()?)))
        })
        .expect("each thing to do has a verb");
    let to = what["to"].as_str().unwrap_or_default();
    let done = match verb {
        "read" => fs::read_to_string(path),
        "write" => {
            fs::write(path, what["text"].as_str().unwrap_or_default()).map(|()| String::new())
        }
        "remove" => fs::remove_file(path).map(|()| String::new()),
        "hard_link" => fs::hard_link(path, to).map(|()| String::new()),
        "rename" => fs::rename(path, to).map(|()| String::new()),
        "list" => fs::read_dir(path).map(|found| {
            let mut names: Vec<_> = found
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names.join(" ")
        }),
        _ => soft_link(path, to),
    };
    match done {
        Ok(text) => json!({"ok": text}),
        Err(error) => json!({"error": error.kind().to_string()}),
    }
}

/// The standard library has no stable way to a symbolic link in WASI; the C library has.
fn soft_link(path: &str, to: &str) -> io::Result<String> {
    unsafe extern "C" {
        fn symlink(path: *const c_char, to: *const c_char) -> c_int;
    }
    let (path, to) = (CString::new(path)?, CString::new(to)?);
    // Both are strings that end in a null byte and outlive the call.
    match unsafe { symlink(path.as_ptr(), to.as_ptr()) } {
        0 => Ok(String::new()),
        _ => Err(io::Error::last_os_error()),
    }
}
