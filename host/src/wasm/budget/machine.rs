//! The memory that this process may use: the machine's, or its control group's where that is less.
//!
//! Reads what the kernel tells, once. Never fails: what is not told does not count.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What is left where the machine does not say what memory it has.
const UNKNOWN_BYTES: u64 = 1 << 30;

/// In bytes.
pub(super) fn memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    let machine = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit));
    match machine {
        0 => UNKNOWN_BYTES,
        machine => machine.min(group_bytes(Path::new("/")).unwrap_or(u64::MAX)),
    }
}

/// The least that the process's control group, or one above it, allows; `None` where none sets a limit. `root` is the
/// folder that has `proc` and `sys` in it.
fn group_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers) = (parts.next()?, parts.next()?);
        let group = within(parts.next()?);
        let (mount, limit) = match (number, controllers) {
            ("0", "") => ("sys/fs/cgroup", "memory.max"),
            (_, controllers) if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let mount = root.join(mount);
        // What is above the mount belongs to no group. A group that is not there, as in a container that is shown
        // only its own, sets nothing.
        let groups = group.ancestors().map(|group| mount.join(group).join(limit));
        groups.filter_map(|limit| limit_bytes(&limit)).min()
    });
    limits.min()
}

/// A group's path below the mount. One outside of what this process is shown has no path there but the mount itself.
fn within(group: &str) -> PathBuf {
    let parts = Path::new(group).components();
    let parts = parts.skip_while(|part| *part == Component::RootDir);
    let parts: Option<PathBuf> = parts
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect();
    parts.unwrap_or_default()
}

/// The limit in a file; `None` where it is `max`.
fn limit_bytes(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is read where the files have these texts.
    #[track_caller]
    fn check(files: &[(&str, &str)], bytes: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(group_bytes(root.path()), bytes);
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert!(memory_bytes() > 64 << 20);
    }

    #[test]
    fn nothing_is_read_where_nothing_is_told() {
        check(&[], None);
        check(&[("proc/self/cgroup", "0::/a\n")], None);
        check(&[("proc/self/cgroup", "damage\n\n1:\n")], None);
        let max = ("sys/fs/cgroup/a/memory.max", "max\n");
        check(&[("proc/self/cgroup", "0::/a\n"), max], None);
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_counts() {
        let own = ("proc/self/cgroup", "0::/system.slice/belt.service\n");
        let service = "sys/fs/cgroup/system.slice/belt.service/memory.max";
        let slice = "sys/fs/cgroup/system.slice/memory.max";
        let top = "sys/fs/cgroup/memory.max";
        check(&[own, (service, "3000\n")], Some(3000));
        check(&[own, (service, "3000\n"), (slice, "2000\n")], Some(2000));
        check(&[own, (service, "1000\n"), (slice, "2000\n")], Some(1000));
        check(
            &[own, (service, "max\n"), (slice, "max\n"), (top, "5\n")],
            Some(5),
        );
        let other = "sys/fs/cgroup/system.slice/other.service/memory.max";
        check(&[own, (service, "3000\n"), (other, "1\n")], Some(3000));
    }

    #[test]
    fn the_first_version_of_groups_counts_too() {
        let own = (
            "proc/self/cgroup",
            "5:cpu,cpuacct:/c\n4:memory:/docker/x:y\n1:name=systemd:/s\n0::/u\n",
        );
        let group = "sys/fs/cgroup/memory/docker/x:y/memory.limit_in_bytes";
        let mount = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        check(
            &[own, (group, "2000\n"), (mount, "9223372036854771712\n")],
            Some(2000),
        );
        // In a container that sees its own group as the mount.
        check(&[own, (mount, "700\n")], Some(700));
        check(
            &[own, ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "1\n")],
            None,
        );
    }

    #[test]
    fn a_group_out_of_sight_is_not_looked_for_outside_of_the_mount() {
        let own = ("proc/self/cgroup", "0::/../../etc\n");
        let top = ("sys/fs/cgroup/memory.max", "800\n");
        check(&[own, ("sys/etc/memory.max", "1\n"), top], Some(800));
    }
}
