use crate::ByteSize;
use skald_model::seam::Disk;
use std::path::{Path, PathBuf};

/// What is taken when nothing can be read.
const UNKNOWN: ByteSize = ByteSize::gib(1);

/// Memory that this process may use: the lowest limit of its cgroups (version 2, else 1), and at most what the machine has.
pub fn memory_limit(disk: &dyn Disk) -> ByteSize {
    let machine = machine_memory(disk);
    let group = cgroup_limit(disk);
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => UNKNOWN,
    }
}

fn machine_memory(disk: &dyn Disk) -> Option<ByteSize> {
    let text = read(disk, Path::new("/proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024).map(ByteSize)
}

/// The lowest limit on the way from this process's group up to the root. In a container the root of the mount is the container's own group.
fn cgroup_limit(disk: &dyn Disk) -> Option<ByteSize> {
    let membership = read(disk, Path::new("/proc/self/cgroup")).unwrap_or_default();
    let path_of = |controllers: &str| {
        membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            names.split(',').any(|name| name == controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let version_2 = lowest(disk, Path::new("/sys/fs/cgroup"), &path_of("").unwrap_or_default(), "memory.max");
    let version_1 = || lowest(disk, Path::new("/sys/fs/cgroup/memory"), &path_of("memory").unwrap_or_default(), "memory.limit_in_bytes");
    version_2.or_else(version_1)
}

fn lowest(disk: &dyn Disk, root: &Path, group: &str, file: &str) -> Option<ByteSize> {
    let group = root.join(group);
    let folders = group.ancestors().take_while(|folder| folder.starts_with(root)).map(PathBuf::from);
    folders.filter_map(|folder| limit(&read(disk, &folder.join(file))?)).min()
}

/// `max` and version 1's huge number both mean that there is no limit.
fn limit(text: &str) -> Option<ByteSize> {
    text.trim().parse::<u64>().ok().filter(|bytes| (1 << 20..1 << 60).contains(bytes)).map(ByteSize)
}

/// Files below `/proc` and `/sys` say that they are empty, so they are read until they end.
fn read(disk: &dyn Disk, path: &Path) -> Option<String> {
    let file = disk.open(path).ok()?;
    let mut bytes = Vec::new();
    let mut byte = [0];
    while bytes.len() < 1 << 16 && file.read_exact_at(bytes.len() as u64, &mut byte).is_ok() {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_disk::TestDisk;

    const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal:       16384 kB\nMemFree:        1 kB\n");

    #[track_caller]
    fn check(files: &[(&str, &str)], want: ByteSize) {
        assert_eq!(memory_limit(&TestDisk::with(files)), want);
    }

    #[test]
    fn the_lowest_limit_of_group_and_machine_counts() {
        let in_group = ("/proc/self/cgroup", "0::/pods/one\n");
        check(&[], UNKNOWN);
        check(&[MEMINFO], ByteSize::mib(16));
        check(&[MEMINFO, ("/sys/fs/cgroup/memory.max", "max\n")], ByteSize::mib(16));
        check(&[MEMINFO, ("/sys/fs/cgroup/memory.max", "8388608\n")], ByteSize::mib(8));
        check(&[MEMINFO, ("/sys/fs/cgroup/memory.max", "99999999999\n")], ByteSize::mib(16));
        check(&[MEMINFO, in_group, ("/sys/fs/cgroup/pods/one/memory.max", "4194304\n")], ByteSize::mib(4));
        let outer = ("/sys/fs/cgroup/pods/memory.max", "2097152\n");
        check(&[MEMINFO, in_group, ("/sys/fs/cgroup/pods/one/memory.max", "4194304\n"), outer], ByteSize::mib(2));
    }

    #[test]
    fn version_1_is_read_where_version_2_is_not_there() {
        let group = ("/proc/self/cgroup", "5:cpu,memory:/box\n1:name=systemd:/init\n");
        check(&[MEMINFO, group, ("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "3145728\n")], ByteSize::mib(3));
        check(&[MEMINFO, group, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], ByteSize::mib(16));
    }
}
