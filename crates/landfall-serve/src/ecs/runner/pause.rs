//! The container that holds a network while the containers in it come and go, as ECS has one: it opens the agent's
//! port in there, hands it over to this server ([`super::handover`]), and then waits.
//!
//! Its image is made here, of one program that is a list of system calls: there is nothing to pull it from that
//! every machine reaches.

use super::engine::Engine;

/// The image's name. The part before the slash keeps engines from looking for it elsewhere.
pub(super) const IMAGE: &str = "localhost/landfall-pause:2";
/// Where the program is in it.
pub(super) const PROGRAM: &str = "/pause";
/// Where the directory is in the container with the socket that the port is handed over by.
pub(super) const HANDOVER: &str = "/landfall";
/// That socket's name.
pub(super) const SOCKET: &str = "agent";

/// Where the program is in memory: a multiple of every size of pages.
const ADDRESS: u64 = 0x40_0000;
/// Length of the ELF header and of its one program header, in bytes.
const HEADERS_BYTES: u16 = 64 + 56;
/// Length of a tar's blocks, in bytes.
const BLOCK_BYTES: usize = 512;

/// Makes the image where the engine doesn't have it.
///
/// # Errors
/// The engine's words; a processor that there is no program for.
pub(super) async fn ensure(engine: &Engine) -> Result<(), String> {
    if engine.has_image(IMAGE).await {
        return Ok(());
    }
    let architecture = engine.architecture();
    let socket = format!("{HANDOVER}/{SOCKET}");
    let program = program(architecture, &socket, super::agent::PORT).ok_or_else(|| {
        format!("there is no pause container for {architecture}: amd64 and arm64 are known")
    })?;
    engine.import(IMAGE, &tar(PROGRAM.trim_start_matches('/'), &program)).await
}

/// A processor that there is a program for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Processor {
    Amd64,
    Arm64,
}

/// A system call: its numbers on amd64 and arm64, and what it is given.
struct Call(u32, u32, Vec<Given>);

/// What a system call is given.
#[derive(Clone, Copy)]
enum Given {
    Number(u32),
    /// The address of a piece of the program's data.
    Data(Piece),
    /// What the call before it has answered. Only the first argument can be that.
    Answer,
}

/// The pieces of the program's data, in their order.
#[derive(Clone, Copy)]
enum Piece {
    /// `sockaddr_un`: the socket of the handover.
    Socket,
    /// `sockaddr_in`: the port.
    Port,
    /// `iovec`: the one byte that the port is sent with.
    Byte,
    /// `cmsghdr`: the port itself.
    Control,
    /// `msghdr`: both.
    Message,
}

/// The file descriptor of the connection to the server. What the system calls by the next free number is known by this.
const CONNECTION: u32 = 10;
/// The file descriptor of the port.
const LISTENER: u32 = 11;
/// Length of the longest path that `sockaddr_un` takes, with the zero at its end, in bytes.
const PATH_BYTES_MAX: usize = 108;
/// Length of each piece of the data, in bytes.
const PIECES_BYTES: [usize; 5] = [2 + PATH_BYTES_MAX + 2, 16, 16, 24, 56];
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

impl Piece {
    fn offset(self) -> usize {
        PIECES_BYTES.iter().take(self as usize).sum()
    }
}

/// What the program does. A call that fails, since nobody listens, is of no consequence: then the others fail as well,
/// and it waits all the same. The last call is made again and again.
fn calls(socket_bytes: u32) -> Vec<Call> {
    use Given::{Answer, Data, Number};
    let number = Number;
    vec![
        // socket(AF_UNIX, SOCK_STREAM, 0), as CONNECTION
        Call(41, 198, vec![number(1), number(1), number(0)]),
        Call(292, 24, vec![Answer, number(CONNECTION), number(0)]),
        // connect
        Call(42, 203, vec![number(CONNECTION), Data(Piece::Socket), number(socket_bytes)]),
        // socket(AF_INET, SOCK_STREAM, 0), as LISTENER
        Call(41, 198, vec![number(2), number(1), number(0)]),
        Call(292, 24, vec![Answer, number(LISTENER), number(0)]),
        // bind, listen
        Call(49, 200, vec![number(LISTENER), Data(Piece::Port), number(16)]),
        Call(50, 201, vec![number(LISTENER), number(BACKLOG)]),
        // sendmsg
        Call(46, 211, vec![number(CONNECTION), Data(Piece::Message), number(0)]),
        // close: the port is the server's alone now. The first free numbers are 3 and 4.
        Call(3, 57, vec![number(LISTENER)]),
        Call(3, 57, vec![number(CONNECTION)]),
        Call(3, 57, vec![number(3)]),
        Call(3, 57, vec![number(4)]),
        // pause(), and ppoll(NULL, 0, NULL, NULL)
        Call(34, 73, vec![number(0), number(0), number(0), number(0)]),
    ]
}

/// An ELF program that opens a port on loopback (0 for any), hands it over by the Unix socket of this path, and waits
/// until it is killed. None for another processor, or too long a path.
fn program(architecture: &str, socket: &str, port: u16) -> Option<Vec<u8>> {
    let processor = match architecture {
        "amd64" => Processor::Amd64,
        "arm64" => Processor::Arm64,
        _ => return None,
    };
    if socket.len() >= PATH_BYTES_MAX {
        return None;
    }
    let socket_bytes = u32::try_from(2 + socket.len() + 1).ok()?;
    let calls = calls(socket_bytes);
    let first = ADDRESS + u64::from(HEADERS_BYTES);
    // Every call is as long as it is, wherever the data is.
    let length = code(processor, &calls, 0)?.len().next_multiple_of(8);
    let at = first + u64::try_from(length).ok()?;
    let mut program = code(processor, &calls, u32::try_from(at).ok()?)?;
    program.resize(length, 0);
    program.extend_from_slice(&data(socket, port, at));
    Some(elf(processor, &program))
}

/// The calls as instructions; `data` is the address of the data.
fn code(processor: Processor, calls: &[Call], data: u32) -> Option<Vec<u8>> {
    let mut code = Vec::new();
    let mut last = 0;
    for Call(amd64, arm64, given) in calls {
        last = code.len();
        for (place, given) in given.iter().enumerate() {
            let value = match given {
                Given::Number(value) => *value,
                Given::Data(piece) => data + u32::try_from(piece.offset()).ok()?,
                // Where the answer is, arm64 expects the first argument; amd64 has it elsewhere: mov rdi, rax.
                Given::Answer if processor == Processor::Amd64 => {
                    code.extend_from_slice(&[0x48, 0x89, 0xc7]);
                    continue;
                }
                Given::Answer => continue,
            };
            match processor {
                Processor::Amd64 => {
                    // mov edi, esi, edx, r10d; the upper half becomes zero.
                    let register: &[u8] = [&[0xbf][..], &[0xbe], &[0xba], &[0x41, 0xba]].get(place)?;
                    code.extend_from_slice(register);
                    code.extend_from_slice(&value.to_le_bytes());
                }
                Processor::Arm64 => set_arm64(&mut code, u32::try_from(place).ok()?, value),
            }
        }
        match processor {
            Processor::Amd64 => {
                // mov eax, NUMBER; syscall
                code.push(0xb8);
                code.extend_from_slice(&amd64.to_le_bytes());
                code.extend_from_slice(&[0x0f, 0x05]);
            }
            Processor::Arm64 => {
                set_arm64(&mut code, 8, *arm64);
                // svc #0
                code.extend_from_slice(&0xd400_0001_u32.to_le_bytes());
            }
        }
    }
    let back = code.len() - last;
    match processor {
        // jmp, counted from behind its own two bytes
        Processor::Amd64 => {
            let back = i8::try_from(back + 2).ok()?;
            code.extend_from_slice(&[0xeb, back.wrapping_neg().cast_unsigned()]);
        }
        // b, counted in instructions from itself
        Processor::Arm64 => {
            let back = u32::try_from(back / 4).ok()?;
            code.extend_from_slice(&(0x1400_0000 | (back.wrapping_neg() & 0x03ff_ffff)).to_le_bytes());
        }
    }
    Some(code)
}

/// `movz` and `movk`: a register is given a number of 32 bits.
fn set_arm64(code: &mut Vec<u8>, register: u32, value: u32) {
    code.extend_from_slice(&(0xd280_0000 | (value & 0xffff) << 5 | register).to_le_bytes());
    code.extend_from_slice(&(0xf2a0_0000 | (value >> 16) << 5 | register).to_le_bytes());
}

/// The program's data, at this address: Linux's structures as both processors have them.
fn data(socket: &str, port: u16, at: u64) -> Vec<u8> {
    let address = |piece: Piece| at + piece.offset() as u64;
    let mut pieces: [Vec<u8>; 5] = Default::default();
    let [unix, inet, byte, control, message] = &mut pieces;
    unix.extend_from_slice(&1_u16.to_le_bytes());
    unix.extend_from_slice(socket.as_bytes());
    inet.extend_from_slice(&2_u16.to_le_bytes());
    inet.extend_from_slice(&port.to_be_bytes());
    inet.extend_from_slice(&[127, 0, 0, 1]);
    // Any byte will do: the first one of the data.
    byte.extend_from_slice(&at.to_le_bytes());
    byte.extend_from_slice(&1_u64.to_le_bytes());
    // Its length, SOL_SOCKET, SCM_RIGHTS
    control.extend_from_slice(&20_u64.to_le_bytes());
    for value in [1, 1, LISTENER] {
        control.extend_from_slice(&value.to_le_bytes());
    }
    // No name, one vector, the control message, no flags.
    for value in [0, 0, address(Piece::Byte), 1, address(Piece::Control), 24, 0] {
        message.extend_from_slice(&value.to_le_bytes());
    }
    let sized = pieces.iter_mut().zip(PIECES_BYTES).flat_map(|(piece, length)| {
        piece.resize(length, 0);
        std::mem::take(piece)
    });
    sized.collect()
}

/// An executable file of one segment, which begins with its code.
fn elf(processor: Processor, program: &[u8]) -> Vec<u8> {
    let machine = match processor {
        Processor::Amd64 => 0x3e_u16,
        Processor::Arm64 => 0xb7,
    };
    let length = u64::from(HEADERS_BYTES) + program.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |value: u16, file: &mut Vec<u8>| file.extend_from_slice(&value.to_le_bytes());
    let word = |value: u32, file: &mut Vec<u8>| file.extend_from_slice(&value.to_le_bytes());
    let long = |value: u64, file: &mut Vec<u8>| file.extend_from_slice(&value.to_le_bytes());
    // An executable, for this machine, version 1.
    half(2, &mut file);
    half(machine, &mut file);
    word(1, &mut file);
    // Where it begins, where its program headers are, no sections.
    long(ADDRESS + u64::from(HEADERS_BYTES), &mut file);
    long(64, &mut file);
    long(0, &mut file);
    word(0, &mut file);
    for size in [64, 56, 1, 0, 0, 0] {
        half(size, &mut file);
    }
    // The one segment: all of the file, readable and executable.
    word(1, &mut file);
    word(5, &mut file);
    for value in [0, ADDRESS, ADDRESS, length, length, 0x1_0000] {
        long(value, &mut file);
    }
    file.extend_from_slice(program);
    file
}

/// A tar with one executable file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK_BYTES];
    let mut put = |at: usize, text: &[u8]| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text);
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    // The sum is taken with blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(place) = header.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let mut file = header.to_vec();
    file.extend_from_slice(content);
    file.resize(file.len().next_multiple_of(BLOCK_BYTES) + 2 * BLOCK_BYTES, 0);
    file
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_begins_where_its_headers_end() {
        for (architecture, machine) in [("amd64", 0x3e), ("arm64", 0xb7)] {
            let file = program(architecture, "/landfall/agent", 51_679).unwrap();
            assert_eq!((file[18], &file[24..32]), (machine, &0x40_0078_u64.to_le_bytes()[..]));
        }
        assert_eq!(program("riscv64", "/landfall/agent", 51_679), None);
        assert_eq!(program("amd64", &"a".repeat(PATH_BYTES_MAX), 51_679), None);
    }

    /// The program of this machine's own processor, run as it is: it hands over a port that answers, and goes on.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_program_hands_over_a_port_and_waits() {
        use std::os::unix::fs::PermissionsExt as _;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return,
        };
        let handover = super::super::handover::Handover::prepare().unwrap();
        let socket = handover.dir().join(SOCKET);
        let file = program(architecture, socket.to_str().unwrap(), 0).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pause");
        std::fs::write(&path, file).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = tokio::process::Command::new(&path).kill_on_drop(true).spawn().unwrap();
        let listener = handover.take(super::super::handover::WAIT_MAX).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback() && address.port() > 0, "{address}");
        let (guest, host) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        assert_eq!(guest.unwrap().local_addr().unwrap(), host.unwrap().1);
        assert_eq!(child.try_wait().unwrap(), None, "it waits");
    }

    #[test]
    fn a_tar_is_whole_blocks_with_a_sum() {
        let file = tar("pause", b"it");
        assert_eq!(file.len(), 4 * BLOCK_BYTES);
        assert_eq!(&file[512..514], b"it");
        let sum = u32::from_str_radix(std::str::from_utf8(&file[148..154]).unwrap(), 8).unwrap();
        let bare: u32 = file[..512].iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = file[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(sum, bare - own + 8 * 32);
    }
}
