//! Resampling in vectors of 512 bits: a row of the new picture is summed up from old rows, and then
//! from its own pixels, while it lies in the nearest cache.
//!
//! Sums are of whole numbers, so they are those of the library to the bit, whatever their order.

use std::arch::x86_64::__m512i;

use pulp::cast;
use pulp::x86::V4;

use super::weights::Weights;

/// New rows that are made at a time, so that what says how pixels are picked is read less often.
const ROWS: usize = 4;
/// Bytes of a row that are picked from at a time.
const WINDOW: usize = 32;
/// New bytes that are made at a time.
const LANES: usize = 16;
/// Bytes of old rows that are summed up at a time.
const WIDE: usize = 64;

/// How pictures of one size become pictures of another.
pub(super) struct Plan {
    simd: V4,
    /// Bytes of an old row, and which of them are read.
    stride: usize,
    read: std::ops::Range<usize>,
    /// Bytes of a new row.
    width: usize,
    down: Down,
    across: Across,
}

/// From old rows to a new one.
struct Down {
    /// For each new row the first old one, how many there are, and where their weights begin.
    rows: Vec<(usize, usize, usize)>,
    /// Two weights in each number; the last of an odd count is followed by zero.
    pairs: Vec<i32>,
    shift: u32,
}

/// From bytes of a row to those of a new one.
struct Across {
    /// Steps for each [`LANES`] new bytes: where they end.
    ends: Vec<usize>,
    steps: Vec<Step>,
    shift: u32,
}

/// Two old bytes for each of [`LANES`] new ones, from one window.
#[repr(align(64))]
struct Step {
    /// Which byte of the window.
    picked: [u16; 2 * LANES],
    /// How much it weighs.
    weights: [i16; 2 * LANES],
    /// Where the window begins.
    window: usize,
}

/// What a thread keeps between pictures.
#[derive(Default)]
pub(super) struct Rows {
    between: [Vec<u8>; ROWS],
    new: [Vec<u8>; ROWS],
}

impl Plan {
    /// A plan for pictures `columns` wide with `channels` bytes a pixel; none where the processor
    /// can't, or a row is too short to be worth it.
    pub fn new(down: &Weights, across: &Weights, columns: usize, channels: usize) -> Option<Plan> {
        let simd = V4::try_new()?;
        let read = across.read();
        let read = read.start.checked_mul(channels)?..read.end.checked_mul(channels)?;
        if read.len() < WIDE {
            return None;
        }
        Some(Plan {
            simd,
            stride: columns * channels,
            width: across.each().count() * channels,
            down: Down::new(down),
            across: Across::new(across, channels, read.start),
            read,
        })
    }

    /// The new picture. `pixels` are whole rows, at least as many as the plan reads.
    pub fn resample(&self, pixels: &[u8], rows: &mut Rows) -> Vec<u8> {
        for row in &mut rows.between {
            row.clear();
            row.resize(self.read.len() + WINDOW, 0);
        }
        for row in &mut rows.new {
            row.clear();
            row.resize(self.width.next_multiple_of(LANES), 0);
        }
        self.simd.vectorize(
            #[inline(always)]
            || {
                let mut out = Vec::with_capacity(self.width * self.down.rows.len());
                for several in self.down.rows.chunks(ROWS) {
                    for (row, between) in several.iter().zip(&mut rows.between) {
                        self.down(pixels, *row, between);
                    }
                    self.across(&rows.between, &mut rows.new);
                    for new in rows.new.iter().take(several.len()) {
                        out.extend_from_slice(&new[..self.width]);
                    }
                }
                out
            },
        )
    }

    /// One new row from `count` old ones.
    #[inline(always)]
    fn down(&self, pixels: &[u8], (first, count, weights): (usize, usize, usize), new: &mut [u8]) {
        let simd = self.simd;
        let bytes = self.read.len();
        let half = simd.avx512f._mm512_set1_epi32(1 << self.down.shift >> 1);
        let pairs = &self.down.pairs[weights..weights + count.div_ceil(2)];
        let begin = first * self.stride + self.read.start;
        for chunk in (0..bytes).step_by(WIDE) {
            // The last chunk overlaps the one before.
            let chunk = chunk.min(bytes - WIDE);
            let mut sums = [half; 4];
            for (at, pair) in pairs.iter().enumerate() {
                let upper = begin + 2 * at * self.stride + chunk;
                // Under the last of an odd count lies nothing, and its weight is zero.
                let lower = if 2 * at + 1 < count {
                    upper + self.stride
                } else {
                    upper
                };
                let (upper, lower) = (wide(pixels, upper), wide(pixels, lower));
                let weights = simd.avx512f._mm512_set1_epi32(*pair);
                let zero = simd.avx512f._mm512_setzero_si512();
                let halves = [
                    simd.avx512bw._mm512_unpacklo_epi8(upper, lower),
                    simd.avx512bw._mm512_unpackhi_epi8(upper, lower),
                ];
                let quarters = [
                    simd.avx512bw._mm512_unpacklo_epi8(halves[0], zero),
                    simd.avx512bw._mm512_unpackhi_epi8(halves[0], zero),
                    simd.avx512bw._mm512_unpacklo_epi8(halves[1], zero),
                    simd.avx512bw._mm512_unpackhi_epi8(halves[1], zero),
                ];
                for (sum, quarter) in sums.iter_mut().zip(quarters) {
                    let products = simd.avx512bw._mm512_madd_epi16(quarter, weights);
                    *sum = simd.avx512f._mm512_add_epi32(*sum, products);
                }
            }
            let sums = sums.map(|sum| self.shifted(sum, self.down.shift));
            let halves = [
                simd.avx512bw._mm512_packs_epi32(sums[0], sums[1]),
                simd.avx512bw._mm512_packs_epi32(sums[2], sums[3]),
            ];
            // Packing undoes what unpacking did to the order, and keeps to 0 and 255.
            let packed: [u8; WIDE] = cast(simd.avx512bw._mm512_packus_epi16(halves[0], halves[1]));
            if let Some(place) = new.get_mut(chunk..chunk + WIDE) {
                place.copy_from_slice(&packed);
            }
        }
    }

    /// New rows from those that [`Plan::down`] made.
    #[inline(always)]
    fn across(&self, between: &[Vec<u8>; ROWS], new: &mut [Vec<u8>; ROWS]) {
        let simd = self.simd;
        let half = simd.avx512f._mm512_set1_epi32(1 << self.across.shift >> 1);
        let zero = simd.avx512f._mm512_setzero_si512();
        let between = between.each_ref().map(|row| row.as_slice());
        let mut begin = 0;
        for (group, end) in self.across.ends.iter().enumerate() {
            let mut sums = [half; ROWS];
            for step in &self.across.steps[begin..*end] {
                let (picked, weights): (__m512i, __m512i) = (cast(step.picked), cast(step.weights));
                for (sum, row) in sums.iter_mut().zip(between) {
                    let window: [u8; WINDOW] = bytes(row, step.window);
                    let values = simd.avx512bw._mm512_cvtepu8_epi16(cast(window));
                    let values = simd.avx512bw._mm512_permutexvar_epi16(picked, values);
                    let products = simd.avx512bw._mm512_madd_epi16(values, weights);
                    *sum = simd.avx512f._mm512_add_epi32(*sum, products);
                }
            }
            begin = *end;
            for (sum, row) in sums.into_iter().zip(new.iter_mut()) {
                let sum = self.shifted(sum, self.across.shift);
                let positive = simd.avx512f._mm512_max_epi32(sum, zero);
                let packed: [u8; LANES] = cast(simd.avx512f._mm512_cvtusepi32_epi8(positive));
                if let Some(place) = row.get_mut(group * LANES..(group + 1) * LANES) {
                    place.copy_from_slice(&packed);
                }
            }
        }
    }

    #[inline(always)]
    fn shifted(&self, sum: __m512i, shift: u32) -> __m512i {
        let count = self.simd.sse2._mm_cvtsi32_si128(shift as i32);
        self.simd.avx512f._mm512_sra_epi32(sum, count)
    }
}

impl Down {
    fn new(weights: &Weights) -> Down {
        let mut pairs = Vec::new();
        let rows = weights.each().map(|(first, weights)| {
            let begin = pairs.len();
            pairs.extend(weights.chunks(2).map(|pair| {
                let second = pair.get(1).copied().unwrap_or(0);
                i32::from(second) << 16 | i32::from(pair[0] as u16)
            }));
            (first, weights.len(), begin)
        });
        Down {
            rows: rows.collect(),
            pairs,
            shift: weights.shift,
        }
    }
}

impl Across {
    /// Rows begin with byte `begin` of those that the weights are about.
    fn new(weights: &Weights, channels: usize, begin: usize) -> Across {
        // For each new byte, the first old one and the weights of those that follow, a pixel apart.
        let bytes: Vec<(usize, &[i16])> = weights
            .each()
            .flat_map(|(first, weights)| {
                // What has no weights at all may begin anywhere.
                let first = (first * channels).max(begin) - begin;
                (0..channels).map(move |channel| (first + channel, weights))
            })
            .collect();
        let (mut ends, mut steps) = (Vec::new(), Vec::new());
        for group in bytes.chunks(LANES) {
            let mut used = [0; LANES];
            let next = |used: &[usize; LANES], lane: usize| {
                let (first, weights) = group[lane];
                let weight = weights.get(used[lane])?;
                Some((first + used[lane] * channels, *weight))
            };
            while let Some(window) = (0..group.len())
                .filter_map(|lane| next(&used, lane))
                .map(|(at, _)| at)
                .min()
            {
                let mut step = Step {
                    picked: [0; 2 * LANES],
                    weights: [0; 2 * LANES],
                    window,
                };
                for place in 0..2 * group.len() {
                    let lane = place / 2;
                    if let Some((at, weight)) = next(&used, lane)
                        && at < window + WINDOW
                    {
                        step.picked[place] = (at - window) as u16;
                        step.weights[place] = weight;
                        used[lane] += 1;
                    }
                }
                steps.push(step);
            }
            ends.push(steps.len());
        }
        Across {
            ends,
            steps,
            shift: weights.shift,
        }
    }
}

#[inline(always)]
fn wide(pixels: &[u8], at: usize) -> __m512i {
    cast(bytes::<WIDE>(pixels, at))
}

/// The bytes there; zeros where there are none, which no plan reads.
#[inline(always)]
fn bytes<const COUNT: usize>(of: &[u8], at: usize) -> [u8; COUNT] {
    let found = of.get(at..at + COUNT).and_then(|bytes| bytes.try_into().ok());
    found.unwrap_or([0; COUNT])
}
