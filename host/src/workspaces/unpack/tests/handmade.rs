//! Archives made header by header.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tar::Header;

/// A tar that says whatever it is told to.
#[derive(Clone, Default)]
pub(super) struct Handmade(pub(super) Vec<u8>);

impl Handmade {
    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.member(b'0', path.as_bytes(), b"", 0o644, content.as_bytes())
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.member(b'5', path.as_bytes(), b"", 0o755, b"")
    }

    pub(super) fn link(self, path: &str, target: &str) -> Self {
        self.member(b'2', path.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub(super) fn pax(self, content: &[u8]) -> Self {
        self.member(b'x', b"pax", b"", 0o644, content)
    }

    pub(super) fn member(
        self,
        kind: u8,
        path: &[u8],
        target: &[u8],
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        put(&mut header.as_old_mut().name, path);
        put(&mut header.as_old_mut().linkname, target);
        header.as_old_mut().linkflag = [kind];
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        self.header(header, content)
    }

    /// A header as it is but for its checksum, and a content.
    pub(super) fn header(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        let whole = self.0.len().next_multiple_of(512);
        self.0.resize(whole, 0);
        self
    }

    /// Ends it as it should end.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        gzip(&self.0)
    }
}

pub(super) fn put(field: &mut [u8], text: &[u8]) {
    field[..text.len()].copy_from_slice(text);
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
