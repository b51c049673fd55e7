//! The container that holds a task's network while its own containers come and go, as ECS has one: it waits,
//! and does nothing else.
//!
//! Its image is made here, of one program of a few instructions: there is nothing to pull it from that every
//! machine reaches.

use super::engine::Engine;

/// The image's name. The part before the slash keeps engines from looking for it elsewhere.
pub(super) const IMAGE: &str = "localhost/landfall-pause:1";
/// Where the program is in it.
pub(super) const PROGRAM: &str = "/pause";

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
    let program = program(architecture).ok_or_else(|| {
        format!("there is no pause container for {architecture}: amd64 and arm64 are known")
    })?;
    engine.import(IMAGE, &tar(PROGRAM.trim_start_matches('/'), &program)).await
}

/// An ELF program that waits until it is killed.
fn program(architecture: &str) -> Option<Vec<u8>> {
    /// `for (;;) pause();`
    const AMD64: &[u8] = &[0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    /// `for (;;) ppoll(NULL, 0, NULL, NULL);`
    const ARM64: [u32; 7] =
        [0xd280_0928, 0xd280_0000, 0xd280_0001, 0xd280_0002, 0xd280_0003, 0xd400_0001, 0x17ff_fffa];
    let (machine, code) = match architecture {
        "amd64" => (0x3e_u16, AMD64.to_vec()),
        "arm64" => (0xb7, ARM64.iter().flat_map(|word| word.to_le_bytes()).collect()),
        _ => return None,
    };
    let length = u64::from(HEADERS_BYTES) + code.len() as u64;
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
    file.extend_from_slice(&code);
    Some(file)
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
        for (architecture, machine, length) in [("amd64", 0x3e, 9), ("arm64", 0xb7, 28)] {
            let file = program(architecture).unwrap();
            assert_eq!(file.len(), usize::from(HEADERS_BYTES) + length);
            assert_eq!((file[18], &file[24..32]), (machine, &0x40_0078_u64.to_le_bytes()[..]));
        }
        assert_eq!(program("riscv64"), None);
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
