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
        "hard_link" => hard_link(path, to),
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

/// The standard library's way loses the first path on its way through the C library. Both folders must be granted.
fn hard_link(path: &str, to: &str) -> io::Result<String> {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn path_link(
            fd: u32,
            flags: u32,
            path: *const u8,
            path_bytes: usize,
            to_fd: u32,
            to: *const u8,
            to_bytes: usize,
        ) -> u16;
    }
    let ((fd, path), (to_fd, to)) = (in_folder(path), in_folder(to));
    // Both are given with their lengths and outlive the call.
    let errno = unsafe {
        path_link(
            fd,
            0,
            path.as_ptr(),
            path.len(),
            to_fd,
            to.as_ptr(),
            to.len(),
        )
    };
    match errno {
        0 => Ok(String::new()),
        errno => Err(io::Error::from_raw_os_error(errno.into())),
    }
}

/// A path as WASI has it: the descriptor of a granted folder, and from there.
fn in_folder(path: &str) -> (u32, &str) {
    let (workspace, out) = (3, 4);
    match (path.strip_prefix("/workspace/"), path.strip_prefix("/out/")) {
        (Some(path), _) => (workspace, path),
        (_, Some(path)) => (out, path),
        (None, None) => panic!("`{path}` is in no granted folder"),
    }
}
