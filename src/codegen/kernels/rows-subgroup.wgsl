// rows: a workgroup is one subgroup and goes along a row together, lane by lane side by side; its parts are combined without memory or
// barriers. Written for one width; the variant is taken only where the adapter has no other.
var<workgroup> kept_values: array<f32, KEPT>;

fn keep(k: u32, r: u32, value: f32, lid: u32) {
  if (lid == 0u) {
    kept_values[k * RUN + r] = value;
  }
}

fn kept(k: u32, r: u32) -> f32 {
  return kept_values[k * RUN + r];
}

fn sync() {
  workgroupBarrier();
}

fn total(x: f32, lid: u32) -> f32 {
  return subgroupAdd(x);
}

fn largest(x: f32, lid: u32) -> f32 {
  return subgroupMax(x);
}

// One team: each thread is a lane of the row that is at hand.
fn lane_of(lid: u32) -> u32 {
  return lid;
}

fn row_of(team: u32, lid: u32) -> u32 {
  return team;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid);
  if (strip >= STRIPS) {
    return;
  }
  rows(strip, lid);
}
