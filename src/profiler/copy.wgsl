// What the adapter's memory can do at most: each invocation copies 64 vec4f that lie a grid's width apart, so that neighbours
// read and write neighbouring memory. (Fewer, and a software adapter is busy with starting invocations.)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let width = groups.x * 64u;
  for (var i = 0u; i < 64u; i++) {
    let at = i * width + id.x;
    y[at] = x[at];
  }
}
