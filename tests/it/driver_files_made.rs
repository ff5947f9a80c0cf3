//! Driver files that no compiler would make: cut, with sections put on, written by hand.

use crate::belt::guest;
use std::fs;

/// The bytes of a guest.
pub fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(guest(name)).unwrap()
}

/// A component in WebAssembly's text format.
pub fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The bytes of a component with a custom section put behind them: at the component's own level.
pub fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = leb128(name.len());
    content.extend(name.as_bytes());
    content.extend(data);
    bytes.push(0);
    bytes.extend(leb128(content.len()));
    bytes.extend(content);
    bytes
}

/// The same with a manifest.
pub fn with_manifest(bytes: Vec<u8>, text: &str) -> Vec<u8> {
    with_section(bytes, "beltline:manifest", text.as_bytes())
}

/// A driver around a core module's insides, which define `reconcile`, taking the address of a request and giving
/// that of a result, and `memory`. Requests are put behind the first 1,024 bytes.
pub fn driver(module: &str) -> Vec<u8> {
    driver_beside(module, "")
}

/// The same with more of a component before its end.
pub fn driver_beside(module: &str, more: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
            (import "beltline:driver/types@0.1.0" (instance $types
                {TYPES}
            ))
            (alias export $types "request" (type $request))
            (alias export $types "outcome" (type $outcome))
            (alias export $types "failure" (type $failure))
            (core module $module
                {module}
                (global $free (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $free (i32.and
                        (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.get $free)
                    (global.set $free (i32.add (global.get $free) (local.get 3)))))
            (core instance $core (instantiate $module))
            (func $reconcile (param "req" $request) (result (result $outcome (error $failure)))
                (canon lift (core func $core "reconcile")
                    (memory $core "memory") (realloc (func $core "realloc"))))
            (instance $reconciler (export "reconcile" (func $reconcile)))
            (export "beltline:driver/reconciler@0.1.0" (instance $reconciler))
            {more})"#
    ))
}

/// A driver that calls `log.write` with these lengths of a message and of a list of fields, whatever its memory has.
pub fn logs_so_much(message: i32, fields: i32) -> Vec<u8> {
    component(&format!(
        r#"(component
            (import "beltline:driver/types@0.1.0" (instance $types
                {TYPES}
            ))
            (import "beltline:driver/log@0.1.0" (instance $log
                (type $level' (enum "trace" "debug" "info" "warn" "error"))
                (export "level" (type $level (eq $level')))
                (export "write" (func
                    (param "level" $level) (param "message" string)
                    (param "fields" (list (tuple string string)))))))
            (alias export $types "request" (type $request))
            (alias export $types "outcome" (type $outcome))
            (alias export $types "failure" (type $failure))
            (core module $memory
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $memory (instantiate $memory))
            (core func $write (canon lower (func $log "write") (memory $memory "memory")))
            (core module $module
                (import "host" "write" (func $write (param i32 i32 i32 i32 i32)))
                (func (export "reconcile") (param i32) (result i32)
                    (call $write (i32.const 2) (i32.const 0) (i32.const {message})
                        (i32.const 0) (i32.const {fields}))
                    (i32.const 512)))
            (core instance $core (instantiate $module
                (with "host" (instance (export "write" (func $write))))))
            (func $reconcile (param "req" $request) (result (result $outcome (error $failure)))
                (canon lift (core func $core "reconcile")
                    (memory $memory "memory") (realloc (func $memory "realloc"))))
            (instance $reconciler (export "reconcile" (func $reconcile)))
            (export "beltline:driver/reconciler@0.1.0" (instance $reconciler)))"#
    ))
}

const TYPES: &str = r#"
    (type $json' string)
    (export "json" (type $json (eq $json')))
    (type $run-info' (record
        (field "run-id" string) (field "pipeline" (option string)) (field "step-id" string)
        (field "attempt" u32) (field "key" string) (field "deadline-ms" (option u64))
        (field "traceparent" (option string)) (field "dry-run" bool)))
    (export "run-info" (type $run-info (eq $run-info')))
    (type $request' (record
        (field "event" string) (field "kind" string) (field "resource" $json) (field "with" $json)
        (field "info" $run-info) (field "extra" (list (tuple string $json)))))
    (export "request" (type $request (eq $request')))
    (type $outcome' (record
        (field "message" string) (field "output" (option $json))
        (field "requeue-after-ms" (option u64)) (field "extra" (list (tuple string $json)))))
    (export "outcome" (type $outcome (eq $outcome')))
    (type $retry-hint' (record (field "reason" string) (field "after-ms" (option u64))))
    (export "retry-hint" (type $retry-hint (eq $retry-hint')))
    (type $failure' (variant
        (case "permanent" string) (case "retryable" $retry-hint) (case "cancelled")
        (case "other" string)))
    (export "failure" (type $failure (eq $failure')))
"#;

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
