// rows: a workgroup goes along a row together, thread by thread side by side; its parts are combined by a tree in workgroup memory. The
// order is fixed, so the bits are.
var<workgroup> parts: array<f32, THREADS>;

fn total(x: f32, lid: u32) -> f32 {
  workgroupBarrier();
  parts[lid] = x;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) {
      parts[lid] += parts[lid + half];
    }
  }
  workgroupBarrier();
  return parts[0];
}

fn largest(x: f32, lid: u32) -> f32 {
  workgroupBarrier();
  parts[lid] = x;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) {
      parts[lid] = max(parts[lid], parts[lid + half]);
    }
  }
  workgroupBarrier();
  return parts[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid);
  if (strip >= STRIPS) {
    return;
  }
  rows(strip, lid);
}
