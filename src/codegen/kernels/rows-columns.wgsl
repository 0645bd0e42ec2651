// rows without a reduction along them: a workgroup takes one run of rows, and each thread goes down columns of its own.
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
  if (strip < STRIPS) {
    rows(strip, lid);
  }
}
