//! Package URLs, as the purl specification writes them.

use std::fmt::Write;

/// `pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS`, each part encoded. `path` is namespace and name, joined with `/`.
pub(crate) fn purl(
    kind: &str,
    path: &str,
    version: Option<&str>,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut purl = format!("pkg:{kind}/");
    let segments: Vec<String> = path.split('/').map(encode).collect();
    purl.push_str(&segments.join("/"));
    if let Some(version) = version {
        purl.push('@');
        purl.push_str(&encode(version));
    }
    for (at, (key, value)) in qualifiers.iter().enumerate() {
        purl.push(if at == 0 { '?' } else { '&' });
        purl.push_str(key);
        purl.push('=');
        purl.push_str(&encode(value));
    }
    purl
}

/// Percent-encodes all but letters, digits, `.`, `-`, `_`, `~` and `:`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::purl;

    #[test]
    fn parts_are_encoded_as_the_specification_says() {
        assert_eq!(
            purl("npm", "@babel/core", Some("7.1.0"), &[]),
            "pkg:npm/%40babel/core@7.1.0"
        );
        assert_eq!(
            purl("cargo", "wasi", Some("0.11.0+wasi"), &[]),
            "pkg:cargo/wasi@0.11.0%2Bwasi"
        );
        let git = [("vcs_url", "git+https://x.org/a.git@1f")];
        assert_eq!(
            purl("cargo", "a", None, &git),
            "pkg:cargo/a?vcs_url=git%2Bhttps:%2F%2Fx.org%2Fa.git%401f"
        );
    }
}
