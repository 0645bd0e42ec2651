// rows: TEAMS rows of a run at a time, each by WIDTH threads whose parts are combined in workgroup memory; then all threads go down the
// columns. For a GPU, where one subgroup for a whole run would leave most of it idle. The order is fixed, so the bits are.
var<workgroup> parts: array<f32, THREADS>;

fn lane_of(lid: u32) -> u32 {
  return lid % WIDTH;
}

fn row_of(team: u32, lid: u32) -> u32 {
  return team + lid / WIDTH;
}

fn total(x: f32, lid: u32) -> f32 {
  let first = lid / WIDTH * WIDTH;
  workgroupBarrier();
  parts[lid] = x;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WIDTH; i++) {
    sum += parts[first + i];
  }
  return sum;
}

fn largest(x: f32, lid: u32) -> f32 {
  let first = lid / WIDTH * WIDTH;
  workgroupBarrier();
  parts[lid] = x;
  workgroupBarrier();
  var top = x;
  for (var i = 0u; i < WIDTH; i++) {
    top = max(top, parts[first + i]);
  }
  return top;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid);
  if (strip >= STRIPS) {
    return;
  }
  rows(strip, lid);
}
