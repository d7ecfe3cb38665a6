//! The search through all states, breadth first, with bounded memory.
//!
//! A state is remembered as a fingerprint of 64 bits, and as the number of the state before it and
//! the number of the choice, from which a sequence is built again. Two states with one fingerprint
//! would be taken for one: with ten million states the chance of that is 3 in a million.

use std::hash::Hash;
use std::hash::Hasher;

use crate::prune::clean_up;
use crate::step::Label;
use crate::step::successors;
use crate::world::DONE;
use crate::world::Process;
use crate::world::Setting;
use crate::world::World;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The bound was reached before all states were seen.
    pub(crate) was_cut: bool,
    /// What is wrong with the last state of a sequence, and the sequence.
    pub(crate) fault: Option<(String, Vec<Label>)>,
}

/// Searches all states that can be reached from one, at most `states_max`.
pub(crate) fn search(setting: Setting, start: World, states_max: usize) -> Outcome {
    let mut seen = Seen::new();
    let mut cleaned = Seen::new();
    let mut before: Vec<(u32, u8)> = vec![(0, 0)];
    let mut layer = vec![(0_u32, start)];
    seen.insert(fingerprint(&start));
    let mut next = Vec::new();
    let mut was_cut = false;
    while !layer.is_empty() && !was_cut {
        let mut below = Vec::new();
        for (number, world) in &layer {
            successors(setting, world, &mut next);
            for (choice, (_, world)) in next.iter().enumerate() {
                if !seen.insert(fingerprint(world)) {
                    continue;
                }
                let at = u32::try_from(before.len()).expect("the bound is below");
                before.push((*number, u8::try_from(choice).expect("few ways lead on")));
                let mut fault = world.fault();
                // What is left behind depends on the store only.
                if fault.is_none() && cleaned.insert(fingerprint(&store_of(world))) {
                    fault = clean_up(setting.rules, world).err();
                }
                if let Some(fault) = fault {
                    let sequence = rebuild(setting, start, &before, at);
                    return Outcome { was_cut, fault: Some((fault, sequence)) };
                }
                below.push((at, *world));
            }
            was_cut |= before.len() >= states_max;
            if was_cut {
                break;
            }
        }
        layer = below;
    }
    Outcome { was_cut, fault: None }
}

/// Returns a world without what its processes remember.
fn store_of(world: &World) -> World {
    let mut store = World { old: world.now, ..*world };
    for process in &mut store.processes {
        *process = Process { kind: process.kind, step: DONE, ..Process::default() };
    }
    store
}

/// Builds the sequence that leads to a state.
fn rebuild(setting: Setting, start: World, before: &[(u32, u8)], mut at: u32) -> Vec<Label> {
    let mut choices = Vec::new();
    while at != 0 {
        let (from, choice) = before[usize::try_from(at).expect("32 bits are in 64")];
        choices.push(choice);
        at = from;
    }
    let mut world = start;
    let mut next = Vec::new();
    let mut labels = Vec::new();
    for choice in choices.into_iter().rev() {
        successors(setting, &world, &mut next);
        let (label, to) = next[usize::from(choice)];
        labels.push(label);
        world = to;
    }
    labels
}

/// A hasher that multiplies, for fingerprints.
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ x >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }

    fn write_isize(&mut self, number: isize) {
        self.write(&number.to_le_bytes());
    }
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = Fingerprint(1);
    world.hash(&mut hasher);
    hasher.finish().max(1)
}

/// A set of fingerprints: 8 bytes each, at most two thirds full.
struct Seen {
    places: Vec<u64>,
    count: usize,
}

impl Seen {
    fn new() -> Self {
        Self { places: vec![0; 1 << 12], count: 0 }
    }

    fn insert(&mut self, print: u64) -> bool {
        if self.count * 3 >= self.places.len() * 2 {
            let larger = vec![0; self.places.len() * 2];
            let old = std::mem::replace(&mut self.places, larger);
            old.into_iter().filter(|print| *print != 0).for_each(|print| _ = self.place(print));
        }
        let is_new = self.place(print);
        self.count += usize::from(is_new);
        is_new
    }

    fn place(&mut self, print: u64) -> bool {
        let mask = self.places.len() - 1;
        let mut at = usize::try_from(print).expect("pointers have 64 bits") & mask;
        loop {
            match self.places[at] {
                0 => {
                    self.places[at] = print;
                    return true;
                }
                other if other == print => return false,
                _ => at = (at + 1) & mask,
            }
        }
    }
}
