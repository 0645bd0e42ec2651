// rows: a workgroup is one subgroup and goes along a row together, lane by lane side by side; its parts are combined without memory or
// barriers. Written for one width; the variant is taken only where the adapter has no other.

fn total(x: f32, lid: u32) -> f32 {
  return subgroupAdd(x);
}

fn largest(x: f32, lid: u32) -> f32 {
  return subgroupMax(x);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid);
  if (strip >= STRIPS) {
    return;
  }
  rows(strip, lid);
}
