//! Small pictures and an archive, made here byte by byte: what a library of another version
//! would encode may differ, and with it every sample id.

/// A bitmap of 24 bits: red grows to the right, green upwards.
pub fn bitmap(width: u32, height: u32) -> Vec<u8> {
    let stride = (width * 3).div_ceil(4) * 4;
    let mut bytes = b"BM".to_vec();
    for number in [
        54 + stride * height,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    for y in 0..height {
        let mut line: Vec<u8> = (0..width)
            .flat_map(|x| [90, (y * 255 / height) as u8, (x * 255 / width) as u8])
            .collect();
        line.resize(stride as usize, 0);
        bytes.extend(line);
    }
    bytes
}

/// A JPEG of 24 × 16 with Exif orientation 6, so 16 × 24 upright.
pub fn oriented_jpeg() -> Vec<u8> {
    from_hex(
        "\
    ffd8ffe000104a46494600010100000100010000ffe100224578696600004d4d002a0000000800010112000300000001 \
    0006000000000000ffdb0043000d090a0b0a080d0b0a0b0e0e0d0f13201513121213271c1e17202e2931302e292d2c33 \
    3a4a3e333646372c2d405741464c4e525352323e5a615a50604a51524fffdb0043010e0e0e131113261515264f352d35 \
    4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f \
    4f4fffc00011080010001803012200021101031101ffc40017000003010000000000000000000000000000040506ffc4 \
    001810000301010000000000000000000000000003056261ffc400160101010100000000000000000000000000040306 \
    ffc4001b11000105010100000000000000000000000003040521310222ffda000c03010002110311003f00c9267f07d3 \
    3f85c4cfc8fa67e4b28f423290cb21267e40d6267e40174f6f4d3a321e74ffd9",
    )
}

/// A GIF of 2 × 2: red, green, blue and one transparent pixel.
pub fn gif() -> Vec<u8> {
    from_hex(
        "47494638396102000200810000ff000000ff000000ff00000021f90401000003002c000000000200\
         020000080700010410302020003b",
    )
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A tar archive of these files.
pub fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        // The checksum is counted with blanks in its place.
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
