//! PID 1 of a host: makes its root, its interfaces, starts sshd, and reaps for ever.
//!
//! sshd does not reap what is orphaned, and a zombie keeps a dead node "alive".

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root, sethostname};

use super::spec::{FOLDER, control, data};
use super::supervisor::run_ip;
use super::sys;

/// The hidden first argument of this process.
pub(super) const MODE: &str = "__lab-host";

/// Never returns but by failing.
pub(super) fn main(arguments: &[String]) -> ! {
    if let Err(error) = run(arguments) {
        say::errln!("lab host {}: {error}", arguments.get(1).map_or("?", String::as_str));
    }
    std::process::exit(1) // tidy: allow(exit) the host's own main
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [fd, number, hosts] = arguments else {
        return Err("bad arguments".to_owned());
    };
    let parse = |text: &String| text.parse::<usize>().map_err(|error| error.to_string());
    let (fd, number, hosts) = (parse(fd)?, parse(number)?, parse(hosts)?);
    // SAFETY: the supervisor left this descriptor open for us, and nothing else here owns it.
    let mut control_socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    sys::drop_clock_capability();
    let root = make_root(number)?;
    let mut byte = [0; 1];
    control_socket.read_exact(&mut byte).map_err(|error| format!("supervisor: {error}"))?;
    // The keys are there now, and the interfaces.
    place_files(&root, number, hosts)?;
    enter_root(&root)?;
    sethostname(format!("n{number}")).map_err(|error| format!("hostname: {error}"))?;
    run_ip(&format!(
        "link set lo up\naddr add {}/24 dev ctl0\nlink set ctl0 up\n\
         addr add {}/24 dev data0\nlink set data0 up\n",
        control(number),
        data(number)
    ))?;
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f", "/run/lab/sshd_config"]);
    let log = fs::File::create("/var/log/sshd.log").map_err(|error| error.to_string())?;
    sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env_clear();
    sshd.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    sshd.spawn().map_err(|error| format!("sshd: {error}"))?;
    wait_for_sshd()?;
    control_socket.write_all(b"u").map_err(|error| format!("supervisor: {error}"))?;
    drop(control_socket);
    loop {
        // SAFETY: waitpid(2) may be given no place for the status.
        let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        if pid < 0 {
            // No child left: sshd is gone and cannot be reached again; the host stays for others.
            nix::unistd::pause();
        }
    }
}

/// sshd listens a few ms after it was started; told apart by the kernel's list of listeners.
fn wait_for_sshd() -> Result<(), String> {
    for _ in 0..4_000 {
        let tcp = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        // Port 22 in state LISTEN.
        if tcp.lines().any(|line| line.contains(":0016 ") && line.contains(" 0A ")) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let log = fs::read_to_string("/var/log/sshd.log").unwrap_or_default();
    Err(format!("sshd does not listen: {}", log.trim()))
}

fn mount_at(
    source: &str,
    target: &Path,
    kind: &str,
    flags: MsFlags,
    options: &str,
) -> Result<(), String> {
    mount(Some(source), target, Some(kind), flags, Some(options))
        .map_err(|error| format!("mount {}: {error}", target.display()))
}

/// The overlay on `/` and everything that a host must not share with this machine.
fn make_root(number: usize) -> Result<String, String> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| format!("mount / private: {error}"))?;
    let base = format!("{FOLDER}/n{number}");
    for part in ["upper", "work", "root"] {
        let path = format!("{base}/{part}");
        fs::create_dir_all(&path).map_err(|error| format!("{path}: {error}"))?;
    }
    let root = format!("{base}/root");
    let options = format!("lowerdir=/,upperdir={base}/upper,workdir={base}/work");
    mount_at("overlay", Path::new(&root), "overlay", MsFlags::empty(), &options)?;
    let at = |path: &str| Path::new(&root).join(path.trim_start_matches('/'));
    let tmpfs = |path: &str, mode: &str| {
        let target = at(path);
        fs::create_dir_all(&target).map_err(|error| format!("{path}: {error}"))?;
        mount_at("tmpfs", &target, "tmpfs", MsFlags::empty(), &format!("mode={mode}"))
    };
    tmpfs("/tmp", "1777")?;
    tmpfs("/run", "0755")?;
    tmpfs("/root", "0700")?;
    tmpfs("/home", "0755")?;
    tmpfs("/var/lib/postgresql", "0755")?;
    tmpfs("/var/log", "0755")?;
    mount_at("proc", &at("/proc"), "proc", MsFlags::empty(), "")?;
    mount_at("sysfs", &at("/sys"), "sysfs", MsFlags::MS_RDONLY, "")?;
    show_cgroups(&at("/sys/fs/cgroup"))?;
    make_dev(&root)?;
    Ok(root)
}

/// This machine's control groups, which no host has of its own: its agent makes groups there, for
/// limits.
fn show_cgroups(target: &Path) -> Result<(), String> {
    let (none, source): (Option<&str>, _) = (None, "/sys/fs/cgroup");
    if !target.is_dir() || !Path::new(source).is_dir() {
        return Ok(());
    }
    mount(Some(source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|error| format!("bind {source}: {error}"))
}

fn make_dev(root: &str) -> Result<(), String> {
    let dev = Path::new(root).join("dev");
    mount_at("tmpfs", &dev, "tmpfs", MsFlags::empty(), "mode=0755")?;
    let none: Option<&str> = None;
    for name in ["null", "zero", "full", "random", "urandom", "tty", "fuse"] {
        let source = Path::new("/dev").join(name);
        if !source.exists() {
            continue;
        }
        let target = dev.join(name);
        fs::write(&target, "").map_err(|error| format!("{}: {error}", target.display()))?;
        mount(Some(&source), &target, none, MsFlags::MS_BIND, none)
            .map_err(|error| format!("bind {}: {error}", target.display()))?;
    }
    for name in ["pts", "shm"] {
        let path = dev.join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let pts = "newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount_at("devpts", &dev.join("pts"), "devpts", MsFlags::empty(), pts)?;
    mount_at("tmpfs", &dev.join("shm"), "tmpfs", MsFlags::empty(), "mode=1777")?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).map_err(|error| format!("/dev/{name}: {error}"))?;
    }
    Ok(())
}

/// sshd's files, names, and a plain shell for root: bash would read a start-up file at every
/// command, which costs more than the command.
fn place_files(root: &str, number: usize, hosts: usize) -> Result<(), String> {
    let write = |path: &str, text: &[u8], mode: u32| {
        let target = Path::new(root).join(path.trim_start_matches('/'));
        let fail = |error: std::io::Error| format!("{path}: {error}");
        fs::write(&target, text).map_err(fail)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).map_err(fail)
    };
    let read = |path: &str| fs::read(path).map_err(|error| format!("{path}: {error}"));
    let folder = |path: &str| {
        let target = Path::new(root).join(path.trim_start_matches('/'));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&target)
            .map_err(|error| format!("{path}: {error}"))
    };
    folder("/run/lab")?;
    folder("/run/sshd")?;
    folder("/run/lock")?;
    write("/run/lab/host", &read(&format!("{FOLDER}/keys/host"))?, 0o600)?;
    write("/run/lab/authorized_keys", &read(&format!("{FOLDER}/keys/user.pub"))?, 0o600)?;
    write("/run/lab/sshd_config", SSHD_CONFIG.as_bytes(), 0o644)?;
    write("/etc/hostname", format!("n{number}\n").as_bytes(), 0o644)?;
    let mut names = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for host in 1..=hosts {
        names.push_str(&format!("{} n{host}\n{} n{host}-ctl\n", data(host), control(host)));
    }
    write("/etc/hosts", names.as_bytes(), 0o644)?;
    let users = String::from_utf8_lossy(&read("/etc/passwd")?).into_owned();
    let users: String = users
        .lines()
        .map(|line| match line.strip_prefix("root:") {
            Some(_) => "root:x:0:0:root:/root:/bin/sh\n".to_owned(),
            None => format!("{line}\n"),
        })
        .collect();
    write("/etc/passwd", users.as_bytes(), 0o644)?;
    let shadow = String::from_utf8_lossy(&read("/etc/shadow")?).into_owned();
    let shadow: String = shadow
        .lines()
        .map(|line| match line.starts_with("root:") {
            // A locked root is refused even with a key; this one has no password and no lock.
            true => "root:*:19000:0:99999:7:::\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    write("/etc/shadow", shadow.as_bytes(), 0o640)
}

const SSHD_CONFIG: &str = "\
Port 22
HostKey /run/lab/host
AuthorizedKeysFile /run/lab/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
StrictModes no
PidFile none
PrintMotd no
PrintLastLog no
MaxStartups 200:30:400
MaxSessions 200
Subsystem sftp internal-sftp
";

fn enter_root(root: &str) -> Result<(), String> {
    let text = |error: nix::Error| format!("pivot_root: {error}");
    chdir(root).map_err(text)?;
    pivot_root(".", ".").map_err(text)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(text)?;
    chdir("/").map_err(text)
}
