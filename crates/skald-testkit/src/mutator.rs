use crate::SeededRandom;
use skald_model::seam::Random;

/// Longest input that is made.
const LEN_MAX: usize = 64 << 10;
/// Inputs have one, two or four changes.
const CHANGES_LOG2: u64 = 3;

/// Makes inputs for a decoder of inputs that it takes: some bytes flipped, cut, moved, repeated, joined with another input, or a number in them changed
/// to one at which readers go wrong.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    tokens: &'static [&'static str],
}

impl Mutator {
    /// Starts from `seeds`, and knows the words of a text format, if it is one.
    pub fn new(seeds: Vec<Vec<u8>>, tokens: &'static [&'static str]) -> Self {
        Mutator { seeds, tokens }
    }

    /// The input that `random` decides.
    pub fn input(&self, random: &SeededRandom) -> Vec<u8> {
        let mut bytes = match random.below(16) {
            0 => self.soup(random),
            _ => self.seed(random).to_vec(),
        };
        for _ in 0..1 << random.below(CHANGES_LOG2) {
            self.change(&mut bytes, random);
            bytes.truncate(LEN_MAX);
        }
        bytes
    }

    fn seed(&self, random: &SeededRandom) -> &[u8] {
        self.seeds.get(random.below(self.seeds.len() as u64) as usize).map_or(&[], Vec::as_slice)
    }

    /// Words without sense, or bytes.
    fn soup(&self, random: &SeededRandom) -> Vec<u8> {
        (0..random.below(40)).flat_map(|_| self.piece(random)).collect()
    }

    fn piece(&self, random: &SeededRandom) -> Vec<u8> {
        match self.tokens.get(random.below(self.tokens.len() as u64) as usize) {
            Some(token) if random.below(4) > 0 => token.as_bytes().to_vec(),
            _ => (0..=random.below(12)).map(|_| odd_byte(random)).collect(),
        }
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &SeededRandom) {
        let at = place(bytes.len() + 1, random);
        let end = (at + 1 + random.below(1 << random.below(9)) as usize).min(bytes.len());
        match random.below(10) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = odd_byte(random)),
            2 => drop(bytes.drain(at.min(end)..end)),
            3 if random.below(4) == 0 => bytes.truncate(at),
            3 | 4 => drop(bytes.splice(at..at, self.piece(random))),
            5 => {
                let copy = bytes[at.min(end)..end].to_vec();
                let to = place(bytes.len() + 1, random);
                bytes.splice(to..to, copy);
            }
            6 => {
                let copy = bytes[at.min(end)..end].to_vec();
                let times = 1usize << random.below(12);
                let times = times.min(LEN_MAX / copy.len().max(1));
                bytes.splice(at..at, copy.repeat(times));
            }
            7 => {
                let other = self.seed(random);
                let from = place(other.len() + 1, random);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            8 if !self.tokens.is_empty() => change_digits(bytes, at, random),
            _ => change_number(bytes, at, random),
        }
    }
}

/// A place below `end`: anywhere, or near the front or the back, where counts and offsets stand.
fn place(end: usize, random: &SeededRandom) -> usize {
    let near = random.below((end as u64).min(64)) as usize;
    match random.below(4) {
        0 => near,
        1 => end - 1 - near,
        _ => random.below(end as u64) as usize,
    }
}

/// Ends of varints, signs and texts come more often than others.
fn odd_byte(random: &SeededRandom) -> u8 {
    const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'\n'];
    match random.below(2) {
        0 => ODD[random.below(ODD.len() as u64) as usize],
        _ => random.next_u64() as u8,
    }
}

/// Changes a number of one, two, four or eight bytes, or one that is written as a varint.
fn change_number(bytes: &mut Vec<u8>, at: usize, random: &SeededRandom) {
    let rest = (bytes.len() - at) as u64;
    let width = 1usize << random.below(4);
    let stored = bytes.get(at..at + width).map_or(0, |found| found.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let value = match random.below(9) {
        0 => stored.wrapping_add(1),
        1 => stored.wrapping_sub(1),
        2 => stored.wrapping_mul(2),
        3 => rest,
        4 => rest + 1,
        5 => 0,
        6 => u64::MAX,
        7 => u64::MAX >> 1,
        _ => 1 << random.below(64),
    };
    if random.below(3) == 0 {
        let end = at + bytes[at..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let end = end.min(bytes.len());
        bytes.splice(at..end, varint(value));
    } else {
        bytes.iter_mut().skip(at).zip(value.to_le_bytes()).take(width).for_each(|(byte, new)| *byte = new);
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Changes the next number that is written in digits.
fn change_digits(bytes: &mut Vec<u8>, at: usize, random: &SeededRandom) {
    const NUMBERS: [&str; 12] = [
        "0",
        "-1",
        "1.5",
        "1e309",
        "-0",
        "00",
        "255",
        "65536",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "0.00000000001",
    ];
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let new = NUMBERS[random.below(NUMBERS.len() as u64) as usize];
    bytes.splice(start..end, new.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn inputs(mutator: &Mutator, count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|seed| mutator.input(&SeededRandom::new(seed))).collect()
    }

    #[test]
    fn one_seed_gives_one_input() {
        let mutator = Mutator::new(vec![b"GET /1 200".to_vec(), vec![0; 100]], &["a", "=~"]);
        assert_eq!(inputs(&mutator, 200), inputs(&mutator, 200));
    }

    #[test]
    fn inputs_differ_and_have_a_bound() {
        for (seeds, tokens) in
            [(vec![b"GET".to_vec()], &[][..]), (vec![b"{}".to_vec()], &["x"][..]), (vec![vec![7; LEN_MAX], b"abc".to_vec()], &[][..])]
        {
            let inputs = inputs(&Mutator::new(seeds, tokens), 2000);
            assert!(inputs.iter().all(|input| input.len() <= LEN_MAX));
            assert!(inputs.iter().collect::<HashSet<_>>().len() > 500);
        }
    }

    /// A length before some bytes, which a careless reader trusts.
    #[test]
    fn lengths_are_changed_with_the_rest_left_alone() {
        let sound = [&[20][..], &[b'x'; 20]].concat();
        let mutator = Mutator::new(vec![sound.clone()], &[]);
        let only_length = |input: &Vec<u8>| input.len() == sound.len() && input[1..] == sound[1..] && input[0] > 20;
        assert!(inputs(&mutator, 5000).iter().any(only_length));
    }
}
