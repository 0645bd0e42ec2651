// A fixed piece of work, 2 · 256³ operations, that no change of the compiler touches: timed before and after each job, it tells whether
// the machine was disturbed. It is plain on purpose and says nothing about what the compiler's own kernels reach.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
const N = 256u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x / N;
  let column = id.x % N;
  var sum = 0.0;
  for (var k = 0u; k < N; k++) {
    sum += a[row * N + k] * b[k * N + column];
  }
  c[id.x] = sum;
}
