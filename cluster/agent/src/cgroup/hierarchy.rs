//! Where control groups are mounted, and which one a process is in.

use std::fs;
use std::path::{Path, PathBuf};

use super::Controller;

/// A tree of groups that has a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Whether it is one of version 2.
    pub second: bool,
    controller: Controller,
    /// Where it is mounted.
    mount: PathBuf,
    /// Which of its groups is seen there: `/`, or a container's own.
    root: PathBuf,
}

impl Hierarchy {
    /// The one that has this controller; where both versions are there, only one of them has it.
    pub fn of(controller: Controller) -> Result<Hierarchy, String> {
        let table = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
        let controls = |mount: &Path| {
            let all = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
            all.split_whitespace().any(|one| one == controller.as_str())
        };
        let found = find(&table, controller, &controls);
        found.ok_or_else(|| format!("no cgroup with the controller {}", controller.as_str()))
    }

    /// Its version, as records name it.
    pub fn version(&self) -> &'static str {
        if self.second { "cgroup v2" } else { "cgroup v1" }
    }

    /// The folder of the group that a process is in.
    pub fn home(&self, pid: i32) -> Result<PathBuf, String> {
        let file = format!("/proc/{pid}/cgroup");
        let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let path = self.path(&text).ok_or_else(|| {
            format!("{file}: no line for the controller {}", self.controller.as_str())
        })?;
        // One in a container sees its own group alone.
        let below = Path::new(path).strip_prefix(&self.root).map_err(|_| {
            format!("process {pid} is in the cgroup {path}, which is not seen on this host")
        })?;
        // Without the slash that joining nothing would leave at its end.
        Ok(self.mount.join(below).components().collect())
    }

    /// Where a group of our own can be for processes of the group `home`: version 1 has it within,
    /// so that what limits `home` goes on counting. In version 2 a group has either processes or
    /// groups that are controlled; there it is beside, or as far above as need be.
    pub fn place(&self, home: &Path) -> Result<PathBuf, String> {
        if !self.second {
            return Ok(home.to_owned());
        }
        let hands_down = |folder: &&Path| {
            let file = folder.join("cgroup.subtree_control");
            let all = fs::read_to_string(file).unwrap_or_default();
            all.split_whitespace().any(|one| one == self.controller.as_str())
        };
        let seen = |folder: &&Path| folder.starts_with(&self.mount);
        let beside = if home == self.mount { home } else { home.parent().unwrap_or(home) };
        let place = beside.ancestors().take_while(seen).find(hands_down);
        place.map(Path::to_owned).ok_or_else(|| {
            format!(
                "{} hands the controller {} down to no group",
                self.mount.display(),
                self.controller.as_str()
            )
        })
    }

    /// The path in a text of `/proc/PID/cgroup`.
    fn path<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match self.second {
                true => number == "0" && controllers.is_empty(),
                false => controllers.split(',').any(|one| one == self.controller.as_str()),
            };
            ours.then_some(path)
        })
    }
}

/// Finds it in a text of `/proc/PID/mountinfo`.
fn find(
    table: &str,
    controller: Controller,
    controls: &dyn Fn(&Path) -> bool,
) -> Option<Hierarchy> {
    table.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, mount) = (PathBuf::from(place.next()?), PathBuf::from(place.next()?));
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let second = name == "cgroup2";
        let ours = match name {
            "cgroup" => options.split(',').any(|one| one == controller.as_str()),
            "cgroup2" => controls(&mount),
            _ => false,
        };
        ours.then_some(Hierarchy { second, controller, mount, root })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpuacct
32 31 0:29 / /sys/fs/cgroup/cpu,x rw,relatime shared:7 master:1 - cgroup cgroup rw,x,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_first_version_has_a_tree_for_each_controller() {
        let tree = find(FIRST, Controller::Cpu, &|_| false).unwrap();
        assert_eq!((tree.version(), &*tree.mount), ("cgroup v1", "/sys/fs/cgroup/cpu,x".as_ref()));
        let text = "4:cpuacct:/a\n3:x,cpu:/b:c\n0::/d\n";
        assert_eq!(tree.path(text), Some("/b:c"));
        assert_eq!(tree.place(Path::new("/sys/fs/cgroup/cpu,x/b")).unwrap(), tree.mount.join("b"));
    }

    #[test]
    fn the_second_version_has_one_for_those_that_the_first_has_not() {
        assert!(!find(FIRST, Controller::Cpu, &|_| true).unwrap().second);
        let (_, unified) = FIRST.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(find(unified, Controller::Cpu, &|_| false), None);
        let tree = find(unified, Controller::Cpu, &|_| true).unwrap();
        assert_eq!((tree.version(), tree.path("3:cpu:/b\n0::/d\n")), ("cgroup v2", Some("/d")));
    }

    #[test]
    fn a_group_of_version_2_is_beside_or_above() {
        let base = tempfile::tempdir().unwrap();
        let home = base.path().join("a.slice/b.slice/c.service");
        fs::create_dir_all(&home).unwrap();
        let second = true;
        let mount = base.path().to_owned();
        let root = PathBuf::from("/");
        let tree = Hierarchy { second, controller: Controller::Cpu, mount, root };
        assert!(tree.place(&home).unwrap_err().contains("hands the controller cpu down"));
        for (folder, place) in [("", ""), ("a.slice", "a.slice")] {
            let file = base.path().join(folder).join("cgroup.subtree_control");
            fs::write(file, "cpuset cpu io\n").unwrap();
            assert_eq!(tree.place(&home).unwrap(), base.path().join(place));
        }
        // What a group hands down is for the groups in it.
        fs::write(home.join("cgroup.subtree_control"), "cpu\n").unwrap();
        assert_eq!(tree.place(&home).unwrap(), base.path().join("a.slice"));
        assert_eq!(tree.place(base.path()).unwrap(), base.path());
    }
}
