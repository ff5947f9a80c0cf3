//! `wasi:filesystem` as a guest gets it: wasmtime-wasi's, metered, limited, and never off the attempt's own thread.
//!
//! Owns what is counted of file calls and how much a guest may write. Where paths lead and what is permitted stays
//! wasmtime-wasi's to decide. Two things are made stricter here: streams do their work inside the call, so that no
//! file call outlives its attempt, and only files and folders can be opened, for a pipe or a device could block that
//! thread for ever.

mod streams;

use super::limits::{LISTED_BYTES, OPEN_FILES, OverLimit};
use super::meter::Meter;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use streams::{Reader, Writer, now};
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, Host, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

/// What an attempt may write, all files together, and the meter that it is held against.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) meter: Arc<Meter>,
    pub(super) written_bytes: u64,
    pub(super) files: u64,
}

impl Allowance {
    /// Whether so many bytes more may be written.
    fn may_write(&self, bytes: u64) -> Result<(), OverLimit> {
        if self.meter.bytes_written.get().saturating_add(bytes) > self.written_bytes {
            return Err(OverLimit::bytes("written", self.written_bytes));
        }
        Ok(())
    }

    fn wrote(&self, bytes: u64) {
        self.meter.bytes_written.add(bytes);
    }

    /// Whether one more file, folder or link may be made.
    fn may_make(&self) -> FsResult<()> {
        if self.meter.files_made.get() >= self.files {
            let value = format!("{} made", self.files);
            let limit = "files";
            return Err(FsError::trap(OverLimit { limit, value }));
        }
        Ok(())
    }

    fn made(&self) {
        self.meter.files_made.add(1);
    }
}

/// What a guest has open, by handle.
#[derive(Debug, Default)]
pub(super) struct Held {
    files: HashSet<u32>,
    /// With the size of the folder.
    listings: HashMap<u32, u64>,
}

impl Held {
    fn may_open(&self) -> FsResult<()> {
        if self.files.len() >= OPEN_FILES {
            let over = OverLimit::at_once("open files", OPEN_FILES);
            return Err(FsError::trap(over));
        }
        Ok(())
    }

    fn may_list(&self, folder_bytes: u64) -> FsResult<()> {
        let listed: u64 = self.listings.values().sum();
        if !self.listings.is_empty() && listed.saturating_add(folder_bytes) > LISTED_BYTES {
            let over = OverLimit::bytes("listed folders", LISTED_BYTES);
            return Err(FsError::trap(over));
        }
        Ok(())
    }
}

/// The file calls of one guest.
pub(super) struct Files<'a> {
    pub(super) held: &'a mut Held,
    pub(super) inner: WasiFilesystemCtxView<'a>,
    pub(super) allowance: &'a Arc<Allowance>,
}

/// Names [`Files`] to the linker.
pub(super) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

impl Host for Files<'_> {
    /// Every error that a guest gets passes here, so this is where denials are counted.
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        let code = self.inner.convert_error_code(error)?;
        if matches!(
            code,
            ErrorCode::NotPermitted | ErrorCode::Access | ErrorCode::ReadOnly
        ) {
            self.allowance.meter.deny();
        }
        Ok(code)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.inner.filesystem_error_code(error)
    }
}

type Fd = Resource<Descriptor>;

/// Calls that are passed on as they are.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        async fn $name(&mut self, $($argument: $type),*) -> $result {
            HostDescriptor::$name(&mut self.inner, $($argument),*).await
        }
    )*};
}

impl HostDescriptor for Files<'_> {
    pass_on! {
        advise(fd: Fd, offset: Filesize, len: Filesize, advice: Advice) -> FsResult<()>;
        sync_data(fd: Fd) -> FsResult<()>;
        get_flags(fd: Fd) -> FsResult<DescriptorFlags>;
        get_type(fd: Fd) -> FsResult<DescriptorType>;
        set_times(fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()>;
        sync(fd: Fd) -> FsResult<()>;
        stat(fd: Fd) -> FsResult<DescriptorStat>;
        stat_at(fd: Fd, flags: PathFlags, path: String) -> FsResult<DescriptorStat>;
        set_times_at(
            fd: Fd, flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp
        ) -> FsResult<()>;
        readlink_at(fd: Fd, path: String) -> FsResult<String>;
        remove_directory_at(fd: Fd, path: String) -> FsResult<()>;
        rename_at(fd: Fd, from: String, folder: Fd, to: String) -> FsResult<()>;
        unlink_file_at(fd: Fd, path: String) -> FsResult<()>;
        is_same_object(one: Fd, other: Fd) -> wasmtime::Result<bool>;
        metadata_hash(fd: Fd) -> FsResult<MetadataHashValue>;
        metadata_hash_at(fd: Fd, flags: PathFlags, path: String) -> FsResult<MetadataHashValue>;
    }

    async fn read(&mut self, fd: Fd, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let read = HostDescriptor::read(&mut self.inner, fd, len, offset).await?;
        self.allowance.meter.bytes_read.add(read.0.len() as u64);
        Ok(read)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<DirectoryEntryStream>> {
        let bytes = self.size(&fd).await?;
        self.held.may_list(bytes)?;
        let listing = HostDescriptor::read_directory(&mut self.inner, fd).await?;
        self.held.listings.insert(listing.rep(), bytes);
        Ok(listing)
    }

    /// What a file grows by counts, be it by a gap: who copies it out later meets every byte.
    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let gap = offset.saturating_sub(self.size(&fd).await?);
        self.may_write(gap.saturating_add(bytes.len() as u64))?;
        let written = HostDescriptor::write(&mut self.inner, fd, bytes, offset).await?;
        self.allowance.wrote(gap + written);
        Ok(written)
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        let more = size.saturating_sub(self.size(&fd).await?);
        self.may_write(more)?;
        HostDescriptor::set_size(&mut self.inner, fd, size).await?;
        self.allowance.wrote(more);
        Ok(())
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let folder = Resource::new_borrow(fd.rep());
        let found =
            HostDescriptor::stat_at(&mut self.inner, folder, path_flags, path.clone()).await;
        let makes = match found {
            Ok(stat) if is_blocking(stat.type_) => return Err(ErrorCode::NotPermitted.into()),
            Ok(_) => false,
            // Why it was not found the call itself says, in its own words.
            Err(_) => open_flags.contains(OpenFlags::CREATE),
        };
        self.held.may_open()?;
        if makes {
            self.allowance.may_make()?;
        }
        let opened =
            HostDescriptor::open_at(&mut self.inner, fd, path_flags, path, open_flags, flags)
                .await?;
        if makes {
            self.allowance.made();
        }
        self.held.files.insert(opened.rep());
        Ok(opened)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.allowance.may_make()?;
        HostDescriptor::create_directory_at(&mut self.inner, fd, path).await?;
        self.allowance.made();
        Ok(())
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        from: String,
        folder: Fd,
        to: String,
    ) -> FsResult<()> {
        self.allowance.may_make()?;
        HostDescriptor::link_at(&mut self.inner, fd, flags, from, folder, to).await?;
        self.allowance.made();
        Ok(())
    }

    async fn symlink_at(&mut self, fd: Fd, from: String, to: String) -> FsResult<()> {
        self.allowance.may_make()?;
        HostDescriptor::symlink_at(&mut self.inner, fd, from, to).await?;
        self.allowance.made();
        Ok(())
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let stream = HostDescriptor::read_via_stream(&mut self.inner, fd, offset)?;
        let inner = self.inner.table.delete(stream)?;
        let reader = Reader::new(inner, Arc::clone(self.allowance));
        Ok(self.inner.table.push(Box::new(reader) as DynInputStream)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let gap = offset.saturating_sub(now(self.size(&fd))?);
        self.may_write(gap)?;
        let stream = HostDescriptor::write_via_stream(&mut self.inner, fd, offset)?;
        self.allowance.wrote(gap);
        self.metered(stream)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let stream = HostDescriptor::append_via_stream(&mut self.inner, fd)?;
        self.metered(stream)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.held.files.remove(&fd.rep());
        HostDescriptor::drop(&mut self.inner, fd)
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.inner.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.held.listings.remove(&stream.rep());
        HostDirectoryEntryStream::drop(&mut self.inner, stream)
    }
}

impl Files<'_> {
    /// Of an open file or folder, in bytes.
    async fn size(&mut self, fd: &Fd) -> FsResult<u64> {
        let same = Resource::new_borrow(fd.rep());
        Ok(HostDescriptor::stat(&mut self.inner, same).await?.size)
    }

    fn may_write(&self, bytes: u64) -> FsResult<()> {
        self.allowance.may_write(bytes).map_err(FsError::trap)
    }

    fn metered(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.inner.table.delete(stream)?;
        let writer = Writer::new(inner, Arc::clone(self.allowance));
        Ok(self.inner.table.push(Box::new(writer) as DynOutputStream)?)
    }
}

/// Whether opening such a thing, or reading it, can wait for somebody else.
fn is_blocking(kind: DescriptorType) -> bool {
    match kind {
        DescriptorType::Directory | DescriptorType::RegularFile | DescriptorType::SymbolicLink => {
            false
        }
        DescriptorType::Unknown
        | DescriptorType::BlockDevice
        | DescriptorType::CharacterDevice
        | DescriptorType::Fifo
        | DescriptorType::Socket => true,
    }
}
