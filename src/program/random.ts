/**
 * Random numbers that are the same bits everywhere: on any GPU, in Node, in a browser.
 *
 * Idea: a draw is a pure function of *where* it is used, never of what was drawn before it. Threefry4x32-20 (Salmon et al.
 * 2011, "Parallel random numbers: as easy as 1, 2, 3") scrambles a counter under a key:
 *
 *     key = (seed low, seed high, purpose, step)      counter = (element, global sample index, 0, 0)      take word 0
 *
 * so a result does not depend on the batch size, on gradient accumulation or on which thread made it. Integers, booleans and
 * normals are then made from the 32 bits by integer arithmetic alone (a GPU's own log and cos differ from driver to driver), with
 * one exact conversion to f32 at the end. `random.wgsl` beside this file says the same in WGSL, and tests hold the two together.
 *
 * This file imports nothing: it ships inside web bundles.
 */

/** Words in and out: four u32. */
export type Words = readonly [number, number, number, number];

const PARITY = 0x1bd11bda;
/** Result of the last scramble: lets the hot loops of initialisation run without allocating. */
const out = new Uint32Array(4);

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/** Twenty rounds of Threefry4x32 into `out`; every argument is taken modulo 2^32. */
function scramble(k0: number, k1: number, k2: number, k3: number, c0: number, c1: number, c2: number, c3: number): void {
  const k4 = PARITY ^ k0 ^ k1 ^ k2 ^ k3;
  let a = (c0 + k0) | 0;
  let b = (c1 + k1) | 0;
  let c = (c2 + k2) | 0;
  let d = (c3 + k3) | 0;
  // Five groups of four rounds, each followed by an injection of the rotated key schedule; odd groups use the second rotations.
  // `| 0` keeps the whole loop in 32-bit integer registers.
  let [s0, s1, s2, s3, s4] = [k0 | 0, k1 | 0, k2 | 0, k3 | 0, k4];
  for (let group = 1; group <= 5; group++) {
    if ((group & 1) === 1) {
      a = (a + b) | 0;
      b = rotate(b, 10) ^ a;
      c = (c + d) | 0;
      d = rotate(d, 26) ^ c;
      a = (a + d) | 0;
      d = rotate(d, 11) ^ a;
      c = (c + b) | 0;
      b = rotate(b, 21) ^ c;
      a = (a + b) | 0;
      b = rotate(b, 13) ^ a;
      c = (c + d) | 0;
      d = rotate(d, 27) ^ c;
      a = (a + d) | 0;
      d = rotate(d, 23) ^ a;
      c = (c + b) | 0;
      b = rotate(b, 5) ^ c;
    } else {
      a = (a + b) | 0;
      b = rotate(b, 6) ^ a;
      c = (c + d) | 0;
      d = rotate(d, 20) ^ c;
      a = (a + d) | 0;
      d = rotate(d, 17) ^ a;
      c = (c + b) | 0;
      b = rotate(b, 11) ^ c;
      a = (a + b) | 0;
      b = rotate(b, 25) ^ a;
      c = (c + d) | 0;
      d = rotate(d, 10) ^ c;
      a = (a + d) | 0;
      d = rotate(d, 18) ^ a;
      c = (c + b) | 0;
      b = rotate(b, 20) ^ c;
    }
    const first = s0;
    s0 = s1;
    s1 = s2;
    s2 = s3;
    s3 = s4;
    s4 = first;
    a = (a + s0) | 0;
    b = (b + s1) | 0;
    c = (c + s2) | 0;
    d = (d + s3 + group) | 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

/** Threefry4x32-20: four u32 of key and of counter to four random u32. */
export function threefry(key: Words, counter: Words): Words {
  scramble(...key, ...counter);
  return [out[0]!, out[1]!, out[2]!, out[3]!];
}

/** The key of a draw. `seed` is an integer in 0 .. 2^53 - 1, `purpose` comes from purposeOf, `step` is the training or sampling step. */
export const keyOf = (seed: number, purpose: number, step: number): Words => [
  seed >>> 0,
  Math.floor(seed / 2 ** 32) >>> 0,
  purpose >>> 0,
  step >>> 0,
];

/** The 32 bits (u32) that belong to one element of one sample under a key. */
export function drawBits(key: Words, element: number, sample: number): number {
  scramble(key[0], key[1], key[2], key[3], element, sample, 0, 0);
  return out[0]!;
}

/** A fixed 32-bit hash (FNV-1a over UTF-8) of a draw's name, so that two draws of one step never share bits. */
export function purposeOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * An integer in 0 .. below-1: the high 32 bits of bits * below, from 16-bit limbs so that no product leaves 32 bits.
 * Each value's probability is off by less than 2^-32.
 */
export function drawInt(bits: number, below: number): number {
  const [bh, bl, nh, nl] = [bits >>> 16, bits & 0xffff, below >>> 16, below & 0xffff];
  const [high, left, right, low] = [bh * nh, bh * nl, bl * nh, bl * nl];
  const carry = ((low / 65536) >>> 0) + ((left >>> 0) & 0xffff) + ((right >>> 0) & 0xffff);
  return (high + ((left / 65536) >>> 0) + ((right / 65536) >>> 0) + (carry >>> 16)) >>> 0;
}

/** True with probability threshold / 2^32; both are u32. */
export const drawBernoulli = (bits: number, threshold: number): boolean => bits >>> 0 < threshold >>> 0;

/** The threshold of a probability in 0..1. Certainty becomes 1 - 2^-32, the largest a u32 can say. */
export const bernoulliThreshold = (probability: number): number =>
  Math.min(0xffffffff, Math.max(0, Math.round(probability * 2 ** 32)));

/** A real number in [0, 1), a multiple of 2^-24 and therefore exact in f32. */
export const drawUniform = (bits: number): number => (bits >>> 8) * 2 ** -24;

/** Entries of the table that drawNormal interpolates: 32 octaves of 256 segments, and the end. */
export const NORMAL_TABLE_SIZE = 32 * 256 + 1;
/** Table values are multiples of 2^-21; the largest magnitude, about 6.34, stays under 2^24 of them: exact in f32. */
export const NORMAL_TABLE_SCALE = 2 ** 21;

/**
 * A standard normal from 32 bits: the top one is the sign, the others are a magnitude m that stands for the tail probability
 * (m + 1/2) / 2^32. Octave (leading zeros of m) and the next 8 bits select a segment of the table, 18 more bits interpolate in it.
 * Steps per octave follow the curve into the tail, so the error against the exact quantile stays below 1.5e-6 everywhere.
 */
export function drawNormal(bits: number, table: Int32Array): number {
  const magnitude = bits & 0x7fffffff;
  const shift = Math.clz32(magnitude) - 1; // 0..31; 31 only for magnitude 0, which lands on entry 0
  const normalised = magnitude << shift; // leading one at bit 30
  const index = ((31 - shift) << 8) | ((normalised >>> 22) & 255);
  const fraction = (normalised >>> 4) & 0x3ffff;
  const left = table[index]!;
  // A segment is at most 2^13 high, so the product fits in 31 bits.
  const value = left - (((left - table[index + 1]!) * fraction + 0x20000) >>> 18);
  return ((bits >>> 31 ? -value : value) | 0) / NORMAL_TABLE_SCALE;
}

/** The table of drawNormal, computed in f64: entry 256 * (b + 1) + s is the quantile at m = 2^b (1 + s/256), in units of 2^-21. */
export function normalTable(): Int32Array {
  const table = new Int32Array(NORMAL_TABLE_SIZE);
  for (let index = 0; index < NORMAL_TABLE_SIZE; index++) {
    // The first 256 entries all stand for m = 0; only the first of them is ever read.
    const magnitude = index < 256 ? 0 : 2 ** ((index >> 8) - 1) * (1 + (index & 255) / 256);
    table[index] = Math.round(-inverseNormal((magnitude + 0.5) / 2 ** 32) * NORMAL_TABLE_SCALE);
  }
  return table;
}

const horner = (coefficients: readonly number[], x: number): number => coefficients.reduceRight((sum, c) => sum * x + c, 0);

/** Quantile of the standard normal for a probability in (0, 1), to about 16 digits: Wichura 1988, algorithm AS 241 (PPND16). */
export function inverseNormal(probability: number): number {
  const q = probability - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * horner(CENTRE.over, r)) / horner(CENTRE.under, r);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? probability : 1 - probability));
  const part = r <= 5 ? MIDDLE : TAIL;
  const x = r - (r <= 5 ? 1.6 : 5);
  return (Math.sign(q) * horner(part.over, x)) / horner(part.under, x);
}

const CENTRE = {
  over: [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987, 67265.7709270087,
    33430.57558358813, 2509.0809287301227,
  ],
  under: [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271, 28729.085735721943,
    5226.495278852854,
  ],
};
const MIDDLE = {
  over: [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684, 0.2417807251774506,
    0.022723844989269184, 0.0007745450142783414,
  ],
  under: [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457, 0.0005475938084995345,
    1.0507500716444169e-9,
  ],
};
const TAIL = {
  over: [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124, 0.0012426609473880784,
    2.7115555687434876e-5, 2.0103343992922881e-7,
  ],
  under: [
    1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133, 1.8463183175100548e-5,
    1.421511758316446e-7, 2.0442631033899397e-15,
  ],
};
