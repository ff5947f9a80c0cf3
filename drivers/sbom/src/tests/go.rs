use super::*;

const GO_MOD: &str = "module example.org/app // the app

go 1.22

require example.org/one v1.0.0

require (
\texample.org/two v2.0.0+incompatible
\texample.org/three v3.0.0 // indirect
\texample.org/local v0.0.0
)

replace (
\texample.org/three v3.0.0 => example.org/fork v3.1.0
\texample.org/local => ../local
)
";

#[test]
fn modules_come_with_sums_and_what_is_direct() {
    let sum = "example.org/one v1.0.0 h1:abc=\nexample.org/one v1.0.0/go.mod h1:no=\n";
    let bill = bill(&[("svc/go.mod", GO_MOD), ("svc/go.sum", sum)]);
    let one = component(&bill, "pkg:golang/example.org/one@v1.0.0");
    assert_eq!(
        one["properties"][1],
        json!({"name": "beltline:go:h1", "value": "h1:abc="})
    );
    assert_eq!(
        needs(&bill, "svc/go.mod#example.org/app"),
        json!([
            "pkg:golang/example.org/one@v1.0.0",
            "pkg:golang/example.org/two@v2.0.0%2Bincompatible",
            "svc/go.mod#../local",
        ])
    );
    component(&bill, "pkg:golang/example.org/fork@v3.1.0");
}

#[test]
fn malformed_ones_are_refused_by_place() {
    refused(&[("go.mod", "go 1.22\n")], "go.mod: no `module` line");
    refused(
        &[("go.mod", "module a\n\nrequire b\n")],
        "go.mod:3:1: not what `require` takes",
    );
    refused(
        &[("go.mod", "module a\nreplace (\n b c\n)\n")],
        "go.mod:3:1: not a replacement",
    );
}
