// Reads every number once: sixteen vectors a thread, neighbours side by side, four on their way at a time.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lid: u32) {
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  var d = vec4f();
  for (var i = 1024u * group.x + lid; i < 1024u * (group.x + 1u); i += 256u) {
    a += x[i];
    b += x[i + 64u];
    c += x[i + 128u];
    d += x[i + 192u];
  }
  let sum = (a + b) + (c + d);
  sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}
