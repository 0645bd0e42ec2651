/** Numbers of 16 bits (IEEE binary16) as bits: what files of halves hold, and tensors that are stored in f16 on the GPU. */

const bits = new Uint32Array(1);
const real = new Float32Array(bits.buffer);

/** The number that 16 bits of IEEE binary16 stand for; exact. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest number of IEEE binary16, as bits; ties go to even, what is too large becomes infinite. */
export function numberToHalf(x: number): number {
  real[0] = x;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const size = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  // 65520 lies half way between the largest half and what would follow it.
  if (size >= 65520) return sign | 0x7c00;
  // In units of the last place: that of subnormals below 2^-14. Scaling by powers of two is exact.
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -14)));
  const scaled = size * 2 ** (10 - exponent);
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const rounded = below + Number(rest > 0.5 || (rest === 0.5 && below % 2 === 1));
  // A carry out of the fraction runs on into the exponent, as it should.
  return sign | ((exponent + 14) * 1024 + rounded);
}

/** The bytes of f32 numbers as those of halves, rounded to nearest; an odd number of them is filled up to whole words with a zero. */
export function toHalves(wide: Uint8Array): Uint8Array {
  const numbers = new DataView(wide.buffer, wide.byteOffset, wide.length);
  const halves = new Uint16Array(2 * Math.ceil(wide.length / 8));
  for (let i = 0; i < wide.length / 4; i++) {
    const word = numbers.getUint32(4 * i, true);
    const size = word & 0x7fffffff;
    // From 2^-14 to below 2^16 bits are as they were, but for a smaller exponent and fewer of them: a carry out of these is right, too.
    halves[i] =
      size >= 0x38800000 && size < 0x47800000
        ? ((word >>> 16) & 0x8000) | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
        : numberToHalf(numbers.getFloat32(4 * i, true));
  }
  return new Uint8Array(halves.buffer);
}

/** `count` halves as f32. */
export const fromHalves = (bytes: ArrayBuffer, count: number): Float32Array =>
  Float32Array.from(new Uint16Array(bytes, 0, count), halfToNumber);
