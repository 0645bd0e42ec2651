// Random numbers, bit for bit those of random.ts: Threefry4x32-20 and integer arithmetic (u32 products and sums wrap in WGSL).
// The kernel that includes this supplies `fn normal_table(i: u32) -> i32`, the table of 8193 quantiles in units of 2^-21.
//
//     key = (seed low, seed high, purpose, step)      counter = (element, global sample index, 0, 0)      take .x

fn threefry_mix(x: vec4u, ab: u32, cd: u32, ad: u32, cb: u32) -> vec4u {
  // Two rounds: (a, b) and (c, d), then (a, d) and (c, b).
  let a = x.x + x.y;
  let b = ((x.y << ab) | (x.y >> (32u - ab))) ^ a;
  let c = x.z + x.w;
  let d = ((x.w << cd) | (x.w >> (32u - cd))) ^ c;
  let a2 = a + d;
  let d2 = ((d << ad) | (d >> (32u - ad))) ^ a2;
  let c2 = c + b;
  let b2 = ((b << cb) | (b >> (32u - cb))) ^ c2;
  return vec4u(a2, b2, c2, d2);
}

fn threefry(key: vec4u, ctr: vec4u) -> vec4u {
  let k4 = 0x1bd11bdau ^ key.x ^ key.y ^ key.z ^ key.w;
  var x = ctr + key;
  x = threefry_mix(threefry_mix(x, 10u, 26u, 11u, 21u), 13u, 27u, 23u, 5u);
  x += vec4u(key.y, key.z, key.w, k4 + 1u);
  x = threefry_mix(threefry_mix(x, 6u, 20u, 17u, 11u), 25u, 10u, 18u, 20u);
  x += vec4u(key.z, key.w, k4, key.x + 2u);
  x = threefry_mix(threefry_mix(x, 10u, 26u, 11u, 21u), 13u, 27u, 23u, 5u);
  x += vec4u(key.w, k4, key.x, key.y + 3u);
  x = threefry_mix(threefry_mix(x, 6u, 20u, 17u, 11u), 25u, 10u, 18u, 20u);
  x += vec4u(k4, key.x, key.y, key.z + 4u);
  x = threefry_mix(threefry_mix(x, 10u, 26u, 11u, 21u), 13u, 27u, 23u, 5u);
  x += vec4u(key.x, key.y, key.z, key.w + 5u);
  return x;
}

fn draw_bits(key: vec4u, element: u32, sample: u32) -> u32 {
  return threefry(key, vec4u(element, sample, 0u, 0u)).x;
}

// High 32 bits of bits * below, by 16-bit limbs: an integer in 0 .. below-1.
fn draw_int(bits: u32, below: u32) -> u32 {
  let bh = bits >> 16u;
  let bl = bits & 0xffffu;
  let nh = below >> 16u;
  let nl = below & 0xffffu;
  let left = bh * nl;
  let right = bl * nh;
  let carry = ((bl * nl) >> 16u) + (left & 0xffffu) + (right & 0xffffu);
  return bh * nh + (left >> 16u) + (right >> 16u) + (carry >> 16u);
}

// True with probability threshold / 2^32.
fn draw_bernoulli(bits: u32, threshold: u32) -> bool {
  return bits < threshold;
}

// In [0, 1), a multiple of 2^-24.
fn draw_uniform(bits: u32) -> f32 {
  return f32(bits >> 8u) * 5.9604644775390625e-8;
}

// Sign bit, then a magnitude m for the tail probability (m + 1/2) / 2^32: octave and 8 bits choose a segment, 18 bits interpolate.
fn draw_normal(bits: u32) -> f32 {
  let magnitude = bits & 0x7fffffffu;
  let shift = countLeadingZeros(magnitude) - 1u; // 0..31
  let normalised = magnitude << shift;
  let index = ((31u - shift) << 8u) | ((normalised >> 22u) & 255u);
  let fraction = (normalised >> 4u) & 0x3ffffu;
  let left = normal_table(index);
  let drop = u32(left - normal_table(index + 1u)); // below 2^13, so the product fits
  let value = left - i32((drop * fraction + 0x20000u) >> 18u);
  return f32(select(value, -value, (bits >> 31u) == 1u)) * 4.76837158203125e-7;
}
