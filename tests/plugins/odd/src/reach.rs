//! How far the process reaches that the adapter runs in.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    process::Command,
};

use rustix::{
    net::{AddressFamily, Protocol, SendFlags, SocketType, ipproto},
    process::{Pid, Signal},
};
use serde_json::{Value, json};

/// Connects by sending; not among rustix's flags.
const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// Tries what `data` names: `pid` of a process that is not its own, `port` and `name` of sockets that are not for it.
pub(crate) fn out(data: &Value) -> Value {
    let pid = i32::try_from(data["pid"].as_i64().unwrap_or(0)).unwrap_or(0);
    let port = u16::try_from(data["port"].as_u64().unwrap_or(0)).unwrap_or(0);
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let name = data["name"].as_str().unwrap_or_default();
    let of_protocol = |protocol: Protocol| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(protocol))?;
        rustix::net::connect(&socket, &address)
    };
    let fast_open = || {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::sendto(&socket, b"GET / HTTP/1.1\r\n\r\n", FAST_OPEN, &address)
    };
    json!({
        // Ignored by whoever has asked for no other meaning.
        "signals": Pid::from_raw(pid).is_some_and(|pid| rustix::process::kill_process(pid, Signal::URG).is_ok()),
        "reads memory": reads_memory(pid).is_ok(),
        "connects": TcpStream::connect(address).is_ok(),
        "connects by MPTCP": of_protocol(ipproto::MPTCP).is_ok(),
        "connects by sending": fast_open().is_ok(),
        "connects to a name": SocketAddr::from_abstract_name(name)
            .is_ok_and(|name| UnixStream::connect_addr(&name).is_ok()),
        "leaves its group": rustix::process::setsid().is_ok() || rustix::process::setpgid(None, None).is_ok(),
    })
}

fn reads_memory(pid: i32) -> std::io::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let begin = maps.split('-').next().and_then(|begin| u64::from_str_radix(begin, 16).ok()).unwrap_or(0);
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem"))?;
    memory.seek(SeekFrom::Start(begin))?;
    memory.read_exact(&mut [0])
}

/// Starts a process that does not end by itself.
pub(crate) fn spawn() -> Option<u32> {
    Some(Command::new("sleep").arg("1000").spawn().ok()?.id())
}
