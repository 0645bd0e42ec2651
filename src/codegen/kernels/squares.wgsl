// squares: a workgroup makes one part. Threads of all workgroups go through the buffers side by side, in blocks of 64 each, so that f32
// errors grow slowly; a tree in workgroup memory adds the threads. The order is fixed, so the bits are.
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let part = group_id(wid);
  if (part >= PARTS) {
    return;
  }
  sums[lid] = squares(part * THREADS + lid, PARTS * THREADS);
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) {
      sums[lid] += sums[lid + half];
    }
  }
  if (lid == 0u) {
    store(part, sums[0]);
  }
}
