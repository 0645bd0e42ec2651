// What the adapter's arithmetic can do at most: 16 independent chains of fused multiply-adds an invocation, nothing from memory in the
// loop. 512 · 16 of them an invocation; the factor keeps the numbers finite and normal.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = x[0];
  let b = x[1];
  var s0 = f32(id.x);
  var s1 = s0 + 1.0;
  var s2 = s0 + 2.0;
  var s3 = s0 + 3.0;
  var s4 = s0 + 4.0;
  var s5 = s0 + 5.0;
  var s6 = s0 + 6.0;
  var s7 = s0 + 7.0;
  var s8 = s0 + 8.0;
  var s9 = s0 + 9.0;
  var s10 = s0 + 10.0;
  var s11 = s0 + 11.0;
  var s12 = s0 + 12.0;
  var s13 = s0 + 13.0;
  var s14 = s0 + 14.0;
  var s15 = s0 + 15.0;
  for (var i = 0u; i < 512u; i++) {
    s0 = fma(s0, a, b);
    s1 = fma(s1, a, b);
    s2 = fma(s2, a, b);
    s3 = fma(s3, a, b);
    s4 = fma(s4, a, b);
    s5 = fma(s5, a, b);
    s6 = fma(s6, a, b);
    s7 = fma(s7, a, b);
    s8 = fma(s8, a, b);
    s9 = fma(s9, a, b);
    s10 = fma(s10, a, b);
    s11 = fma(s11, a, b);
    s12 = fma(s12, a, b);
    s13 = fma(s13, a, b);
    s14 = fma(s14, a, b);
    s15 = fma(s15, a, b);
  }
  x[2u + id.x] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15;
}
